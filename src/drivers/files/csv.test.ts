import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CsvRow, csvRows, ROW_BYTES_MAX, ROW_LINES_MAX } from './csv.ts';
import { NotUnderstood } from './rows.ts';

function rowsOf(text: string, { from = 0, takeLastLine = false } = {}): Promise<CsvRow[]> {
  const bytes = Buffer.from(text);
  const file = {
    size: bytes.length,
    read: async (position: number, length: number): Promise<Buffer> => bytes.subarray(position, position + length),
  };
  return Array.fromAsync(csvRows(file, from, { delimiter: ',', encoding: 'utf-8', takeLastLine }));
}

test('a quoted field may have so many line ends; with more its quote is not closed, also where it is', async () => {
  const row = (lines: number): string => `"a${'\n'.repeat(lines)}b",c\nd,e\n`;
  assert.deepEqual(
    (await rowsOf(row(ROW_LINES_MAX))).map(({ fields }) => fields?.length),
    [2, 2],
  );
  const [first, ...rest] = await rowsOf(row(ROW_LINES_MAX + 1));
  assert.deepEqual([first?.fields, first?.text, rest.at(-1)?.fields], [null, '"a', ['d', 'e']]);
});

test('of a file that grows the rows are those of the whole, wherever it was cut', async () => {
  const text = `h,i\n"a",b\n${'"\n'.repeat(3)}${'\n'.repeat(ROW_LINES_MAX + 20)}"c,d\ne,"f\n"\n"g""h",1\r\n`;
  const whole = await rowsOf(text);
  for (let cut = 0; cut <= text.length; cut += 1) {
    const before = await rowsOf(text.slice(0, cut));
    const after = await rowsOf(text, { from: before.at(-1)?.end ?? 0 });
    assert.deepEqual([...before, ...after], whole, `cut at ${cut}`);
  }
});

test('quotes without end take a time that grows with them, not with their square', async () => {
  // Some seconds at most; it was an hour.
  const open = await rowsOf('"x\n'.repeat(10_001));
  assert.ok(open.length > 0);
  const stray = 'x"y'.repeat(ROW_BYTES_MAX / 3);
  await assert.rejects(rowsOf(`"${stray}\n`), NotUnderstood);
  // A long row that is right is read.
  const fields = Array.from({ length: 40_000 }, (_, index) => `"${index}"`).join(',');
  assert.equal((await rowsOf(`${fields}\n`))[0]?.fields?.length, 40_000);
});
