/** The gateways of a run at work: each publishes its machines' readings in turn, at its share of the rate. */
import type { Clock } from '../base/clock.ts';
import type { Batch } from '../model/batch.ts';
import type { SentMalformed } from './checker.ts';
import { type LoadPlan, type LoadSettings, payloadOf, type PlannedGateway, type PlannedMachine } from './plan.ts';
import type { Publisher } from './publisher.ts';

export interface Publishing {
  readonly settings: LoadSettings;
  readonly plan: LoadPlan;
  readonly epoch: string;
  readonly clock: Clock;
  /** Filled as they are sent. */
  readonly malformed: SentMalformed[];
  /** Hears of every message as it is handed to its publisher; `machine` is null for a malformed one. */
  readonly onPublish: (readings: number, machine: PlannedMachine | null) => void;
}

/** Resolves when everything is handed to the publisher, or the signal is aborted. @throws as the publisher does */
export async function publishGateway(
  publishing: Publishing,
  { gateway, publisher }: { gateway: PlannedGateway; publisher: Publisher },
  signal: AbortSignal,
): Promise<void> {
  const { settings, plan, clock, epoch } = publishing;
  const pace = new Pace(settings, gateway.machines.length / plan.machines.length, clock);
  const malformed = [...gateway.malformed];
  let sequence = 0;
  const publish = (payload: Uint8Array, readings: number, machine: PlannedMachine | null): void => {
    sequence += 1;
    publishing.onPublish(readings, machine);
    const batch: Batch = { gatewayId: gateway.id, epoch, sequence, readings, payload };
    publisher.publish(batch);
  };
  for (let turn = 0; ; turn += 1) {
    const machine = gateway.machines[turn % gateway.machines.length];
    const progress = pace.progress(gateway.machines);
    for (let next = malformed[0]; next !== undefined && next.at <= progress; next = malformed[0]) {
      if (!publisher.hasRoom) await publisher.room(signal);
      if (signal.aborted) return;
      malformed.shift();
      publishing.malformed.push({ gatewayId: gateway.id, sequence: sequence + 1, reason: next.reason });
      publish(next.payload, 1, null);
    }
    if (progress >= 1 || machine === undefined) return;
    if (!publisher.hasRoom) await publisher.room(signal);
    await pace.wait(signal);
    if (signal.aborted) return;
    const readings = Math.min(settings.batch, (machine.count ?? Number.POSITIVE_INFINITY) - machine.sent);
    if (readings <= 0) continue;
    const payload = payloadOf(machine, readings);
    machine.sent += readings;
    pace.sent += readings;
    publish(payload, readings, machine);
  }
}

/** When the next message is due, and how much of the run is done. */
class Pace {
  sent = 0;
  readonly #settings: LoadSettings;
  readonly #clock: Clock;
  readonly #startMs: number;
  /** Null: as fast as it goes. */
  readonly #readingsPerMs: number | null;

  /** @param share of all machines, which is the share of the rate */
  constructor(settings: LoadSettings, share: number, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
    this.#readingsPerMs = settings.rate === null ? null : (settings.rate * share) / 1000;
  }

  /** From 0 to 1. */
  progress(machines: readonly PlannedMachine[]): number {
    const { extent } = this.#settings;
    if ('count' in extent) return this.sent / (extent.count * machines.length);
    return Math.min(1, (this.#clock.monotonicMs() - this.#startMs) / extent.durationMs);
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (this.#readingsPerMs === null) return;
    const aheadMs = this.#startMs + this.sent / this.#readingsPerMs - this.#clock.monotonicMs();
    // What is late is made up for, so that the rate holds over the whole run.
    if (aheadMs > 0) await this.#clock.sleep(aheadMs, signal);
  }
}
