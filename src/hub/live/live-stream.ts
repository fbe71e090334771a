/**
 * One client's live stream: server-sent events (HTML standard, "Server-sent events"), named as in `LiveMessages`.
 *
 * What is committed gathers here and is sent four times a second: machines as a set of names, so that one that changes
 * quickly is sent once; events and readings up to a limit, beyond which the newest by their own time are kept: while an
 * edge delivers a backlog, most of what arrives is old, and must not crowd out what a chart waits for. A client that does not read fast enough gets less, never
 * later: while its socket is full nothing is sent, and one that stays full is let go.
 */
import type { ServerResponse } from 'node:http';
import { type Clock, now } from '../../base/clock.ts';
import type { HubStatus, LiveMessages, MachineEventRow } from '../../model/api.ts';
import type { JsonValue, MachineEvent, Sample } from '../../model/reading.ts';
import { isAtLeast, type Timestamp } from '../../model/time.ts';
import type { Committed } from '../ingest/ingestor.ts';
import type { Reader } from '../store/reader.ts';
import type { LiveBus, LiveSubscriber } from './bus.ts';

export interface LiveParts {
  readonly bus: LiveBus;
  readonly reader: Reader;
  readonly hubStatus: () => Promise<HubStatus>;
  readonly clock: Clock;
}

export interface LiveLimits {
  readonly sendIntervalMs: number;
  readonly statusIntervalMs: number;
  /** The newest, by their own time, of what gathers between two sends. */
  readonly readingsMax: number;
  readonly eventsMax: number;
  /** A client whose socket holds this much unsent is sent nothing more; after so long it is let go. */
  readonly unsentBytesMax: number;
  readonly stalledMsMax: number;
}

export const LIVE_LIMITS: LiveLimits = {
  sendIntervalMs: 250,
  statusIntervalMs: 2_000,
  readingsMax: 500,
  eventsMax: 500,
  unsentBytesMax: 512 * 1024,
  stalledMsMax: 15_000,
};

export class LiveStream implements LiveSubscriber {
  readonly #parts: LiveParts;
  readonly #response: ServerResponse;
  readonly #machineId: string | undefined;
  readonly #limits: LiveLimits;
  #machines: Set<string> = new Set();
  #samples: Sample[] = [];
  #events: MachineEvent[] = [];
  #greeted = false;
  #statusDueMs = 0;
  #flowingMs = 0;

  constructor(
    parts: LiveParts,
    response: ServerResponse,
    machineId: string | undefined,
    limits: LiveLimits = LIVE_LIMITS,
  ) {
    this.#parts = parts;
    this.#response = response;
    this.#machineId = machineId;
    this.#limits = limits;
  }

  committed({ machines, samples, events }: Committed): void {
    for (const machine of machines) this.#machines.add(machine);
    for (const sample of samples) if (sample.machine_id === this.#machineId) this.#samples.push(sample);
    this.#events.push(...events);
    // Cut when twice as long, so that the cost of cutting is spread.
    if (this.#samples.length > 2 * this.#limits.readingsMax)
      this.#samples = newestOf(this.#samples, this.#limits.readingsMax);
    if (this.#events.length > 2 * this.#limits.eventsMax) this.#events = newestOf(this.#events, this.#limits.eventsMax);
  }

  /** Sends until the signal is aborted, the client goes, or it has read nothing for too long. */
  async run(signal: AbortSignal): Promise<void> {
    const { bus, clock } = this.#parts;
    const unsubscribe = bus.subscribe(this, this.#machineId);
    try {
      this.#flowingMs = clock.monotonicMs();
      for (; !signal.aborted && !this.#response.destroyed; await clock.sleep(this.#limits.sendIntervalMs, signal)) {
        if (this.#response.writableLength > this.#limits.unsentBytesMax) {
          if (clock.monotonicMs() - this.#flowingMs > this.#limits.stalledMsMax) break;
          continue;
        }
        this.#flowingMs = clock.monotonicMs();
        await this.#sendGathered();
      }
    } finally {
      unsubscribe();
      this.#response.destroy();
    }
  }

  /** Without the database there is nothing to greet with: `status` says so, and the greeting follows when it is back. */
  async #sendGathered(): Promise<void> {
    const { clock } = this.#parts;
    const statusDue = clock.monotonicMs() >= this.#statusDueMs;
    if (statusDue) this.#statusDueMs = clock.monotonicMs() + this.#limits.statusIntervalMs;
    try {
      if (!this.#greeted) await this.#hello();
      else if (statusDue) await this.#sendStatus();
      await this.#sendMachines();
    } catch {
      if (statusDue) this.#send('status', await this.#parts.hubStatus());
    }
    if (this.#samples.length > 0)
      this.#send('readings', newestOf(this.#samples.splice(0), this.#limits.readingsMax).map(wireForm));
    if (this.#events.length > 0)
      this.#send('events', newestOf(this.#events.splice(0), this.#limits.eventsMax).map(eventRow));
  }

  async #hello(): Promise<void> {
    const { reader, hubStatus, clock } = this.#parts;
    const [status, machines, edges] = await Promise.all([hubStatus(), reader.fleet(now(clock)), reader.edges()]);
    this.#greeted = true;
    this.#send('hello', { status, machines, edges });
  }

  async #sendStatus(): Promise<void> {
    const { reader, hubStatus } = this.#parts;
    const edges = await reader.edges();
    this.#send('status', await hubStatus());
    this.#send('edges', edges);
    // The edges' words on their sources are part of a machine's state.
    for (const edge of edges) for (const source of edge.status.sources) this.#machines.add(source.machine_id);
  }

  async #sendMachines(): Promise<void> {
    if (this.#machines.size === 0) return;
    const changed = this.#machines;
    // A new set before the question: what is committed while it is answered may be missing in the answer.
    this.#machines = new Set();
    const { reader, clock } = this.#parts;
    try {
      const machines = await reader.fleet(now(clock), [...changed]);
      if (machines.length > 0) this.#send('machines', machines);
    } catch (error) {
      for (const id of changed) this.#machines.add(id);
      throw error;
    }
  }

  #send<Name extends keyof LiveMessages>(name: Name, data: LiveMessages[Name]): void {
    this.#response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }
}

/** Between equals, what arrived later is newer. */
function newestOf<Item extends { readonly timestamp: Timestamp }>(items: Item[], max: number): Item[] {
  if (items.length <= max) return items;
  // What is kept from before is in order, and a backlog comes in order: few comparisons.
  items.sort((a, b) => (isAtLeast(a.timestamp, b.timestamp) ? (isAtLeast(b.timestamp, a.timestamp) ? 0 : 1) : -1));
  return items.slice(-max);
}

function eventRow(event: MachineEvent): MachineEventRow {
  return {
    time: event.timestamp,
    machine_id: event.machine_id,
    event_type: event.event_type,
    item: event.item ?? null,
    state: event.state ?? null,
    previous_state: event.previous_state ?? null,
    level: event.level ?? null,
    native_code: event.native_code ?? null,
    native_severity: event.native_severity ?? null,
    qualifier: event.qualifier ?? null,
    text: event.text ?? null,
    details: event.details ?? null,
  };
}

/** A sample may carry its kind, which says nothing here. */
function wireForm(sample: Sample): LiveMessages['readings'][number] {
  const wire: { [key: string]: JsonValue } = {};
  for (const [key, value] of Object.entries(sample)) if (value !== undefined && key !== 'kind') wire[key] = value;
  return wire;
}
