/**
 * A coordinate measuring machine that is not there: it inspects one part after another in a room whose temperature swings,
 * and leaves a CSV file for each.
 *
 *     temperature  T = 20 °C + swing · sin(2π t / period) + drift · t
 *     true length  at 20 °C: nominal + tool wear · parts made before + the process's spread
 *     observed     true · (1 + α (T − 20 °C)) + noise
 *
 * Its scale does not expand, as if the machine had compensated that: a length holds the expansion of the part, and for the
 * processor `thermal` the source is one with `compensation: scale`.
 *
 * The columns are those that users have; columns for feature, serial number and limits are added where they are asked for.
 * The newest files are kept and older ones deleted, as such machines do.
 */
import type { Clock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Files } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import { gaussian, type Random, seededRandom } from '../base/random.ts';
import { type Timestamp, timestampOf } from '../model/time.ts';

/** Coefficients of thermal expansion near 20 °C, per kelvin (Callister, appendix B). */
export const MATERIALS = {
  'aluminium-6061': 23.6e-6,
  'aluminium-7075': 23.4e-6,
  'steel-1045': 11.6e-6,
  'steel-4140': 12.3e-6,
  'stainless-304': 17.2e-6,
  'stainless-316': 15.9e-6,
  'titanium-6al4v': 8.6e-6,
  'brass-c360': 20.5e-6,
  'grey-iron': 11.4e-6,
  invar: 1.6e-6,
} as const;
export type Material = keyof typeof MATERIALS;

export function isMaterial(name: string): name is Material {
  return Object.hasOwn(MATERIALS, name);
}

export interface FeatureOptions {
  readonly name: string;
  readonly nominalMm: number;
}

export interface CmmOptions {
  readonly material: Material;
  /** One row a file for each; a single one without a name adds no column. */
  readonly features: readonly FeatureOptions[];
  readonly swingC: number;
  readonly periodSeconds: number;
  /** Of the room, kelvin an hour. */
  readonly driftCPerHour: number;
  /** Standard deviation of a measurement. */
  readonly noiseMm: number;
  /** Half-width about the nominal; with it come columns of limits, and parts that differ by a quarter of it (one sigma). */
  readonly toleranceMm: number | null;
  /** What each part is longer than the one before it. */
  readonly toolWearMm: number;
  readonly serialNumbers: boolean;
  readonly seed: number;
}

export const CMM_DEFAULTS: Omit<CmmOptions, 'seed'> = {
  material: 'aluminium-6061',
  features: [{ name: '', nominalMm: 100 }],
  swingC: 5,
  periodSeconds: 60,
  driftCPerHour: 0,
  noiseMm: 0.001,
  toleranceMm: null,
  toolWearMm: 0,
  serialNumbers: false,
};

export interface CmmRow {
  readonly timestamp: Timestamp;
  readonly temperatureC: number;
  readonly trueLengthMm: number;
  readonly observedLengthMm: number;
  readonly feature: FeatureOptions;
  readonly serialNumber: string;
}

/** What goes wrong with a file. */
export const CMM_FAULTS = ['half_file', 'late_rename', 'duplicate_row', 'decimal_comma'] as const;
export type CmmFault = (typeof CMM_FAULTS)[number];

/** The physics: no files, no clock. */
export class SimulatedCmm {
  readonly #options: CmmOptions;
  readonly #random: Random;
  readonly #partsBefore: number;
  #parts = 0;

