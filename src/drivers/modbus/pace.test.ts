/** What a unit that never answers takes from the others: on a line in memory and a clock that is stepped, so it is exact. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/support/until.ts';
import { ManualClock } from '../../base/manual-clock.test-support.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { Buses } from './buses.ts';
import { schema } from './config.ts';
import { ModbusDriver } from './driver.ts';
import { encodeRtu, encodeTcp } from './framing.ts';
import type { OpenPort } from './port.ts';

const UNITS = [1, 2, 3, 4, 5, 6, 7, 8];
const DEAD = 99;
const DEAD_TIMEOUT_MS = 50;
const INTERVAL_MS = 100;
/** One after the other all are read within an interval, and the dead unit's wait has just room beside. */
const ANSWER_MS = 4;
/** The shortest wait of the source runner before it tries a unit again. */
const RETRY_MS = 500;
const DURATION_MS = 3_000;

/** Units at the far end of a line, all but the dead one. */
class Line {
  /** Requests to each. */
  readonly asked: Map<number, number> = new Map<number, number>();
  readonly #isTcp: boolean;
  readonly #clock: ManualClock;

  constructor(isTcp: boolean, clock: ManualClock) {
    this.#isTcp = isTcp;
    this.#clock = clock;
  }

  readonly open: OpenPort = async (events) => ({
    write: (request) => {
      const unit = request.readUInt8(this.#isTcp ? 6 : 0);
      this.asked.set(unit, (this.asked.get(unit) ?? 0) + 1);
      if (unit === DEAD) return;
      const pdu = Buffer.from([3, 2, 0, unit]);
      const answer = this.#isTcp ? encodeTcp(request.readUInt16BE(0), unit, pdu) : encodeRtu(unit, pdu);
      void this.#clock.sleep(ANSWER_MS).then(() => events.data(answer));
    },
    close: async () => {},
  });
}

async function read(place: object, units: readonly number[]): Promise<{ line: Line; sources: Running[] }> {
  const clock = new ManualClock('2026-01-01T08:00:00Z');
  const line = new Line(!('serial' in place), clock);
  const buses = new Buses(() => line.open);
  const sources = units.map((unit) => {
    const timeout = `${DEAD_TIMEOUT_MS}ms`;
    const config = { ...place, unit_id: unit, timeout, registers: [{ extra: 'value', address: 0, type: 'uint16' }] };
    const gateway = new Gateway({ clock, intervalMs: INTERVAL_MS });
    return new Running(new ModbusDriver(schema.parse(config), buses), { gateway, again: true, againMs: RETRY_MS });
  });
  await until(() => clock.sleepers > 0);
  await clock.step(DURATION_MS);
  await Promise.all(sources.map((one) => one.stop()));
  return { line, sources };
}

const PLACES: { readonly [name: string]: object } = {
  TCP: { host: '192.0.2.7' },
  'TCP with one request at a time': { host: '192.0.2.7', parallel: 1 },
  'a serial line': { serial: { path: '/dev/ttyUSB0', baud_rate: 115_200, parity: 'none' } },
};

for (const [name, place] of Object.entries(PLACES)) {
  test(`over ${name} a unit that never answers does not keep eight others from their pace`, async () => {
    // The dead one asks first.
    const { line, sources } = await read(place, [DEAD, ...UNITS]);
    const [dead, ...living] = sources;
    assert.deepEqual(
      living.map(({ gateway }) => gateway.samples.map((one) => one['value'])),
      UNITS.map((unit) => Array.from({ length: DURATION_MS / INTERVAL_MS }, () => unit)),
    );
    assert.deepEqual(
      living.flatMap(({ errors }) => errors),
      [],
    );
    // One request is enough to know.
    assert.equal(line.asked.get(DEAD), dead?.errors.length);
    assert.equal(dead?.errors.length, Math.ceil(DURATION_MS / (RETRY_MS + DEAD_TIMEOUT_MS)));
  });
}
