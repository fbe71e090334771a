/** How each source fares, by what the edge says of it every two seconds, and by its events, which come sooner. Pure. */
import type { MachineEvent } from '../../model/reading.ts';
import type { EdgeStatus, SourceStatus } from '../../model/status.ts';
import { microsOf } from '../../model/time.ts';
import type { Link } from './values.ts';

/** Sampling intervals without a sign of life after which a source is silent. */
const INTERVALS_MAX = 3;
/** A word that is ahead of a later one by more is of a clock that was set back since, as when a gateway learns the time. */
const OVERTAKEN_MICROS_MAX = 10_000_000;

interface Source {
  readonly machine: string;
  link: 'unknown' | 'up' | 'down';
  /** The gateway's clock when that was said. */
  micros: number;
}

export class Links {
  readonly #silentAfterMs: number;
  readonly #sources = new Map<string, Source>();
  readonly #lost = new Set<string>();

  constructor({ silentAfterMs }: { readonly silentAfterMs: number }) {
    this.#silentAfterMs = silentAfterMs;
  }

  /** `pollIntervalsMs`: of each source that is polled, by its name; of others silence says nothing. */
  takeStatus(
    { sources, sent_at }: Pick<EdgeStatus, 'sources' | 'sent_at'>,
    pollIntervalsMs: ReadonlyMap<string, number>,
  ): void {
    const micros = microsOf(sent_at);
    for (const source of sources) {
      // An event may have overtaken it.
      const known = this.#sources.get(source.name);
      const aheadMicros = (known?.micros ?? micros) - micros;
      if (aheadMicros > 0 && aheadMicros <= OVERTAKEN_MICROS_MAX) continue;
      const link = this.#linkOf(source, { micros, pollIntervalMs: pollIntervalsMs.get(source.name) });
      if (link === 'down' && known?.link !== 'down') this.#lost.add(source.machine_id);
      this.#sources.set(source.name, { machine: source.machine_id, link, micros });
    }
  }

  /** Of those that the edge makes: `connected`, and the name of the source. */
  takeEvent({ event_type, item, details, timestamp }: MachineEvent): void {
    const connected = details?.['connected'];
    const source = item === undefined ? undefined : this.#sources.get(item);
    if (event_type !== 'connection' || typeof connected !== 'boolean' || source === undefined) return;
    const micros = microsOf(timestamp);
    if (micros <= source.micros) return;
    if (!connected && source.link !== 'down') this.#lost.add(source.machine);
    source.link = connected ? 'up' : 'down';
    source.micros = micros;
  }

  /** Of each machine that has a source, in all. */
  byMachine(): Map<string, Link> {
    const links = new Map<string, Set<Source['link']>>();
    for (const { machine, link } of this.#sources.values()) {
      links.set(machine, (links.get(machine) ?? new Set()).add(link));
    }
    return new Map([...links].map(([machine, all]) => [machine, together(all)]));
  }

  /** Machines of which a source was lost since the last call. */
  takeLost(): ReadonlySet<string> {
    const lost = new Set(this.#lost);
    this.#lost.clear();
    return lost;
  }

  #linkOf(
    { state, last_error, last_contact }: SourceStatus,
    { micros, pollIntervalMs }: { micros: number; pollIntervalMs: number | undefined },
  ): Source['link'] {
    if (state === 'failing' || state === 'misconfigured' || state === 'stopped') return 'down';
    // A try that is under way after one that failed is still no connection.
    if (state === 'connecting') return last_error === null ? 'unknown' : 'down';
    // Of a source that is polled the clients are told as late as this sink's own settings have it.
    if (last_contact === null || pollIntervalMs === undefined) return state === 'silent' ? 'down' : 'up';
    const silentMs = Math.max(this.#silentAfterMs, INTERVALS_MAX * pollIntervalMs);
    return micros - microsOf(last_contact) > silentMs * 1000 ? 'down' : 'up';
  }
}

function together(links: ReadonlySet<Source['link']>): Link {
  if (!links.has('down')) return links.has('up') ? 'up' : 'unknown';
  return links.size === 1 ? 'down' : 'partly';
}