  /** `partsBefore`: serial numbers go on after so many. */
  constructor(options: CmmOptions, partsBefore = 0) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#partsBefore = partsBefore;
  }

  /** Inspects the next part, so many seconds after the start. */
  measure(elapsedSeconds: number, timestamp: Timestamp): CmmRow[] {
    const { material, features, swingC, periodSeconds, driftCPerHour, noiseMm, toleranceMm, toolWearMm } =
      this.#options;
    const temperatureC =
      20 + swingC * Math.sin((2 * Math.PI * elapsedSeconds) / periodSeconds) + (driftCPerHour * elapsedSeconds) / 3600;
    const spreadMm = toleranceMm === null ? 0 : (toleranceMm / 4) * gaussian(this.#random);
    const longerMm = toolWearMm * this.#parts + spreadMm;
    this.#parts += 1;
    return features.map((feature) => {
      const trueLengthMm = feature.nominalMm + longerMm;
      const expansion = 1 + MATERIALS[material] * (temperatureC - 20);
      return {
        timestamp,
        temperatureC,
        trueLengthMm,
        observedLengthMm: trueLengthMm * expansion + noiseMm * gaussian(this.#random),
        feature,
        serialNumber: `SN-${numberText(this.#partsBefore + this.#parts)}`,
      };
    });
  }

  /** The text of a file with these rows. */
  csv(rows: readonly CmmRow[], fault?: CmmFault): string {
    const last = rows.at(-1);
    const written = fault === 'duplicate_row' && last !== undefined ? [...rows, last] : rows;
    const lines = written.map((row) => {
      const fields = this.#fields(row);
      // As a program does whose locale was changed: the delimiter stays a comma too.
      return (
        fault === 'decimal_comma' ? fields.map((field) => field.replace(/^(-?\d+)\.(\d+)$/, '$1,$2')) : fields
      ).join(',');
    });
    return `${[this.#header().join(','), ...lines].join('\n')}\n`;
  }

  #header(): string[] {
    const { features, toleranceMm, serialNumbers } = this.#options;
    return [
      'Timestamp',
      'Simulated_Temperature_C',
      'True_Part_Length_mm',
      'Observed_Part_Length_mm',
      ...(features.some(({ name }) => name !== '') ? ['Feature'] : []),
      ...(serialNumbers ? ['Serial_Number'] : []),
      ...(toleranceMm === null ? [] : ['Nominal_mm', 'Lower_Limit_mm', 'Upper_Limit_mm']),
    ];
  }

  #fields(row: CmmRow): string[] {
    const { features, toleranceMm, serialNumbers } = this.#options;
    const { nominalMm, name } = row.feature;
    const limits = toleranceMm === null ? [] : [nominalMm, nominalMm - toleranceMm, nominalMm + toleranceMm];
    return [
      row.timestamp,
      row.temperatureC.toFixed(4),
      row.trueLengthMm.toFixed(6),
      row.observedLengthMm.toFixed(6),
      ...(features.some((feature) => feature.name !== '') ? [name] : []),
      ...(serialNumbers ? [row.serialNumber] : []),
      ...limits.map((limit) => limit.toFixed(6)),
    ];
  }
}

