/** The way from a driver to the log: the processors, in the order of the configuration, then the batcher. */
import { MillwrightError } from '../../base/errors.ts';
import type { Reading } from '../../model/reading.ts';
import { isObserver, type Processor } from '../../ports/processor.ts';
import { PROCESSORS } from '../../processors/registry.ts';
import { isSame } from '../reload/changes.ts';
import type { ProcessorSettings } from '../settings.ts';
import type { Batcher } from './batcher.ts';

/** A processor, and whose readings it is for. */
export interface Stage {
  readonly processor: Processor;
  /** null: of every machine. */
  readonly machines: ReadonlySet<string> | null;
  /** Machines whose readings it sees without processing them. */
  readonly observed: ReadonlySet<string>;
}

/** @throws config_invalid for a type that there is not */
export async function createStage({ type, machines, options }: ProcessorSettings): Promise<Stage> {
  const entry = PROCESSORS[type];
  if (entry === undefined) throw new MillwrightError('config_invalid', `there is no processor of type ${type}`);
  const processor = (await entry.create()).create(options);
  const observed = new Set(isObserver(processor) ? processor.observedMachines : []);
  return { processor, machines: machines === null ? null : new Set(machines), observed };
}

/** A stage, and what it was made of. */
export interface ConfiguredStage extends Stage {
  readonly settings: ProcessorSettings;
}

/**
 * The stages that the settings want. One whose settings are as before is taken over, with what it has learned.
 * @throws config_invalid for a type that there is not
 */
export async function stagesFor(
  wanted: readonly ProcessorSettings[],
  before: readonly ConfiguredStage[],
): Promise<ConfiguredStage[]> {
  const left = [...before];
  const stages: ConfiguredStage[] = [];
  for (const settings of wanted) {
    const place = left.findIndex((stage) => isSame(stage.settings, settings));
    const [kept] = place < 0 ? [] : left.splice(place, 1);
    stages.push(kept ?? { ...(await createStage(settings)), settings });
  }
  return stages;
}

export class Pipeline {
  #stages: readonly Stage[];
  readonly #batcher: Pick<Batcher, 'accept'>;

  constructor(stages: readonly Stage[], batcher: Pick<Batcher, 'accept'>) {
    this.#stages = stages;
    this.#batcher = batcher;
  }

  /** For all readings from now on. */
  use(stages: readonly Stage[]): void {
    this.#stages = stages;
  }

  accept(reading: Reading): void {
    this.#from(0, reading);
  }

  #from(index: number, reading: Reading): void {
    const stage = this.#stages[index];
    if (stage === undefined) return this.#batcher.accept(reading);
    const { processor, machines, observed } = stage;
    if (machines === null || machines.has(reading.machine_id)) {
      for (const processed of processor.process(reading)) this.#from(index + 1, processed);
      return;
    }
    if (observed.has(reading.machine_id) && isObserver(processor)) processor.observe(reading);
    this.#from(index + 1, reading);
  }
}
