/** One chart of signals with the same unit: heading with values, the drawing, and the same as a table. */
import { type Signal, useSignal, useSignalEffect } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import type { SignalInfo } from '../../model/api.ts';
import { useShell } from '../context.ts';
import { formatNumber } from '../format.ts';
import type { TimeWindow } from '../view.ts';
import type { ChartFeed } from './feed.ts';
import { CHART_COLOURS, plotOptions } from './plot.ts';
import { bucketAt, type Columns, drawingOf, extremesOf, type SeriesBuffer } from './series-buffer.ts';
import { ChartTable } from './table.tsx';

export interface ChartProps {
  readonly feed: ChartFeed;
  /** All of one unit. */
  readonly signals: readonly SignalInfo[];
  readonly window: Signal<TimeWindow>;
  readonly cursorMs: Signal<number | null>;
  /** Cursor group of the page. */
  readonly group: string;
  /** For a machine that reports on change: until when its values are known to hold. */
  readonly heldMs: () => number | null;
  readonly onZoom: (window: TimeWindow) => void;
  readonly onBack: () => void;
  /** Told of the chart when it stands and, with null, when it goes. */
  readonly onPlot: (plot: uPlot | null) => void;
}

const HEIGHT_PX = 152;

export function Chart(props: ChartProps): JSX.Element {
  const table = useSignal(false);
  const title = props.signals.length === 1 ? (props.signals[0]?.label ?? '') : groupTitle(props.signals);
  return (
    <section class="chart card" aria-label={title}>
      <header class="chart-head">
        <Legend {...props} />
        <button
          type="button"
          class="button chart-table-button"
          aria-pressed={table.value}
          onClick={() => {
            table.value = !table.value;
          }}
        >
          Table
        </button>
      </header>
      {table.value ? (
        <ChartTable feed={props.feed} signals={props.signals} window={props.window} />
      ) : (
        <Plot {...props} title={title} />
      )}
    </section>
  );
}

/** Each signal with its colour, the value under the cursor or else the newest, and the extremes of the window. */
function Legend({ feed, signals, window, cursorMs, heldMs }: ChartProps): JSX.Element {
  feed.revision.value;
  const data = feed.data.value;
  const { fromMs, toMs } = window.value;
  const cursor = cursorMs.value;
  return (
    <ul class="legend">
      {signals.map((info, at) => {
        const columns =
          data === null ? { time: [], min: [], max: [], last: [] } : columnsOf(data.buffer, info.name, heldMs());
        const { last, min, max } = extremesOf(columns, fromMs, toMs);
        const bucket =
          cursor === null || data === null
            ? undefined
            : bucketAt(columns, cursor, 3 * Math.max(data.buffer.bucketMs, 1000));
        const value = cursor === null ? last : bucket === undefined ? null : (columns.last[bucket] ?? null);
        return (
          <li key={info.name} class="legend-item">
            <span class="legend-name">
              <span
                class="legend-line"
                style={`background: var(--chart-${(at % CHART_COLOURS) + 1})`}
                aria-hidden="true"
              />
              {info.label}
            </span>
            <span class="legend-value">
              <span class="number">{formatNumber(value, info.decimals)}</span> <span class="unit">{info.unit}</span>
            </span>
            <span class="legend-range">
              {formatNumber(min, info.decimals)} … {formatNumber(max, info.decimals)}
            </span>
          </li>
        );
      })}
    </ul>
  );
}

function Plot(props: ChartProps & { title: string }): JSX.Element {
  const { feed, signals, window, group, onPlot } = props;
  const { store, theme } = useShell();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const held = useRef(false);
  const colours = theme.changes.value;
  const zone = store.plant.value;
  const stepped = props.heldMs() !== null;

  useEffect(() => {
    const element = host.current;
    if (element === null) return undefined;
    const setup = {
      signals: signals.map(({ name, decimals }, at) => ({ name, decimals, colour: at % CHART_COLOURS })),
      group,
      plant: zone,
      stepped,
      size: { width: element.clientWidth, height: HEIGHT_PX },
      window: () => window.peek(),
      onZoom: props.onZoom,
      onBack: props.onBack,
      onCursor: (timeMs: number | null) => {
        props.cursorMs.value = timeMs;
      },
    };
    const made = new uPlot(plotOptions(setup, element), [[]], element);
    plot.current = made;
    onPlot(made);
    redraw(made, props);
    const unhold = holdWhilePressed(made, held, () => redraw(made, props));
    const resizing = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
    resizing.observe(element);
    return () => {
      resizing.disconnect();
      unhold();
      plot.current = null;
      onPlot(null);
      made.destroy();
    };
  }, [colours, zone, stepped, signals.map(({ name }) => name).join()]);

  useSignalEffect(() => {
    feed.revision.value;
    window.value;
    if (plot.current !== null && !held.current) redraw(plot.current, props);
  });

  return <div ref={host} class="plot" role="img" aria-label={summaryOf(props)} style={`height: ${HEIGHT_PX}px`} />;
}

/** All in one batch: the data alone would paint nothing, and its own scaling would undo a zoom. */
function redraw(plot: uPlot, { feed, signals, window, heldMs }: ChartProps): void {
  const { fromMs, toMs } = window.peek();
  const data = feed.data.peek();
  plot.batch(() => {
    if (data !== null) {
      const names = signals.map(({ name }) => name);
      const { x, y } = drawingOf(data.buffer, names, heldMs());
      plot.setData([x, ...y], false);
    }
    plot.setScale('x', { min: fromMs, max: toMs });
  });
}

/** A chart that moved under the pointer would select something else than what was seen. */
function holdWhilePressed(plot: uPlot, held: { current: boolean }, onRelease: () => void): () => void {
  const press = (event: PointerEvent): void => {
    held.current = event.button === 0;
  };
  const release = (): void => {
    if (!held.current) return;
    held.current = false;
    onRelease();
  };
  plot.over.addEventListener('pointerdown', press);
  document.addEventListener('pointerup', release);
  document.addEventListener('pointercancel', release);
  return () => {
    plot.over.removeEventListener('pointerdown', press);
    document.removeEventListener('pointerup', release);
    document.removeEventListener('pointercancel', release);
  };
}

function summaryOf({ feed, signals, window, heldMs }: ChartProps): string {
  feed.revision.value;
  const { fromMs, toMs } = window.value;
  const buffer = feed.data.value?.buffer;
  if (buffer === undefined) return 'Chart, loading';
  const parts = signals.map(({ name, label, unit, decimals }) => {
    const { last, min, max } = extremesOf(columnsOf(buffer, name, heldMs()), fromMs, toMs);
    if (min === null) return `${label}: no data`;
    const numbers = [last, min, max].map((value) => formatNumber(value, decimals));
    return `${label}: last ${numbers[0]}, least ${numbers[1]}, greatest ${numbers[2]} ${unit}`;
  });
  return `Chart. ${parts.join('; ')}`;
}

function columnsOf(buffer: SeriesBuffer, name: string, heldMs: number | null): Columns {
  return heldMs === null ? buffer.columns(name) : buffer.heldColumns(name);
}

function groupTitle(signals: readonly SignalInfo[]): string {
  return signals.map(({ label }) => label).join(', ');
}
