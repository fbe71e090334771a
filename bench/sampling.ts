/**
 * `node bench/sampling.ts`: adaptive sampling on a simulated log whose link is too slow, for many weights of fidelity (V).
 * Writes the figure and the table of docs/adaptive-sampling.md. The runs are those of simulation.test.ts, so the limits
 * drawn here are held there.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { leastLoss, MACHINES, simulate, tooSlowLink } from '../src/edge/sampling/simulation.test-support.ts';

const WEIGHTS = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32];
/** The lines drawn: queue = a + b·V, and excess = c / V. */
const BOUNDS = { queueFirst: 4, queuePerWeight: 5, excessTimesWeight: 0.15 } as const;
const PANEL = { width: 420, height: 300, left: 80, top: 50, plotWidth: 310, plotHeight: 200 } as const;
const WEIGHT_DECADES = [-1, 2] as const;
const FIGURE = new URL('../docs/images/sampling-control.svg', import.meta.url);
const DOCUMENT = new URL('../docs/adaptive-sampling.md', import.meta.url);

interface Row {
  readonly weight: number;
  readonly queue: number;
  readonly logUse: number;
  readonly loss: number;
  readonly excess: number;
  /** Changes of a factor, of one sensor in an hour. */
  readonly changesPerHour: number;
}

const rows = WEIGHTS.map(measure);
writeFileSync(FIGURE, figure(rows));
const document = readFileSync(DOCUMENT, 'utf8');
const [before, after] = [document.indexOf('| V |'), document.indexOf('\n\n', document.indexOf('| V |'))];
writeFileSync(DOCUMENT, document.slice(0, before) + table(rows) + document.slice(after));
process.stdout.write(`${table(rows)}\n`);

function measure(weight: number): Row {
  const { queueMean, lossMean, loadMean, changes, steps } = simulate(tooSlowLink(weight));
  const { warmUp } = tooSlowLink(weight);
  const settled = steps.slice(warmUp);
  const hours = settled.length / 720;
  return {
    weight,
    queue: queueMean,
    logUse: settled.reduce((sum, { logUse }) => sum + logUse, 0) / settled.length,
    loss: lossMean,
    excess: Math.max(0, lossMean - leastLoss(MACHINES, loadMean)),
    changesPerHour: changes / MACHINES.length / hours,
  };
}

function table(all: readonly Row[]): string {
  const head = [
    '| V | mean queue | mean log, % of cap | fidelity lost | above the least possible | changes per sensor and hour |',
  ];
  return [...head, '|--:|--:|--:|--:|--:|--:|', ...all.map(tableRow)].join('\n');
}

function tableRow({ weight, queue, logUse, loss, excess, changesPerHour }: Row): string {
  const cells = [
    queue.toFixed(1),
    (logUse * 100).toFixed(1),
    loss.toFixed(3),
    excess.toFixed(4),
    changesPerHour.toFixed(1),
  ];
  return `| ${weight} | ${cells.join(' | ')} |`;
}

interface Panel {
  readonly title: string;
  readonly axis: string;
  /** Of the vertical axis, powers of ten. */
  readonly decades: readonly [number, number];
  readonly value: (row: Row) => number;
  readonly bound: (weight: number) => number;
  readonly boundLabel: string;
  /** Which end of its label is at the line: it stands where the line leaves room. */
  readonly labelAnchor: 'start' | 'end';
}

