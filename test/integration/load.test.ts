/** `millwright load` and `millwright publish` against a running system, as a person uses them. */
import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { DeadLetter } from '../../src/model/api.ts';
import type { LoadReport } from '../../src/load/load.ts';
import { Command, makeFolder, startSystem, type System } from '../support/system.ts';

let system: System;
let folder: string;
before(async () => {
  system = await startSystem();
  folder = await makeFolder();
  process.env['MILLWRIGHT_HUB'] = system.url;
});
after(async () => {
  await system.stop();
  await rm(folder, { recursive: true, force: true });
});

async function run(...args: string[]): Promise<{ code: number | null; said: string }> {
  const command = new Command(args);
  const code = await command.exited();
  return { code, said: command.said };
}

/** The report is the last line; progress stands before it. */
async function load(...args: string[]): Promise<{ code: number | null; report: LoadReport }> {
  const { code, said } = await run('load', '--json', ...args);
  const line = said.split('\n').find((one) => one.startsWith('{"settings"'));
  assert.ok(line !== undefined, said);
  return { code, report: JSON.parse(line) as LoadReport };
}

/** The commands of docs/load.md that begin with `millwright`, with their arguments. */
async function documented(): Promise<string[][]> {
  const page = await readFile(new URL('../../docs/load.md', import.meta.url), 'utf8');
  const lines = page.split('\n').filter((line) => /^ {4}millwright (load|publish) /.test(line));
  return lines.map((line) => line.trim().split(' ').slice(1));
}

const ways: readonly { readonly name: string; readonly url: () => string }[] = [
  { name: 'http', url: () => system.url },
];

for (const way of ways) {
  describe(`over ${way.name}`, () => {
    before(() => {
      process.env['MILLWRIGHT_URL'] = way.url();
    });

    test('stress: 5 machines × 20 and a malformed message', async () => {
      const name = `STRESS-${way.name}`;
      const arguments_ = ['--run', name, '--machines', '5', '--count', '20', '--malformed', '1', '--seed', '7'];
      const { code, report } = await load(...arguments_);
      assert.equal(code, 0, JSON.stringify(report));
      assert.equal(report.exact, true);
      assert.deepEqual(report.readings, { sent: 100, stored: 100, missing: 0, doubled: 0, foreign: 0, uncounted: 0 });
      assert.deepEqual(report.messages, { sent: 101, malformed: 1, acknowledged: 101, duplicates: 0, repeated: 0 });
      for (let machine = 1; machine <= 5; machine += 1) {
        const rows = await system.get<{ active_program_line: number }[]>(`/api/v1/machines/${name}-00${machine}/data`);
        const counters = rows.map((row) => row.active_program_line);
        assert.deepEqual(
          counters,
          Array.from({ length: 20 }, (_, index) => index),
        );
      }
      assert.deepEqual(await system.get(`/api/v1/machines/${name}-MALFORMED/data`), []);
      const letters = (await system.get<DeadLetter[]>('/api/v1/dead-letters')).filter(({ gateway_id: gateway }) => {
        return gateway?.startsWith(`${name}-`);
      });
      assert.equal(letters.length, 1);
      assert.equal(letters[0]?.reason, 'temperature is a number, found "not-a-float"');
    });

    test('the commands of docs/load.md do as they say', async () => {
      const commands = await documented();
      assert.equal(commands.length, 3);
      for (const command of commands) {
        const { code, said } = await run(...command);
        assert.equal(code, 0, said);
        if (command[0] === 'load') assert.match(said, /verdict +exact: everything that was sent is stored once/);
      }
    });
  });
}
