/** For tests and benchmarks: measurements as a CMM gives them, put into an edge's log as if the edge had read them. */
import { silentLogger } from '../../src/base/logger.ts';
import { systemClock } from '../../src/base/clock.ts';
import { nodeFiles } from '../../src/base/node-files.ts';
import type { Random } from '../../src/base/random.ts';
import { DurableLog } from '../../src/log/log.ts';
import { encodeFrame } from '../../src/model/frame.ts';
import type { Measurement } from '../../src/model/reading.ts';
import { timestampOf } from '../../src/model/time.ts';

const START_MICROS = Date.UTC(2026, 0, 1, 8) * 1000;

/** The n-th of a shop with so many CMMs; each has a timestamp and a length of its own. */
export function measurementOf(number: number, machines: number): Measurement {
  return {
    kind: 'measurement',
    machine_id: `CMM-${(number % machines) + 1}`,
    timestamp: timestampOf(START_MICROS + number * 1_000_001),
    characteristic: 'length',
    measured_value: 100 + number / 1e6,
    unit: 'mm',
    nominal_value: 100,
    temperature_c: 20 + (number % 50) / 10,
    serial_number: `SN-${number}`,
  };
}

interface LogParts {
  readonly folder: string;
  readonly gatewayId: string;
  readonly sinks: readonly string[];
  readonly random: Random;
}

export interface AppendOptions extends LogParts {
  /** Readings of a batch at most; each has a random number of them. */
  readonly batchMax: number;
}

/** While no edge has the log open. */
export async function appendToLog(measurements: readonly Measurement[], options: AppendOptions): Promise<void> {
  const { random, batchMax } = options;
  const log = await openLog(options);
  for (let next = 0; next < measurements.length; ) {
    const batch = measurements.slice(next, next + 1 + Math.floor(random() * batchMax));
    await log.append(Buffer.concat(batch.map(encodeFrame)), batch.length);
    next += batch.length;
  }
  await log.close();
}

function openLog({ folder, gatewayId, sinks, random }: LogParts): Promise<DurableLog> {
  return DurableLog.open({
    folder,
    gatewayId,
    sinks,
    files: nodeFiles,
    clock: systemClock,
    log: silentLogger,
    segmentBytesMax: 256 * 1024,
    hotBytesMax: 256 * 1024,
    sync: { kind: 'never', intervalMs: 0 },
    limits: {
      warmBytesMax: 2 ** 27,
      bytesMax: 2 ** 28,
      ageMsMax: null,
      reserveBytes: 0,
      whenFull: { samples: 'thin', measurements: 'drop_oldest', events: 'drop_oldest' },
    },
    newId: () => Math.floor(random() * 2 ** 40).toString(36),
  });
}