function figure(all: readonly Row[]): string {
  const { queueFirst, queuePerWeight, excessTimesWeight } = BOUNDS;
  const panels: Panel[] = [
    {
      title: 'The queue grows as V',
      axis: 'mean queue Q (512 at the limit)',
      decades: [0, 3],
      value: ({ queue }) => queue,
      bound: (weight) => queueFirst + queuePerWeight * weight,
      boundLabel: `${queueFirst} + ${queuePerWeight} V`,
      labelAnchor: 'end',
    },
    {
      title: 'What is lost needlessly falls as 1/V',
      axis: 'mean factor above the least possible',
      decades: [-4, 1],
      value: ({ excess }) => excess,
      bound: (weight) => excessTimesWeight / weight,
      boundLabel: `${excessTimesWeight} / V`,
      labelAnchor: 'start',
    },
  ];
  const width = PANEL.width * panels.length;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${PANEL.height}" role="img" aria-label="Two panels over the weight of fidelity V. The mean queue stays below ${queueFirst} + ${queuePerWeight} V. The fidelity lost above the least possible stays below ${excessTimesWeight} / V.">
<style>
  text { font: 12px system-ui, sans-serif; fill: #333 }
  .title { font-size: 14px; font-weight: 600 }
  .frame { fill: none; stroke: #777 } .grid { stroke: #7774 }
  .measured { fill: none; stroke: #1565c0; stroke-width: 2 } .point { fill: #1565c0 }
  .bound { fill: none; stroke: #c2410c; stroke-width: 1.5; stroke-dasharray: 6 4 } .boundLabel { fill: #c2410c }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .measured { stroke: #64b5f6 } .point { fill: #64b5f6 }
    .bound { stroke: #fb923c } .boundLabel { fill: #fb923c }
  }
</style>
${panels.map((panel, index) => panelSvg(panel, all, index * PANEL.width)).join('\n')}
</svg>
`;
}

function panelSvg(panel: Panel, all: readonly Row[], offset: number): string {
  const { left, top, plotWidth, plotHeight } = PANEL;
  const x = (weight: number): number => along(WEIGHT_DECADES, weight) * plotWidth;
  const y = (value: number): number => (1 - along(panel.decades, value)) * plotHeight;
  const path = (points: readonly (readonly [number, number])[]): string =>
    points.map(([a, b], index) => `${index === 0 ? 'M' : 'L'}${a.toFixed(1)} ${b.toFixed(1)}`).join('');
  const measured = all.map((row) => [x(row.weight), y(panel.value(row))] as const);
  const bound = all.map(({ weight }) => [x(weight), y(panel.bound(weight))] as const);
  const [labelX, labelY] = bound[4]!;
  return `<g transform="translate(${offset + left} ${top})">
<text class="title" x="0" y="-20">${panel.title}</text>
${ticks(WEIGHT_DECADES)
  .map(
    (tick) =>
      `<line class="grid" x1="${x(tick)}" x2="${x(tick)}" y2="${plotHeight}"/><text x="${x(tick)}" y="${plotHeight + 18}" text-anchor="middle">${tick}</text>`,
  )
  .join('')}
${ticks(panel.decades)
  .map(
    (tick) =>
      `<line class="grid" x2="${plotWidth}" y1="${y(tick)}" y2="${y(tick)}"/><text x="-8" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`,
  )
  .join('')}
<rect class="frame" width="${plotWidth}" height="${plotHeight}"/>
<path class="bound" d="${path(bound)}"/><text class="boundLabel" text-anchor="${panel.labelAnchor}" x="${labelX.toFixed(1)}" y="${(labelY - 8).toFixed(1)}">limit: ${panel.boundLabel}</text>
<path class="measured" d="${path(measured)}"/>
${measured.map(([a, b]) => `<circle class="point" cx="${a.toFixed(1)}" cy="${b.toFixed(1)}" r="3.5"/>`).join('')}
<text x="${plotWidth / 2}" y="${plotHeight + 40}" text-anchor="middle">fidelity weight V (no unit, logarithmic)</text>
<text transform="translate(-60 ${plotHeight / 2}) rotate(-90)" text-anchor="middle">${panel.axis}</text>
</g>`;
}

/** Where a value stands on a logarithmic axis: 0 to 1. */
function along([first, last]: readonly [number, number], value: number): number {
  return (Math.log10(Math.max(value, 10 ** first)) - first) / (last - first);
}

function ticks([first, last]: readonly [number, number]): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => Number(`1e${first + index}`));
}
