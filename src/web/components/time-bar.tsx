/** Over which time the charts go: ranges, steps, zoom, pause. With its keys. */
import type { Signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useShell } from '../context.ts';
import { formatCount } from '../format.ts';
import { useKeys } from '../keys.ts';
import { type MachineView, RANGE_LABELS, RANGE_NAMES, scaled, shifted, windowOf } from '../view.ts';

interface Props {
  readonly view: MachineView;
  /** Samples that came in since the charts stand still. */
  readonly waiting: Signal<number>;
  readonly onChange: (change: Partial<MachineView>, replace?: boolean) => void;
}

export function TimeBar({ view, waiting, onChange }: Props): JSX.Element {
  const { store } = useShell();
  const shown = (): { fromMs: number; toMs: number } => windowOf(view, store.hubTimeMs());
  const live = view.window === null;
  const step = (part: number): void => onChange({ window: shifted(shown(), part, store.hubTimeMs()) });
  const zoom = (factor: number): void => onChange({ window: scaled(shown(), factor, store.hubTimeMs()) });
  const zoomOut = (): void => {
    const wider = RANGE_NAMES[RANGE_NAMES.indexOf(view.range) + 1];
    if (live && wider !== undefined) onChange({ range: wider });
    else zoom(2);
  };
  const goLive = (): void => onChange({ window: null });
  const pause = (): void => (live ? onChange({ window: scaled(shown(), 1, store.hubTimeMs()) }, true) : goLive());
  useKeys({ '[': () => step(-0.5), ']': () => step(0.5), z: zoomOut, l: goLive, ' ': pause });
  return (
    <div class="time-bar">
      <div class="button-row" role="group" aria-label="Range">
        {RANGE_NAMES.map((name) => (
          <button
            key={name}
            type="button"
            class="button"
            aria-pressed={view.range === name && live}
            onClick={() => onChange({ range: name, window: null })}
          >
            {RANGE_LABELS[name]}
          </button>
        ))}
      </div>
      <div class="button-row" role="group" aria-label="Move and zoom">
        <button
          type="button"
          class="button"
          onClick={() => step(-0.5)}
          aria-label="Half a window back"
          title="Half a window back ([)"
        >
          ◀
        </button>
        <button
          type="button"
          class="button"
          onClick={() => step(0.5)}
          disabled={live}
          aria-label="Half a window forth"
          title="Half a window forth (])"
        >
          ▶
        </button>
        <button type="button" class="button" onClick={() => zoom(0.5)} aria-label="Zoom in" title="Zoom in">
          +
        </button>
        <button type="button" class="button" onClick={zoomOut} aria-label="Zoom out" title="Zoom out (z)">
          −
        </button>
      </div>
      <button
        type="button"
        class={live ? 'button' : 'button button-live'}
        onClick={pause}
        title={live ? 'Pause (Space)' : 'Live (l)'}
      >
        {live ? 'Pause' : 'Go live'}
      </button>
      {live ? null : <Standing view={view} waiting={waiting} />}
    </div>
  );
}

/** The stretch that is seen, and what has come in since. */
function Standing({ view, waiting }: { view: MachineView; waiting: Signal<number> }): JSX.Element {
  const { store } = useShell();
  const { fromMs, toMs } = windowOf(view, store.hubTimeMs());
  const plant = store.plant.value;
  const sameDay = plant.date(fromMs) === plant.date(toMs);
  return (
    <p class="paused">
      <strong>Paused, +{formatCount(waiting.value)}</strong>{' '}
      <span class="muted">
        {plant.near(fromMs, store.nowMs.value)} – {sameDay ? plant.time(toMs) : plant.dateTime(toMs)}
      </span>
    </p>
  );
}
