/** One gateway on the pipeline page: its log, its sinks, its sources. */
import type { ComponentChildren, JSX } from 'preact';
import type { EdgeReport } from '../../model/api.ts';
import type { EdgeState, LogStatus, SinkStatus, SourceStatus } from '../../model/status.ts';
import { machineHref } from '../attention.ts';
import { useShell } from '../context.ts';
import { formatAge, formatBytes, formatCount, formatOffset, formatRate, MISSING } from '../format.ts';
import { drainText, fullPart, fullText, logWarnings, sizeText } from '../log-standing.ts';
import { HOP_MARKS, type Hop, isSilent, sinkHop, sourceHop, worstFirst } from '../pipeline.ts';
import type { ShownState } from '../standing.ts';
import { Facts } from './facts.tsx';
import { StateMark } from './state-mark.tsx';

const EDGE_WORDS: { readonly [state in EdgeState]: readonly [mark: ShownState, words: string] } = {
  starting: ['setup', 'Starting'],
  online: ['running', 'Online: every source and sink works'],
  degraded: ['hold', 'Degraded: not every source and sink works in all its parts'],
  offline: ['alarm', 'Offline: no sink works, readings are kept in the log'],
  draining: ['setup', 'Draining: a backlog is being delivered'],
  stopping: ['idle', 'Stopping'],
};

export function EdgeCard({ edge }: { edge: EdgeReport }): JSX.Element {
  const { store } = useShell();
  const nowMs = store.nowMs.value;
  const { status } = edge;
  const silent = isSilent(edge, nowMs);
  const heardMs = Date.parse(edge.received_at);
  const [mark, words] = silent
    ? (['unknown', `Last heard ${formatAge(nowMs - heardMs)} ago, ${store.plant.value.near(heardMs, nowMs)}`] as const)
    : EDGE_WORDS[status.state];
  const drained = silent || status.state !== 'draining' ? null : drainText(status.sinks);
  const id = `edge-${status.gateway_id}`;
  return (
    <section class={silent ? 'part card part-silent' : 'part card'} aria-labelledby={id}>
      <header class="part-head">
        <h2 id={id}>{status.gateway_id}</h2>
        <p class={`part-state ink-${mark}`}>
          <StateMark state={mark} /> {words}
          {drained === null ? null : `, ${drained}`}
        </p>
        <p class="part-notes">
          {[status.location, `version ${status.version}`].filter((part) => part !== null).join(' · ')}
        </p>
      </header>
      {status.log.last_error === null ? null : <p class="part-error">Log: {status.log.last_error}</p>}
      {logWarnings(status.log).map((warning) => (
        <p key={warning} class="part-warning ink-hold">
          <StateMark state="hold" /> <span>{warning}</span>
        </p>
      ))}
      <Facts
        facts={[
          ['Readings a second', formatRate(status.readings_per_second)],
          ['Log depth', <LogDepth log={status.log} sinks={status.sinks} />],
          ['Oldest unsent', formatSeconds(oldestUnsent(status.sinks))],
          ['Losses', formatCount(status.losses)],
          ['Clock against hub', formatOffset(edge.clock_offset_seconds)],
          ['Memory', formatBytes(status.memory_bytes)],
          ['Running for', formatAge(Date.parse(status.sent_at) - Date.parse(status.started_at))],
        ]}
      />
      <Sinks sinks={status.sinks} skewMs={edge.clock_offset_seconds * 1000} isOld={silent} />
      <Sources sources={status.sources} skewMs={edge.clock_offset_seconds * 1000} isOld={silent} />
    </section>
  );
}

/** The bar says again what stands above it. */
function LogDepth({ log, sinks }: { log: LogStatus; sinks: readonly SinkStatus[] }): JSX.Element {
  const batches = Math.max(0, ...sinks.map((sink) => sink.lag_batches));
  const part = fullPart(log);
  return (
    <>
      {formatCount(batches)} <span class="unit">batches</span> <span class="log-size">{sizeText(log)}</span>
      {part === null ? null : (
        <span class={fullText(log) === null ? 'log-bar' : 'log-bar log-bar-full'} aria-hidden="true">
          <span style={{ width: `${part * 100}%` }} />
        </span>
      )}
    </>
  );
}

interface RowsProps {
  /** Gateway's clock minus the hub's: its times are shown as ages by the hub's clock. */
  readonly skewMs: number;
  /** The gateway is not heard: what it said is told as what was. */
  readonly isOld: boolean;
}

