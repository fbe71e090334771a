/**
 * The edge's status as a page for a person beside the machine, at a phone or a desk. Pure: a status in, HTML out. It is
 * loaded with the first question for it, so an edge that nobody looks at does not carry it.
 *
 * Its tables are made anew every two seconds by {@link REFRESH_SCRIPT}, and by the browser itself where scripts are off.
 */
import { ageText } from '../../base/age.ts';
import type { EdgeState, EdgeStatus, LogStatus, SinkStatus, SourceStatus } from '../../model/status.ts';
import { microsOf } from '../../model/time.ts';

/** No other origin, and no script but ours, whatever a device has written into a message. */
export const PAGE_POLICY: string =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const MISSING = '—';

type Mark = 'running' | 'hold' | 'alarm' | 'setup' | 'idle';

/** How bad it is, the worst first. */
const RANKS: readonly Mark[] = ['alarm', 'hold', 'setup', 'idle', 'running'];

const EDGE_WORDS: { readonly [state in EdgeState]: readonly [mark: Mark, words: string] } = {
  starting: ['setup', 'Starting'],
  online: ['running', 'Online: every sensor and sink works'],
  degraded: ['hold', 'Degraded: not every sensor and sink works in all its parts'],
  offline: ['alarm', 'Offline: no sink works, readings are kept in the log'],
  draining: ['setup', 'Draining: a backlog is being delivered'],
  stopping: ['idle', 'Stopping'],
};