export interface CmmRunOptions extends CmmOptions {
  readonly folder: string;
  readonly intervalMs: number;
  /** Stop after so many files; null: never. */
  readonly count: number | null;
  /** Newest files kept; null: all. */
  readonly keep: number | null;
  /** Every {@link FAULT_EVERY}th file, on average, has one of {@link CMM_FAULTS}. */
  readonly faults: boolean;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface CmmRun {
  readonly files: number;
  readonly rows: number;
  readonly faults: Readonly<Record<CmmFault, number>>;
}

const FAULT_EVERY = 4;
/** A file that is written in two halves, or renamed late, is whole after this share of the interval. */
const LATE_SHARE = 0.5;
const PREFIX = 'cmm_';
const FILE_NAME = /^cmm_\w+_(\d+)\.csv$/;

/**
 * Writes files until the signal is aborted or there are enough; a file that is begun is finished.
 * @throws storage_failed when the folder cannot be written
 */
export async function runCmm(options: CmmRunOptions, signal: AbortSignal): Promise<CmmRun> {
  const { folder, files, clock, log, intervalMs, count, keep } = options;
  // Of its own, so that the same seed gives the same lengths with faults and without.
  const faultRandom = seededRandom(options.seed ^ 0x5eed);
  const faults = { half_file: 0, late_rename: 0, duplicate_row: 0, decimal_comma: 0 };
  let written = 0;
  let rows = 0;
  try {
    await files.makeFolder(folder);
    const partsBefore = newestNumber(await files.list(folder));
    const cmm = new SimulatedCmm(options, partsBefore);
    const startMs = clock.monotonicMs();
    while (!signal.aborted && (count === null || written < count)) {
      const elapsedMs = clock.monotonicMs() - startMs;
      const timestamp = timestampOf(clock.nowMicros());
      const part = cmm.measure(elapsedMs / 1000, timestamp);
      const fault = options.faults ? nextFault(faultRandom) : undefined;
      const name = fileName(timestamp, partsBefore + written + 1);
      await writeFile(options, { name, text: cmm.csv(part, fault), fault }, signal);
      written += 1;
      rows += part.length;
      if (fault !== undefined) faults[fault] += 1;
      const { temperatureC, observedLengthMm } = part[0]!;
      log.info('measured a part', {
        file: name,
        temperature_c: Number(temperatureC.toFixed(3)),
        observed_length_mm: Number(observedLengthMm.toFixed(6)),
        ...(fault && { fault }),
      });
      if (keep !== null) await deleteOld(options, keep);
      // On a grid, so that a slow disk does not slow the parts down.
      await clock.sleep(Math.max(0, startMs + written * intervalMs - clock.monotonicMs()), signal);
    }
  } catch (cause) {
    throw new MillwrightError('storage_failed', `the folder ${folder} cannot be written`, { cause });
  }
  return { files: written, rows, faults };
}

function nextFault(random: Random): CmmFault | undefined {
  const pick = Math.floor(random() * CMM_FAULTS.length * FAULT_EVERY);
  return CMM_FAULTS[pick];
}

/** `cmm_20260101T080000123_000001.csv` */
function fileName(timestamp: Timestamp, number: number): string {
  return `${PREFIX}${timestamp.slice(0, 23).replaceAll(/[-:.]/g, '')}_${numberText(number)}.csv`;
}

/** Of the files that an earlier run has left, so that no two parts have the same number; 0: there are none. */
function newestNumber(names: readonly string[]): number {
  return Math.max(0, ...names.map((name) => Number(FILE_NAME.exec(name)?.[1] ?? 0)));
}

function numberText(number: number): string {
  return String(number).padStart(6, '0');
}

async function writeFile(
  { folder, files, clock, intervalMs }: CmmRunOptions,
  { name, text, fault }: { name: string; text: string; fault: CmmFault | undefined },
  signal: AbortSignal,
): Promise<void> {
  const bytes = Buffer.from(text);
  const written = fault === 'late_rename' ? `${folder}/${name}.tmp` : `${folder}/${name}`;
  const handle = await files.open(written, 'create');
  try {
    const half = fault === 'half_file' ? Math.ceil(bytes.length * 0.6) : bytes.length;
    await handle.write([bytes.subarray(0, half)], 0);
    if (half < bytes.length) {
      await clock.sleep(intervalMs * LATE_SHARE, signal);
      await handle.write([bytes.subarray(half)], half);
    }
  } finally {
    await handle.close();
  }
  if (fault !== 'late_rename') return;
  await clock.sleep(intervalMs * LATE_SHARE, signal);
  await files.rename(written, `${folder}/${name}`);
}

/** Only what a simulator has written: the folder may hold other things. */
async function deleteOld({ folder, files }: CmmRunOptions, keep: number): Promise<void> {
  const own = (await files.list(folder)).filter((name) => name.startsWith(PREFIX) && name.endsWith('.csv')).sort();
  for (const name of own.slice(0, Math.max(0, own.length - keep))) await files.remove(`${folder}/${name}`);
}