function Sinks({ sinks, skewMs, isOld }: RowsProps & { sinks: readonly SinkStatus[] }): JSX.Element | null {
  const { store } = useShell();
  if (sinks.length === 0) return null;
  return (
    <div class="table-frame">
      <table class="parts-table">
        <caption>Sinks</caption>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">State</th>
            <th scope="col">Waiting</th>
            <th scope="col">Oldest unsent</th>
            <th scope="col">Rate</th>
            <th scope="col">Retries</th>
            <th scope="col">Dead letters</th>
            <th scope="col">Last delivery</th>
          </tr>
        </thead>
        <tbody>
          {worstFirst(sinks, sinkHop).map((sink) => (
            <tr key={sink.name}>
              <Name name={sink.name} type={sink.type} />
              <State hop={sinkHop(sink)} words={sink.state} isOld={isOld}>
                <LastError error={sink.last_error} ago={null} isOver={sink.state === 'ok'} />
              </State>
              <td data-label="Waiting">
                {formatCount(sink.lag_batches)} <span class="unit">batches</span> {formatCount(sink.lag_readings)}{' '}
                <span class="unit">readings</span>
                <Remark text={drainText([sink])} />
              </td>
              <td data-label="Oldest unsent">{formatSeconds(sink.oldest_unsent_age_seconds)}</td>
              <td data-label="Rate">
                {formatRate(sink.readings_per_second)} <span class="unit">/s</span>
              </td>
              <td data-label="Retries">{formatCount(sink.retries)}</td>
              <td data-label="Dead letters">{formatCount(sink.dead_letters)}</td>
              <td data-label="Last delivery">{agoOf(sink.last_delivery, store.nowMs.value + skewMs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Sources({ sources, skewMs, isOld }: RowsProps & { sources: readonly SourceStatus[] }): JSX.Element | null {
  const { store } = useShell();
  if (sources.length === 0) return null;
  const gatewayMs = store.nowMs.value + skewMs;
  return (
    <div class="table-frame">
      <table class="parts-table">
        <caption>Sources</caption>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">State</th>
            <th scope="col">Machine</th>
            <th scope="col">Last value</th>
            <th scope="col">Last sign of life</th>
            <th scope="col">Rate</th>
            <th scope="col">Readings</th>
            <th scope="col">Errors</th>
            <th scope="col">Latency</th>
            <th scope="col">Reconnects</th>
          </tr>
        </thead>
        <tbody>
          {worstFirst(sources, sourceHop).map((source) => (
            <tr key={source.name}>
              <Name name={source.name} type={source.type} />
              <SourceState source={source} gatewayMs={gatewayMs} isOld={isOld} />
              <td data-label="Machine">
                <a href={machineHref(source.machine_id)}>{source.machine_id}</a>
              </td>
              <td data-label="Last value">{agoOf(source.last_reading, gatewayMs)}</td>
              <td data-label="Last sign of life">{agoOf(source.last_contact, gatewayMs)}</td>
              <td data-label="Rate">
                {formatRate(source.readings_per_second)} <span class="unit">/s</span>
                <Remark text={source.sampling_factor > 1 ? `1 of ${source.sampling_factor} samples` : null} />
              </td>
              <td data-label="Readings">{formatCount(source.readings)}</td>
              <td data-label="Errors">{formatCount(source.errors)}</td>
              <td data-label="Latency">
                {formatLatency(source.latency_ms)}
                <Remark text={answersText(source)} />
              </td>
              <td data-label="Reconnects">{formatCount(source.reconnects)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The problems that stand, then what went wrong last: that stays in sight after things went well again. */
function SourceState(props: { source: SourceStatus; gatewayMs: number; isOld: boolean }): JSX.Element {
  const { source, gatewayMs, isOld } = props;
  const problems = source.problems ?? [];
  const since = source.state_since === undefined ? null : formatAge(gatewayMs - Date.parse(source.state_since));
  const parts = problems.length === 0 ? '' : problems.length === 1 ? ', 1 problem' : `, ${problems.length} problems`;
  const words = since === null || isOld ? source.state : `${source.state} for ${since}`;
  const isTold = problems.some(({ item, reason }) => source.last_error === `${item}: ${reason}`);
  const hop = sourceHop(source);
  return (
    <State hop={hop} words={words + parts} isOld={isOld}>
      {problems.length === 0 ? null : (
        <ul class="problems">
          {problems.map(({ item, reason }) => (
            <li key={item}>
              {item}: {reason}
            </li>
          ))}
        </ul>
      )}
      <LastError
        error={isTold ? null : source.last_error}
        ago={source.last_error_at ? agoOf(source.last_error_at, gatewayMs) : null}
        isOver={source.state === 'ok'}
      />
      {hop.advice === undefined || isOld ? null : <span class="last-error">{hop.advice}</span>}
    </State>
  );
}

/** What is out of the ordinary about a figure, below it. */
function Remark({ text }: { text: string | null }): JSX.Element | null {
  return text === null ? null : <span class="remark">{text}</span>;
}

function Name({ name, type }: { name: string; type: string }): JSX.Element {
  return (
    <th scope="row">
      {name} {name === type ? null : <span class="unit">{type}</span>}
    </th>
  );
}

function State(props: { hop: Hop; words: string; isOld: boolean; children: ComponentChildren }): JSX.Element {
  const { hop, words, isOld, children } = props;
  const mark = isOld ? 'unknown' : HOP_MARKS[hop.state];
  return (
    <td data-label="State" class="part-cell-state">
      <span class={`ink-${mark}`}>
        <StateMark state={mark} /> {isOld ? `was ${words}` : words}
      </span>
      {children}
    </td>
  );
}

/** In a quiet voice. */
function LastError(props: { error: string | null; ago: string | null; isOver: boolean }): JSX.Element | null {
  const { error, ago, isOver } = props;
  if (error === null) return null;
  return <span class="last-error">{isOver ? `last error${ago === null ? '' : ` ${ago}`}: ${error}` : error}</span>;
}

function oldestUnsent(sinks: readonly SinkStatus[]): number | null {
  const ages = sinks.flatMap((sink) => sink.oldest_unsent_age_seconds ?? []);
  return ages.length === 0 ? null : Math.max(...ages);
}

function formatSeconds(seconds: number | null): string {
  return formatAge(seconds === null ? null : seconds * 1000);
}

function agoOf(timestamp: string | null, nowMs: number): string {
  return timestamp === null ? MISSING : `${formatAge(nowMs - Date.parse(timestamp))} ago`;
}

/** `p95 23 ms of 1 284 417`; null of a source that is not asked. */
function answersText({ reads, latency_p95_ms: p95Ms }: SourceStatus): string | null {
  return reads > 0 ? `p95 ${formatLatency(p95Ms)}, ${formatCount(reads)} answers` : null;
}

/** `12 ms`, `0.4 ms`, `2.5 s` */
function formatLatency(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return MISSING;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}
