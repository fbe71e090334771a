/** What the pages know: the newest word of the hub, as signals. Filled by the live stream only. */
import { batch, computed, type ReadonlySignal, type Signal, signal } from '@preact/signals';
import type { EdgeReport, HubStatus, LiveMessages, MachineEventRow, MachineNow } from '../model/api.ts';
import { type PlantTime, plantTime } from './format.ts';

type Sample = LiveMessages['readings'][number];

/** Told of every sample and event of the machine the stream was opened for. */
export interface LiveListener {
  samples(samples: readonly Sample[]): void;
  events(events: readonly MachineEventRow[]): void;
  /** A new stream has begun: what happened in between was not told. */
  restarted(): void;
}

export class Store {
  /** In the fixed order of the pages. null until the hub has spoken: not yet known is not the same as none. */
  readonly machineIds: Signal<readonly string[] | null> = signal(null);
  readonly edges: Signal<readonly EdgeReport[]> = signal([]);
  readonly status: Signal<HubStatus | null> = signal(null);
  /** Now by the hub's clock, in ms; one tick a second drives all ages. */
  readonly nowMs: Signal<number>;
  readonly plant: ReadonlySignal<PlantTime>;
  readonly #machines = new Map<string, Signal<MachineNow>>();
  readonly #listeners = new Set<LiveListener>();
  readonly #browserClockMs: () => number;
  /** Hub's clock minus the browser's. */
  #offsetMs = 0;

  constructor(browserClockMs: () => number) {
    this.#browserClockMs = browserClockMs;
    this.nowMs = signal(browserClockMs());
    const zone = computed(() => this.status.value?.time_zone ?? 'UTC');
    this.plant = computed(() => plantTime(zone.value));
  }

  /** The machine's signal, or undefined when the hub does not know it. */
  machine(id: string): Signal<MachineNow> | undefined {
    return this.#machines.get(id);
  }

  /** All machines in their fixed order; reading it subscribes to each of them. */
  machines(): MachineNow[] {
    return (this.machineIds.value ?? []).flatMap((id) => this.#machines.get(id)?.value ?? []);
  }

  tick(): void {
    this.nowMs.value = this.hubTimeMs();
  }

  hubTimeMs(): number {
    return this.#browserClockMs() + this.#offsetMs;
  }

  listen(listener: LiveListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  apply<Name extends keyof LiveMessages>(name: Name, message: LiveMessages[Name]): void {
    const handlers: { [N in keyof LiveMessages]: (message: LiveMessages[N]) => void } = {
      hello: (hello) => this.#hello(hello),
      machines: (machines) => this.#upsertMachines(machines),
      edges: (edges) => this.#upsertEdges(edges),
      status: (status) => this.#setStatus(status),
      readings: (samples) => {
        for (const listener of this.#listeners) listener.samples(samples);
      },
      events: (events) => {
        for (const listener of this.#listeners) listener.events(events);
      },
    };
    batch(() => handlers[name](message));
  }

  #hello({ status, machines, edges }: LiveMessages['hello']): void {
    this.#setStatus(status);
    const known = new Set(machines.map((machine) => machine.id));
    for (const id of this.#machines.keys()) if (!known.has(id)) this.#machines.delete(id);
    this.#upsertMachines(machines);
    this.#setMachineIds();
    this.edges.value = [];
    this.#upsertEdges(edges);
    for (const listener of this.#listeners) listener.restarted();
  }

  #setStatus(status: HubStatus): void {
    this.#offsetMs = Date.parse(status.time) - this.#browserClockMs();
    this.status.value = status;
    this.tick();
  }

  #upsertMachines(machines: readonly MachineNow[]): void {
    let added = false;
    for (const machine of machines) {
      const known = this.#machines.get(machine.id);
      if (known === undefined) {
        this.#machines.set(machine.id, signal(machine));
        added = true;
      } else known.value = machine;
    }
    if (added) this.#setMachineIds();
  }

  #setMachineIds(): void {
    this.machineIds.value = [...this.#machines.keys()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  }

  #upsertEdges(edges: readonly EdgeReport[]): void {
    const byId = new Map(this.edges.peek().map((edge) => [edge.status.gateway_id, edge]));
    for (const edge of edges) byId.set(edge.status.gateway_id, edge);
    this.edges.value = [...byId.values()].sort((a, b) => a.status.gateway_id.localeCompare(b.status.gateway_id, 'en'));
  }
}
