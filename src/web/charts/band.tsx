/** The state of the machine over the charts' time: a band of 24 px, and the time in each state in words. */
import type { Signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { StateMark } from '../components/state-mark.tsx';
import { useShell } from '../context.ts';
import { formatAge } from '../format.ts';
import { STATE_LABELS } from '../standing.ts';
import type { TimeWindow } from '../view.ts';
import type { ChartFeed } from './feed.ts';
import { AXIS_PX, RIGHT_PX } from './plot.ts';
import { durationsOf, type Stretch, segmentsOf } from './state-band.ts';

const HEIGHT_PX = 24;

interface Props {
  readonly feed: ChartFeed;
  readonly window: Signal<TimeWindow>;
  readonly cursorMs: Signal<number | null>;
  /** The machine's states as far as they are known. */
  readonly stretches: () => readonly Stretch[];
}

export function StateBand({ feed, window, cursorMs, stretches }: Props): JSX.Element {
  feed.revision.value;
  const { store } = useShell();
  const host = useRef<HTMLDivElement>(null);
  const widthPx = useWidth(host);
  const shown = stretches();
  const { fromMs, toMs } = window.value;
  const durations = durationsOf(shown, window.value);
  const cursor = cursorMs.value;
  const plant = store.plant.value;
  const under =
    cursor === null ? undefined : shown.find((stretch) => cursor >= stretch.fromMs && cursor < stretch.toMs);
  const inWords = durations.map(({ state, ms }) => `${STATE_LABELS[state]} ${formatAge(ms)}`).join(', ');
  const cursorX = cursor === null ? null : ((cursor - fromMs) / (toMs - fromMs)) * widthPx;
  return (
    <section class="band card" aria-label="States">
      <p class="band-words">
        {cursor !== null ? (
          <span>
            <strong>{plant.near(cursor, store.nowMs.value)}</strong>{' '}
            {under === undefined
              ? 'State not known'
              : `${STATE_LABELS[under.state]}${under.reason === null ? '' : ` · ${under.reason}`}`}
          </span>
        ) : durations.length === 0 ? (
          <span class="muted">No state is known in this stretch of time.</span>
        ) : (
          durations.map(({ state, ms }) => (
            <span key={state} class={`band-word ink-${state}`}>
              <StateMark state={state} /> {STATE_LABELS[state]} <span class="band-time">{formatAge(ms)}</span>
            </span>
          ))
        )}
      </p>
      <div
        ref={host}
        class="band-strip"
        style={`margin: 0 ${RIGHT_PX}px 0 ${AXIS_PX}px`}
        role="img"
        aria-label={`States. ${inWords === '' ? 'none known' : inWords}`}
      >
        <svg width={widthPx} height={HEIGHT_PX} aria-hidden="true">
          {segmentsOf(shown, window.value, Math.max(1, Math.floor(widthPx))).map(({ state, x, width }) => (
            <rect key={x} x={x} width={width} height={HEIGHT_PX} fill={`var(--fill-${state})`} />
          ))}
          {cursorX === null ? null : <line class="band-cursor" x1={cursorX} x2={cursorX} y1="0" y2={HEIGHT_PX} />}
        </svg>
      </div>
    </section>
  );
}

function useWidth(host: { readonly current: HTMLElement | null }): number {
  const [widthPx, setWidthPx] = useState(0);
  useEffect(() => {
    const element = host.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(([entry]) => entry !== undefined && setWidthPx(entry.contentRect.width));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return widthPx;
}
