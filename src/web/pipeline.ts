/** The way of a reading, hop by hop, and the first hop that is broken. Pure. */
import type { EdgeReport, HubStatus, NatsStatus } from '../model/api.ts';
import type { SinkStatus, SourceStatus } from '../model/status.ts';
import { formatAge, formatCount, formatRate } from './format.ts';
import { fullText } from './log-standing.ts';
import { STALE_AFTER_MS, type ShownState } from './standing.ts';
import type { Connection } from './stream.ts';

/** Good, needs a look, broken, not known. */
export type HopState = 'ok' | 'waiting' | 'broken' | 'unknown';

export const HOP_MARKS: { readonly [state in HopState]: ShownState } = {
  ok: 'running',
  waiting: 'hold',
  broken: 'alarm',
  unknown: 'unknown',
};

export interface Hop {
  readonly name: string;
  readonly state: HopState;
  /** A few words: what it does, or what is wrong. */
  readonly words: string;
  /** What to do about it, as a sentence. */
  readonly advice?: string;
}

/** Of a hop of which no gateway speaks. */
const NOT_TOLD = 'nobody tells';

/** A name that stays as it is within a sentence. */
const NATS = 'NATS';

export interface PipelineFacts {
  readonly edges: readonly EdgeReport[];
  readonly status: HubStatus | null;
  readonly connection: Connection['state'];
}

/** Machines, gateways, delivery, NATS where it is used, store, this page: in the order in which a reading passes them. */
export function hopsOf({ edges, status, connection }: PipelineFacts, nowMs: number): Hop[] {
  const heard = edges.filter((edge) => !isSilent(edge, nowMs));
  const sources = heard.flatMap((edge) => edge.status.sources);
  const sinks = heard.flatMap((edge) => edge.status.sinks);
  return [
    worstOf(
      'Machines',
      sources.map((source) => sourceHop(source)),
      `${sources.length} connected`,
    ),
    worstOf(
      'Gateways',
      edges.map((edge) => gatewayHop(edge, nowMs)),
      `${heard.length} heard`,
    ),
    worstOf('Delivery', sinks.map(sinkHop), deliveryWords(heard)),
    ...(status?.nats ? [natsHop(status.nats)] : []),
    storeHop(status),
    connection === 'live'
      ? { name: 'This page', state: 'ok', words: 'live' }
      : { name: 'This page', state: connection === 'late' ? 'waiting' : 'broken', words: 'does not hear the hub' },
  ];
}

export interface Verdict {
  readonly state: HopState;
  readonly sentence: string;
}

/** One sentence: what the first broken hop is, or that all is well. The nearest to the page hides what lies behind. */
export function verdictOf(facts: PipelineFacts, nowMs: number): Verdict {
  const hops = hopsOf(facts, nowMs);
  const page = hops.at(-1);
  if (page !== undefined && page.state === 'broken') {
    return { state: 'broken', sentence: 'This page does not hear the hub; what stands below is frozen.' };
  }
  // What nobody tells of is a consequence, not the cause.
  const told = hops.filter((hop) => hop.words !== NOT_TOLD);
  const broken = told.find((hop) => hop.state === 'broken') ?? told.find((hop) => hop.state !== 'ok');
  if (facts.edges.length === 0 && broken?.state !== 'broken') {
    return { state: 'waiting', sentence: 'No gateway has reported to this hub.' };
  }
  if (broken !== undefined) {
    const { name, state, words, advice } = broken;
    const sentence = `First broken hop: ${name === NATS ? NATS : name.toLowerCase()}. ${words}.`;
    return { state, sentence: advice === undefined ? sentence : `${sentence} ${advice}` };
  }
  const rate = formatRate(facts.status?.readings_per_second);
  return { state: 'ok', sentence: `Everything flows: ${rate} readings a second are stored.` };
}

export function isSilent(edge: EdgeReport, nowMs: number): boolean {
  return nowMs - Date.parse(edge.received_at) > STALE_AFTER_MS;
}

/** An edge may be older, and tell no problems, or newer, and be in a state that has no name here. */
export function sourceHop(source: SourceStatus): Hop {
  const { name, last_error: error } = source;
  switch (source.state) {
    case 'ok':
      return (source.problems?.length ?? 0) === 0 ? { name, state: 'ok', words: 'connected' } : partlyHop(source);
    case 'connecting':
      return { name, state: 'waiting', words: `${name} is connecting${because(error)}` };
    case 'silent': {
      const advice = `See whether ${source.machine_id} is on, and its cable and network work.`;
      return { name, state: 'broken', words: `${name} is silent${because(error)}`, advice };
    }
    case 'failing':
      return { name, state: 'broken', words: `${name} cannot be read${because(error)}` };
    case 'misconfigured': {
      const advice = 'Mend it in the gateway’s configuration, or at the device.';
      return { name, state: 'broken', words: `${name} is misconfigured${because(error)}`, advice };
    }
    case 'stopped':
      return { name, state: 'broken', words: `${name} has stopped${because(error)}` };
    default:
      return { name, state: 'unknown', words: `${name} is in a state of a newer gateway${because(error)}` };
  }
}

