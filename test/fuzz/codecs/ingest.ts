import { crc32 } from 'node:zlib';
import { prepare } from '../../../src/hub/ingest/prepare.ts';
import { messagesOf } from '../../../src/hub/ingest/request.ts';
import { RowEncoder } from '../../../src/hub/store/rows.ts';
import { BATCHES_MEDIA_TYPE, encodeBatchHeader, parseBatchKey, readingsOfBatch } from '../../../src/model/batch.ts';
import { encodeFrame } from '../../../src/model/frame.ts';
import { between, chance, type Codec, Finding, pick, type Refusal } from '../codec.ts';
import { JSON_WORDS, oddReading, READINGS } from '../readings.ts';

const encoder = new RowEncoder();

export const codec: Codec = {
  about:
    "the hub's entrance: bodies of batches, of frames and of JSON to rows of the database; no defect is hidden as a dead letter",
  corpus: [body([READINGS.slice(0, 2), READINGS.slice(2)]), body([READINGS]), Buffer.from(JSON.stringify(READINGS))],
  words: [...JSON_WORDS, '"sequence":2', '"bytes":1', '"crc32":0', '"readings":1', '"gateway_id":"G"'],
  opening: '[',
  generate(random) {
    const messages = Array.from({ length: between(random, 1, 3) }, () =>
      Array.from({ length: between(random, 0, 3) }, () => oddReading(random)),
    );
    return chance(random, 0.8) ? body(messages) : Buffer.from(JSON.stringify(messages[0]));
  },
  read(input, random) {
    const refusals: Refusal[] = [];
    const isJson = input[0] === 0x7b || input[0] === 0x5b;
    const mediaType = isJson ? 'application/json' : BATCHES_MEDIA_TYPE;
    const key = isJson
      ? pick(random, [undefined, input.toString('latin1', 0, between(random, 0, 250)), 'G/e/1'])
      : undefined;
    if (key !== undefined) parseBatchKey(key);
    const messages = messagesOf({ mediaType, idempotencyKey: key, body: input });
    for (const { identity, payload } of messages) {
      if (identity.kind !== 'batch') continue;
      for (const { index } of readingsOfBatch({ ...identity, readings: 0, payload }))
        if (index < 0) throw new Finding('a place');
    }
    for (const { refused } of prepare(messages, encoder, () => true).parcels) {
      for (const { reason } of refused) {
        if (reason.includes('by a defect of its own')) throw new Finding(`a defect: ${reason}`);
        refusals.push({ code: 'dead_letter', reason });
      }
    }
    return refusals;
  },
};

function body(messages: readonly (readonly object[])[]): Buffer {
  const parts = messages.flatMap((readings, index) => {
    const payload = Buffer.concat(readings.map(encodeFrame));
    const batch = { gatewayId: 'G-1', epoch: 'e1', sequence: index + 1, readings: readings.length, payload };
    return [encodeBatchHeader(batch, crc32(payload)), payload];
  });
  return Buffer.concat(parts);
}
