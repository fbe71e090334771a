/** State band and charts of one machine, on one time axis. Loaded when a machine's page is first opened. */
import 'uplot/dist/uPlot.min.css';
import { type Signal, useComputed, useSignal, useSignalEffect } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import type { MachineNow, SignalInfo } from '../../model/api.ts';
import { Failure } from '../components/panel.tsx';
import { useShell } from '../context.ts';
import { useKeys } from '../keys.ts';
import { standingOf } from '../standing.ts';
import { type MachineView, type TimeWindow, windowOf } from '../view.ts';
import { StateBand } from './band.tsx';
import { Chart } from './chart.tsx';
import { ChartFeed } from './feed.ts';
import { CHART_COLOURS } from './plot.ts';
import { bucketAt } from './series-buffer.ts';
import { type Stretch, stretchesOf } from './state-band.ts';

export interface ChartsProps {
  readonly machine: Signal<MachineNow>;
  readonly view: MachineView;
  readonly signals: readonly SignalInfo[];
  /** Whether the machine reports only what has changed, so that a value holds until the next one. */
  readonly reportsOnChange: boolean;
  readonly onWindow: (window: TimeWindow | null) => void;
  /** Told how many samples came in since the window stands still. */
  readonly waiting: Signal<number>;
}

/** Buckets asked for: about one for each one and a half pixels. */
const POINTS_WIDE = 720;
const POINTS_NARROW = 240;
const NARROW_PX = 640;

export default function Charts(props: ChartsProps): JSX.Element {
  const { machine, view, signals, reportsOnChange, onWindow } = props;
  const { store } = useShell();
  const feed = useMemo(() => new ChartFeed(store), [store]);
  const cursorMs = useSignal<number | null>(null);
  const shown = useSignal(view);
  shown.value = view;
  const window = useComputed(() => windowOf(shown.value, store.nowMs.value));
  const confirmedMs = (): number => Math.min(store.nowMs.peek(), Date.parse(machine.peek().last_seen ?? '') || 0);
  const plots = usePlots(feed, cursorMs);

  useEffect(() => {
    feed.start();
    return () => feed.stop();
  }, [feed]);
  const names = signals.map(({ name }) => name).join();
  useEffect(() => {
    const points = innerWidth < NARROW_PX ? POINTS_NARROW : POINTS_WIDE;
    const live = view.window === null;
    feed.want({
      machineId: machine.peek().id,
      signals: signals.map(({ name }) => name),
      window: windowOf(view, store.hubTimeMs()),
      live,
      points,
    });
  }, [feed, view.range, view.window?.fromMs, view.window?.toMs, names]);
  useSignalEffect(() => {
    if (shown.value.window === null) feed.takeOver(window.value.fromMs);
  });
  useSignalEffect(() => {
    props.waiting.value = feed.waiting.value;
  });

  if (feed.failure.value !== null) {
    return (
      <Failure what="The charts could not be loaded." message={feed.failure.value} onRetry={() => feed.reload()} />
    );
  }
  return (
    <div class="charts" aria-busy={feed.data.value === null}>
      <StateBand
        feed={feed}
        window={window}
        cursorMs={cursorMs}
        stretches={() => knownStretches(feed, machine, confirmedMs())}
      />
      {groupsOf(signals).map((group) => (
        <Chart
          key={group.map(({ name }) => name).join()}
          feed={feed}
          signals={group}
          window={window}
          cursorMs={cursorMs}
          group={machine.peek().id}
          heldMs={() => (reportsOnChange ? confirmedMs() : null)}
          onZoom={onWindow}
          onBack={() => onWindow(null)}
          onPlot={plots.keep(group[0]?.name ?? '')}
        />
      ))}
    </div>
  );
}

/** One chart for each unit, in the order of the signals; no more signals in one than there are colours. */
export function groupsOf(signals: readonly SignalInfo[]): SignalInfo[][] {
  const groups: SignalInfo[][] = [];
  for (const info of signals) {
    const group = groups.find(([first, ...rest]) => first?.unit === info.unit && rest.length + 1 < CHART_COLOURS);
    if (group === undefined || info.unit === '') groups.push([info]);
    else group.push(info);
  }
  return groups;
}

/** The hub's intervals, and what the live stream has said since. */
function knownStretches(feed: ChartFeed, machine: Signal<MachineNow>, confirmedMs: number): readonly Stretch[] {
  const stretches = stretchesOf(feed.data.value?.states ?? [], confirmedMs);
  const now = machine.value;
  const sinceMs = Date.parse(now.state_since ?? '');
  if (now.state === null || !(sinceMs < confirmedMs)) return stretches;
  const { kind } = standingOf(now, confirmedMs);
  const newest = stretches.at(-1);
  if (kind !== 'now' || (newest !== undefined && newest.fromMs >= sinceMs)) return stretches;
  const before = stretches.map((stretch) => (stretch.toMs > sinceMs ? { ...stretch, toMs: sinceMs } : stretch));
  return [...before, { state: now.state, reason: now.state_reason, fromMs: sinceMs, toMs: confirmedMs }];
}

/** The charts on the page, so that the arrow keys can move the one cursor they share. */
function usePlots(
  feed: ChartFeed,
  cursorMs: Signal<number | null>,
): { keep: (name: string) => (plot: uPlot | null) => void } {
  const plots = useRef(new Map<string, uPlot>());
  const move = (steps: number): void => {
    const plot = [...plots.current.values()][0];
    const data = feed.data.peek();
    if (plot === undefined || data === null) return;
    const { min = 0, max = 0 } = plot.scales['x'] ?? {};
    const from = cursorMs.peek() ?? max;
    const [name = ''] = [...plots.current.keys()];
    const columns = data.buffer.columns(name);
    const at = bucketAt(columns, from, Number.POSITIVE_INFINITY);
    const target = columns.time[(at ?? 0) + steps] ?? from + steps * data.buffer.bucketMs;
    const clipped = Math.min(max, Math.max(min, target));
    plot.setCursor({ left: plot.valToPos(clipped, 'x'), top: 10 });
    cursorMs.value = clipped;
  };
  useKeys({
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    Escape: () => {
      for (const plot of plots.current.values()) plot.setCursor({ left: -10, top: -10 });
      cursorMs.value = null;
    },
  });
  return {
    keep: (name) => (plot) => {
      if (plot === null) plots.current.delete(name);
      else plots.current.set(name, plot);
    },
  };
}