function partlyHop({ name, problems }: SourceStatus): Hop {
  const [first] = problems;
  const count = problems.length;
  const which = first === undefined ? '' : `: ${first.item} (${first.reason})${count > 1 ? ', …' : ''}`;
  const words = `${count === 1 ? '1 part' : `${count} parts`} of ${name} cannot be read${which}`;
  const advice = 'Compare the configuration with the device’s own documentation; the rest is read.';
  return { name, state: 'waiting', words, advice };
}

/** Broken before doubtful before well; those that are alike stay as they were. */
export function worstFirst<Item>(items: readonly Item[], hopOf: (item: Item) => Pick<Hop, 'state'>): Item[] {
  const rank = (item: Item): number => WORST_FIRST.indexOf(hopOf(item).state);
  return [...items].sort((a, b) => rank(a) - rank(b));
}

const WORST_FIRST: readonly HopState[] = ['broken', 'unknown', 'waiting', 'ok'];

/** A gateway with all that belongs to it. */
export function edgeHop(edge: EdgeReport, nowMs: number): Hop {
  const own = gatewayHop(edge, nowMs);
  if (own.state === 'unknown') return own;
  const { sources, sinks } = edge.status;
  const hops = [own, ...sources.map((source) => sourceHop(source)), ...sinks.map((sink) => sinkHop(sink))];
  return worstFirst(hops, (hop) => hop)[0] ?? own;
}

export function sinkHop(sink: SinkStatus): Hop {
  const name = sink.name;
  const behind =
    sink.oldest_unsent_age_seconds === null ? '' : `, oldest waits ${formatAge(sink.oldest_unsent_age_seconds * 1000)}`;
  switch (sink.state) {
    case 'ok':
      return { name, state: 'ok', words: 'delivers' };
    case 'connecting':
      return { name, state: 'waiting', words: `Sink ${name} is connecting${because(sink.last_error)}${behind}` };
    case 'failing':
      return { name, state: 'broken', words: `Sink ${name} fails${because(sink.last_error)}${behind}` };
    case 'stopped':
      return { name, state: 'broken', words: `Sink ${name} has stopped${because(sink.last_error)}${behind}` };
  }
}

export function gatewayHop(edge: EdgeReport, nowMs: number): Hop {
  const name = edge.status.gateway_id;
  if (isSilent(edge, nowMs)) {
    const words = `${name} was last heard ${formatAge(nowMs - Date.parse(edge.received_at))} ago`;
    return { name, state: 'unknown', words };
  }
  if (edge.status.log.last_error !== null) {
    return { name, state: 'broken', words: `${name} cannot write its log${because(edge.status.log.last_error)}` };
  }
  const full = fullText(edge.status.log);
  if (full !== null) return { name, state: 'waiting', words: `The log of ${name} is ${full}` };
  return { name, state: 'ok', words: 'heard' };
}

/** The hub's reading of the stream that the gateways deliver to. */
function natsHop({ state, last_error, messages_pending }: NatsStatus): Hop {
  const name = NATS;
  if (state === 'connecting') return { name, state: 'waiting', words: 'The hub is connecting to NATS' };
  if (state === 'failing') return { name, state: 'broken', words: `Nothing is read from NATS${because(last_error)}` };
  const waits = messages_pending ?? 0;
  return { name, state: 'ok', words: waits === 0 ? 'nothing waits' : `${formatCount(waits)} messages wait` };
}

function storeHop(status: HubStatus | null): Hop {
  if (status === null) return { name: 'Database', state: 'unknown', words: 'not known yet' };
  if (status.database === 'ok') return { name: 'Database', state: 'ok', words: 'stores' };
  return { name: 'Database', state: 'broken', words: `Nothing is stored${because(status.database_error)}` };
}

function worstOf(name: string, hops: readonly Hop[], allWell: string): Hop {
  if (hops.length === 0) return { name, state: 'unknown', words: NOT_TOLD };
  for (const state of WORST_FIRST.slice(0, -1)) {
    const [first, ...others] = hops.filter((hop) => hop.state === state);
    if (first === undefined) continue;
    const more = others.length === 0 ? '' : `, and ${others.length} more`;
    return { ...first, name, words: `${first.words}${more}` };
  }
  return { name, state: 'ok', words: allWell };
}

function deliveryWords(edges: readonly EdgeReport[]): string {
  const ages = edges.flatMap(({ status }) => status.sinks.flatMap((sink) => sink.oldest_unsent_age_seconds ?? []));
  return ages.length === 0 ? 'nothing waits' : `oldest waits ${formatAge(Math.max(...ages) * 1000)}`;
}

function because(error: string | null): string {
  return error === null ? '' : `: ${error}`;
}