/** @param unhealthy why the edge is not healthy, as a sentence */
export function statusPage(status: EdgeStatus, unhealthy: string | undefined): string {
  const [mark, words] = EDGE_WORDS[status.state];
  const { gateway_id: gatewayId, location, version, sent_at: sentAt, log } = status;
  const notes = [location, `version ${version}`, `as of ${timeText(sentAt)}`].filter((part) => part !== null);
  const sources = worstFirst(status.sources, sourceMark);
  const sinks = worstFirst(status.sinks, sinkMark);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${text(gatewayId)}: ${text(status.state)}</title>
<link rel="icon" href="data:,">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<style>${STYLE}</style>
<script src="status.js" defer></script>
</head>
<body>
<p id="lost" role="status" hidden></p>
<main>
<header>
<h1>${text(gatewayId)}</h1>
<p class="state ink-${mark}">${markSvg(mark)} ${words}</p>
<p class="muted">${text(notes.join(' · '))}</p>
</header>
${unhealthy === undefined ? '' : `<p class="warning ink-alarm">${markSvg('alarm')} <span>${text(unhealthy)}</span></p>`}
${log.last_error === null ? '' : `<p class="warning ink-alarm">${markSvg('alarm')} <span>The log: ${text(log.last_error)}</span></p>`}
${facts([
  ['Readings a second', rateText(status.readings_per_second)],
  ['Log', logText(log)],
  ['Losses', countText(status.losses)],
  ['Memory', bytesText(status.memory_bytes)],
  ['Running for', ageBetween(status.started_at, sentAt)],
])}
${sourceTable(sources, sentAt)}
${sinkTable(sinks, sentAt)}
<p class="muted links"><a href="status.json">JSON</a> <a href="metrics">Metrics</a> <a href="healthz">Health</a></p>
</main>
</body>
</html>
`;
}

function sourceTable(sources: readonly SourceStatus[], nowText: string): string {
  if (sources.length === 0) {
    return '<section class="card"><h2>Sensors</h2><p>None is configured: add one under <code>sensors</code>.</p></section>';
  }
  const heads = ['Sensor', 'State', 'Machine', 'Last value', 'Last heard', 'Rate', 'Reads', 'Errors', 'Latency'];
  const rows = sources.map((source) => {
    const thinned = source.sampling_factor > 1 ? remark(`1 of ${source.sampling_factor} samples`) : '';
    return row(source, sourceMark(source), sourceState(source, nowText), [
      ['Machine', text(source.machine_id)],
      ['Last value', agoText(source.last_reading, nowText)],
      ['Last heard', agoText(source.last_contact, nowText)],
      ['Rate', `${rateText(source.readings_per_second)} /s${thinned}`],
      ['Reads', source.reads > 0 ? countText(source.reads) : MISSING],
      ['Errors', countText(source.errors)],
      ['Latency', latencyText(source)],
    ]);
  });
  return table('Sensors', heads, rows);
}

function sinkTable(sinks: readonly SinkStatus[], nowText: string): string {
  if (sinks.length === 0) return '';
  const heads = ['Sink', 'State', 'Waiting', 'Oldest waits', 'Rate', 'Retries', 'Dead letters', 'Last delivery'];
  const rows = sinks.map((sink) => {
    const oldest = sink.oldest_unsent_age_seconds;
    return row(sink, sinkMark(sink), { words: sink.state, notes: errorText(sink.last_error, null, sink.state) }, [
      ['Waiting', `${countText(sink.lag_readings)} readings`],
      ['Oldest waits', oldest === null ? MISSING : ageText(oldest * 1000)],
      ['Rate', `${rateText(sink.readings_per_second)} /s`],
      ['Retries', countText(sink.retries)],
      ['Dead letters', countText(sink.dead_letters)],
      ['Last delivery', agoText(sink.last_delivery, nowText)],
    ]);
  });
  return table('Sinks', heads, rows);
}

/** Its state in a word or two, for how long, and below it why, and what to do. */
function sourceState(source: SourceStatus, nowText: string): { words: string; notes: string } {
  const { state, problems, last_error: error, last_error_at: errorAt } = source;
  const parts = problems.length === 1 ? ', 1 problem' : problems.length > 1 ? `, ${problems.length} problems` : '';
  const items = problems.map(({ item, reason }) => `<li>${text(item)}: ${text(reason)}</li>`).join('');
  const list = items === '' ? '' : `<ul>${items}</ul>`;
  const isListed = problems.some(({ item, reason }) => error === `${item}: ${reason}`);
  const advice = ADVICE[state];
  const ago = errorAt === null ? null : `${agoText(errorAt, nowText)}, ${timeText(errorAt)}`;
  return {
    words: `${state} for ${ageBetween(source.state_since, nowText)}${parts}`,
    notes: `${list}${isListed ? '' : errorText(error, ago, state)}${advice === undefined ? '' : remark(advice)}`,
  };
}

const ADVICE: { readonly [state in SourceStatus['state']]?: string } = {
  silent: 'See whether the machine is on, and its cable and network work.',
  misconfigured: 'Mend it in the configuration of this gateway, or at the device; it is tried again by itself.',
};

/** What was wrong last stays readable when all is well again. */
function errorText(error: string | null, ago: string | null, state: string): string {
  if (error === null) return '';
  const when = ago === null ? '' : ` ${ago}`;
  return state === 'ok' ? remark(`last error${when}: ${error}`) : `<span class="reason">${text(error)}</span>`;
}

function sourceMark({ state, problems }: SourceStatus): Mark {
  if (state === 'ok') return problems.length === 0 ? 'running' : 'hold';
  return state === 'connecting' ? 'hold' : 'alarm';
}

function sinkMark({ state }: SinkStatus): Mark {
  return state === 'ok' ? 'running' : state === 'connecting' ? 'hold' : 'alarm';
}

/** Those that are alike stay as they are configured. */
function worstFirst<Item>(items: readonly Item[], markOf: (item: Item) => Mark): Item[] {
  return [...items].sort((a, b) => RANKS.indexOf(markOf(a)) - RANKS.indexOf(markOf(b)));
}

function table(caption: string, heads: readonly string[], rows: readonly string[]): string {
  const head = heads.map((name) => `<th scope="col">${name}</th>`).join('');
  const id = caption.toLowerCase();
  return `<section class="card" aria-labelledby="${id}"><h2 id="${id}">${caption}</h2>
<table aria-labelledby="${id}"><thead><tr>${head}</tr></thead><tbody>
${rows.join('\n')}
</tbody></table></section>`;
}

/** @param cells HTML */
function row(
  { name, type }: { readonly name: string; readonly type: string },
  mark: Mark,
  state: { readonly words: string; readonly notes: string },
  cells: readonly (readonly [label: string, html: string])[],
): string {
  const kind = name === type ? '' : ` <span class="muted">${text(type)}</span>`;
  const figures = cells.map(([label, html]) => `<td data-label="${label}">${html}</td>`).join('');
  const word = `<span class="ink-${mark}">${markSvg(mark)} ${text(state.words)}</span>`;
  return `<tr class="row-${mark}"><th scope="row">${text(name)}${kind}</th><td class="what">${word}${state.notes}</td>${figures}</tr>`;
}

function facts(items: readonly (readonly [name: string, value: string])[]): string {
  return `<dl>${items.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('')}</dl>`;
}

function remark(words: string): string {
  return `<span class="muted note">${text(words)}</span>`;
}

function latencyText({ latency_ms: lastMs, latency_p95_ms: p95Ms }: SourceStatus): string {
  if (lastMs === null) return MISSING;
  return `${millisecondsText(lastMs)}${p95Ms === null ? '' : remark(`p95 ${millisecondsText(p95Ms)}`)}`;
}

function millisecondsText(ms: number): string {
  return ms >= 1_000 ? `${(ms / 1_000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

function logText({ bytes, bytes_max: limit }: LogStatus): string {
  return `${bytesText(bytes)} <span class="muted">of ${bytesText(limit)}</span>`;
}

function bytesText(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let [value, unit] = [bytes, 0];
  // 999.95 would be written as 1000.0.
  while (value >= 999.95 && unit < units.length - 1) [value, unit] = [value / 1_000, unit + 1];
  return `${value.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

/** Thousands are divided by a narrow space that does not break. */
function countText(count: number): string {
  return String(Math.round(count)).replace(/\d(?=(\d{3})+$)/g, '$&\u202f');
}

function rateText(perSecond: number): string {
  return perSecond < 99.95 ? perSecond.toFixed(1) : countText(perSecond);
}

/** The gateway knows no zone of the plant. */
function timeText(timestamp: string): string {
  return `${timestamp.slice(0, 10)} ${timestamp.slice(11, 19)} UTC`;
}

function agoText(timestamp: string | null, nowText: string): string {
  return timestamp === null ? MISSING : `${ageBetween(timestamp, nowText)} ago`;
}

function ageBetween(from: string, to: string): string {
  return ageText((microsOf(to) - microsOf(from)) / 1_000);
}

/** As text in HTML, also within quotes. */
function text(words: string): string {
  return words.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** Each shape differs from the others without its colour; its neighbour says it in words. */
function markSvg(mark: Mark): string {
  return `<svg class="mark" viewBox="0 0 24 24" aria-hidden="true">${SHAPES[mark]}</svg>`;
}

const SHAPES: { readonly [mark in Mark]: string } = {
  running: '<path d="M6 3.5 20.5 12 6 20.5z"/>',
  hold: '<path d="M5.5 4h4.5v16H5.5zM14 4h4.5v16H14z"/>',
  alarm: '<path d="M8 2h8l6 6v8l-6 6H8l-6-6V8z"/><path class="sign" d="M12 6.5v7M12 17.2v.3"/>',
  setup: '<path d="M12 2.5 21.5 12 12 21.5 2.5 12z"/>',
  idle: '<path class="hollow" d="M5 5h14v14H5z"/>',
};

/** The colours are those of the hub's pages, and their contrasts were checked there. */
const STYLE = `
:root{color-scheme:light;--page:#f3f4f6;--card:#fff;--line:#dde1e7;--body:#1a1f26;--muted:#5a6472;--link:#074f9e;--on:#fff;
--running:#1f6b58;--idle:#7a5c00;--hold:#a34300;--alarm:#a01f22;--setup:#074f9e;
font:16px/1.4 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Helvetica Neue",Arial,sans-serif}
@media(prefers-color-scheme:dark){:root{color-scheme:dark;--page:#0e1116;--card:#161b22;--line:#2b323d;--body:#e6eaf0;
--muted:#9aa4b2;--link:#8fb0f0;--on:#0b0d10;--running:#4cbe99;--idle:#fce8a3;--hold:#f79d06;--alarm:#f24258;--setup:#698ad3}}
*{box-sizing:border-box}
html{background:var(--page);color:var(--body);-webkit-text-size-adjust:100%}
body{margin:0;font-variant-numeric:tabular-nums}
h1,h2,p,dl,dd,ul{margin:0;padding:0}ul{list-style:none}
a{color:var(--link);display:inline-block;padding:14px 12px 14px 0}
main{display:grid;gap:16px;max-width:1500px;margin:0 auto;padding:16px}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 20px}
h1{font-size:22px;overflow-wrap:anywhere}h2{font-size:17px}
.state,.what>:first-child{font-weight:600}
.muted{color:var(--muted);font-size:14px;font-weight:400}
.note,.reason{display:block;font-size:14px;overflow-wrap:anywhere}
.what ul{font-size:14px;overflow-wrap:anywhere}
.card{padding:16px 18px;background:var(--card);border:1px solid var(--line);border-radius:10px}
.warning{display:flex;gap:8px;padding:12px 16px;background:var(--card);border:2px solid currentColor;border-radius:10px}
.warning span{color:var(--body);overflow-wrap:anywhere}.warning .mark{flex:none;margin-top:4px}
#lost{position:sticky;top:0;z-index:1;padding:12px 16px;background:var(--alarm);color:var(--on);font-weight:600}
#lost[hidden]{display:none}
.mark{width:1em;height:1em;vertical-align:-.1em;fill:currentColor}
.mark .sign{stroke:var(--card);stroke-width:3;fill:none}.mark .hollow{fill:none;stroke:currentColor;stroke-width:3}
.ink-running{color:var(--running)}.ink-idle{color:var(--idle)}.ink-hold{color:var(--hold)}
.ink-alarm{color:var(--alarm)}.ink-setup{color:var(--setup)}
dl{display:flex;flex-wrap:wrap;gap:10px 40px}dd{white-space:nowrap}dt{color:var(--muted);font-size:13px}dd{font-size:18px;font-weight:550}
table{width:100%;margin-top:8px;border-collapse:collapse;font-size:15px}
th,td{padding:8px 16px 8px 0;text-align:right;vertical-align:top;white-space:nowrap;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--muted);font-size:13px;font-weight:400}
th:first-child,td:nth-child(2),th:nth-child(2),td:nth-child(3),th:nth-child(3){text-align:left}
tbody th{font-weight:600;white-space:normal;overflow-wrap:anywhere;max-width:220px}
.what{width:36%;white-space:normal}
tbody tr>th{padding-left:10px}
tr.row-alarm>th{box-shadow:inset 6px 0 var(--alarm)}tr.row-hold>th{box-shadow:inset 6px 0 var(--hold)}
@media(max-width:900px){
dl{display:grid;grid-template-columns:1fr 1fr;gap:10px 16px}dd .muted{display:block}
thead{position:absolute;clip-path:inset(50%)}
table,tbody,tr,th,td{display:block}
tbody tr{display:grid;grid-template-columns:repeat(3,1fr);gap:6px 16px;padding:12px 0 12px 10px;border-top:1px solid var(--line)}
tr.row-alarm{box-shadow:inset 6px 0 var(--alarm)}tr.row-hold{box-shadow:inset 6px 0 var(--hold)}
tbody tr>th,tbody td{padding:0;border:0;text-align:left!important;white-space:normal;overflow-wrap:anywhere;max-width:none;
box-shadow:none!important}
tbody tr>th,.what{grid-column:1/-1;width:auto;font-size:17px}
tbody tr{padding-left:16px}
td[data-label]::before{display:block;color:var(--muted);font-size:13px;content:attr(data-label)}}
`;

/** Puts the newest tables in place of the old, but not while text is chosen; says so when the gateway does not answer. */
export const REFRESH_SCRIPT = `'use strict';
const EVERY_MS = 2000;
const lost = document.getElementById('lost');
let heardMs = Date.now();
async function refresh() {
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' }, signal: AbortSignal.timeout(2 * EVERY_MS) });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const fresh = page.querySelector('main');
    if (!answer.ok || fresh === null) throw new Error('no page');
    heardMs = Date.now();
    lost.hidden = true;
    if (String(getSelection()) !== '') return;
    document.querySelector('main').replaceWith(fresh);
    document.title = page.title;
  } catch {
    lost.textContent = 'The gateway has not answered for ' + Math.round((Date.now() - heardMs) / 1000) +
      ' s. What stands below is frozen.';
    lost.hidden = false;
  }
}
async function run() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    if (!document.hidden) await refresh();
  }
}
run();
`;
