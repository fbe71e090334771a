import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillwrightError } from '../../src/base/errors.ts';
import type { Codec } from './codec.ts';
import { feed, fuzz, inputOf } from './engine.ts';

function codecThat(read: Codec['read']): Codec {
  return {
    about: '',
    corpus: [Buffer.from('a1b22c333')],
    words: [';'],
    opening: '(',
    generate: () => Buffer.from('abc'),
    read,
  };
}

const none: Codec['read'] = () => [];

test('an input follows from the seed and its number alone', () => {
  const codec = codecThat(none);
  const inputs = (seed: number): string[] =>
    Array.from({ length: 50 }, (_, number) => inputOf(codec, seed, number).bytes.toString('hex'));
  assert.deepEqual(inputs(1), inputs(1));
  assert.ok(new Set([...inputs(1), ...inputs(2)]).size > 50);
});

test('a coded error is a refusal, any other is found, made short and can be repeated', async () => {
  const codec = codecThat((input) => {
    if (input.includes(';')) throw new TypeError('cannot read');
    if (input.length > 20) throw new MillwrightError('protocol_violation', 'too long');
    return [];
  });
  const { codes, failures } = await fuzz({ codec, inputs: 500, seed: 3 });
  assert.deepEqual([...codes.keys()], ['protocol_violation']);
  assert.equal(failures.length, 1);
  const [failure] = failures;
  assert.equal(failure?.bytes.toString(), ';');
  const { bytes, random } = inputOf(codec, 3, failure?.input ?? 0);
  assert.match((await feed(codec, bytes, random))?.what ?? '', /TypeError: cannot read/);
});

test('an input that takes too long is found', async () => {
  const codec = codecThat(() => {
    const startedMs = process.cpuUsage().user;
    while (process.cpuUsage().user - startedMs < 1_100_000);
    return [];
  });
  assert.equal((await feed(codec, Buffer.alloc(1), () => 0))?.what, 'the input takes too long');
});

test('memory that grows is found', async () => {
  const kept: Buffer[] = [];
  const codec = codecThat((input) => {
    kept.push(Buffer.alloc(5_000), input);
    return [];
  });
  const { failures } = await fuzz({ codec, inputs: 2_000, seed: 4 });
  assert.match(failures[0]?.what ?? '', /memory grew by \d+ bytes/);
  assert.ok(kept.length > 0);
  assert.equal((await fuzz({ codec: codecThat(none), inputs: 2_000, seed: 4 })).failures.length, 0);
});
