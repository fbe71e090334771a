/** One machine: what it does and why, its values, its charts over time, and its newest events. */
import { type Signal, useSignal } from '@preact/signals';
import type { ComponentType, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { MachineNow } from '../../model/api.ts';
import { conditionText, inspectionHref, machineHref } from '../attention.ts';
import type { ChartsProps } from '../charts/charts.tsx';
import { EventList } from '../components/event-list.tsx';
import { Empty, Failure } from '../components/panel.tsx';
import { SignalChooser } from '../components/signal-chooser.tsx';
import { StateMark } from '../components/state-mark.tsx';
import { TimeBar } from '../components/time-bar.tsx';
import { ValueTiles } from '../components/value-tiles.tsx';
import { useShell } from '../context.ts';
import { formatAge } from '../format.ts';
import { chosenSignals, reportsOnChange, useSignals } from '../signals.ts';
import { type Standing, STATE_LABELS, standingOf } from '../standing.ts';
import { formatView, type MachineView, parseView, RANGES, rounded, type TimeWindow } from '../view.ts';

export function MachinePage({ machineId, query }: { machineId: string; query: URLSearchParams }): JSX.Element {
  const { store } = useShell();
  if (store.machineIds.value === null) return <MachineSkeleton machineId={machineId} />;
  const machine = store.machine(machineId);
  if (machine === undefined) {
    return (
      <Empty title={`The hub knows no machine ${machineId}`}>
        <p>
          Nothing was ever delivered for it. It appears with its first reading. <a href="/">Go to the overview</a>
        </p>
      </Empty>
    );
  }
  return <KnownMachine machine={machine} query={query} />;
}

function KnownMachine({ machine, query }: { machine: Signal<MachineNow>; query: URLSearchParams }): JSX.Element {
  const { id } = machine.value;
  return (
    <div class="machine">
      <Heading machine={machine.value} />
      <Conditions machine={machine.value} />
      <ValueTiles machine={machine.value} />
      <History machine={machine} query={query} />
      <EventList key={id} machineId={id} />
    </div>
  );
}

function Heading({ machine }: { machine: MachineNow }): JSX.Element {
  const { store } = useShell();
  const nowMs = store.nowMs.value;
  const standing = standingOf(machine, nowMs);
  const { state, kind, sinceMs } = standing;
  return (
    <header class={`machine-head card tile-is-${kind}`}>
      <div class="machine-title">
        <h1>{machine.name}</h1>
        <p class="muted">
          {[machine.name === machine.id ? null : machine.id, machine.location, machine.gateway_id]
            .filter((part) => part !== null)
            .join(' · ')}
        </p>
      </div>
      <div class="machine-state">
        <p class={`machine-label ink-${kind === 'stale' ? 'unknown' : state}`}>
          <StateMark state={state} /> {STATE_LABELS[state]}
        </p>
        <p>
          {sinceMs === null || (kind !== 'now' && kind !== 'stale') ? null : (
            <span class="machine-age">for {formatAge(nowMs - sinceMs)}</span>
          )}{' '}
          <span class="muted">{standing.reason}</span>
        </p>
      </div>
      {machine.last_measurement === null ? null : (
        <p class="machine-inspected">
          <a href={inspectionHref(machine.id)}>Measurements</a>
        </p>
      )}
      <p class="machine-seen">
        <Seen standing={standing} nowMs={nowMs} />
      </p>
    </header>
  );
}

function Seen({ standing, nowMs }: { standing: Standing; nowMs: number }): JSX.Element {
  const plant = useShell().store.plant.value;
  const { kind, lastSeenMs, newestDataMs } = standing;
  if (kind === 'dated' && newestDataMs !== null) return <strong>as of {plant.dateTime(newestDataMs)}</strong>;
  if (lastSeenMs === null) return <strong>never seen</strong>;
  const seen = `last seen ${formatAge(nowMs - lastSeenMs)} ago`;
  return kind === 'now' ? (
    <span class="muted">{seen}</span>
  ) : (
    <>
      <strong>{seen}</strong> <span class="muted">{plant.near(lastSeenMs, nowMs)}</span>
    </>
  );
}

function Conditions({ machine }: { machine: MachineNow }): JSX.Element | null {
  const { store } = useShell();
  const nowMs = store.nowMs.value;
  if (machine.active_conditions.length === 0) return null;
  return (
    <section aria-label="Active conditions">
      <ul class="conditions card">
        {machine.active_conditions.map((condition) => {
          const mark = condition.level === 'fault' ? 'alarm' : 'hold';
          return (
            <li key={`${condition.item} ${condition.native_code} ${condition.time}`} class={`condition ink-${mark}`}>
              <StateMark state={mark} size={20} />
              <span class="condition-level">{condition.level === 'fault' ? 'Fault' : 'Warning'}</span>
              <span class="condition-text">{conditionText(condition)}</span>
              <span class="condition-age">
                since {store.plant.value.near(Date.parse(condition.time), nowMs)} (
                {formatAge(nowMs - Date.parse(condition.time))})
              </span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

/** The charts' part: what is shown and over which time stands in the URL. */
function History({ machine, query }: { machine: Signal<MachineNow>; query: URLSearchParams }): JSX.Element {
  const { store, router } = useShell();
  const { id } = machine.value;
  const view = parseView(query);
  const signals = useSignals(id);
  const Charts = useCharts();
  const waiting = useSignal(0);
  const show = (change: Partial<MachineView>, replace = false): void => {
    router.go(machineHref(id) + formatView({ ...view, ...change }), { replace });
  };
  if (signals.failure !== null || Charts === 'failed') {
    const message = signals.failure ?? 'Their program did not arrive.';
    const retry = signals.failure === null ? () => location.reload() : signals.retry;
    return <Failure what="The charts could not be loaded." message={message} onRetry={retry} />;
  }
  const chosen = chosenSignals(signals.known ?? [], view.signals);
  return (
    <section class="history" aria-label="Charts">
      <div class="history-bar">
        <TimeBar view={view} waiting={waiting} onChange={show} />
        <SignalChooser
          known={signals.known ?? []}
          chosen={chosen}
          onChange={(names) => show({ signals: names }, true)}
        />
      </div>
      <OldData machine={machine.value} view={view} onGo={(window) => show({ window })} />
      {Charts === null || signals.known === null ? (
        <div class="charts-skeleton" aria-busy="true">
          <div class="bone" />
          <div class="bone" />
          <div class="bone" />
        </div>
      ) : chosen.length === 0 ? (
        <Empty title="No signal is chosen">
          <p>
            {signals.known.some(({ numeric }) => numeric)
              ? 'Choose what to see under Signals.'
              : 'This machine has not reported a number yet. Its signals appear with the first one.'}
          </p>
        </Empty>
      ) : (
        <Charts
          machine={machine}
          view={view}
          signals={chosen}
          reportsOnChange={reportsOnChange(store.edges.value, id)}
          waiting={waiting}
          onWindow={(window) => show({ window: window === null ? null : rounded(window) })}
        />
      )}
    </section>
  );
}

/** Where the newest data lies before the live window, says so and leads there. */
function OldData(props: {
  machine: MachineNow;
  view: MachineView;
  onGo: (window: TimeWindow) => void;
}): JSX.Element | null {
  const { store } = useShell();
  const rangeMs = RANGES[props.view.range];
  const { newestDataMs } = standingOf(props.machine, store.nowMs.value);
  if (props.view.window !== null || newestDataMs === null || newestDataMs > store.nowMs.value - rangeMs) return null;
  return (
    <p class="old-data">
      The newest data is of {store.plant.value.dateTime(newestDataMs)}: nothing is known of the time below.
      <button
        type="button"
        class="button"
        onClick={() => props.onGo({ fromMs: newestDataMs - rangeMs, toMs: newestDataMs + 1000 })}
      >
        Go to the newest data
      </button>
    </p>
  );
}

/** The charts' own chunk, asked for when a machine's page is opened. */
function useCharts(): ComponentType<ChartsProps> | null | 'failed' {
  const [charts, setCharts] = useState<{ component: ComponentType<ChartsProps> } | null | 'failed'>(null);
  useEffect(() => {
    import('../charts/charts.tsx').then(
      (module) => setCharts({ component: module.default }),
      () => setCharts('failed'),
    );
  }, []);
  return charts === null || charts === 'failed' ? charts : charts.component;
}

function MachineSkeleton({ machineId }: { machineId: string }): JSX.Element {
  return (
    <div class="machine" aria-busy="true">
      <header class="machine-head card">
        <div class="machine-title">
          <h1>{machineId}</h1>
        </div>
      </header>
      <div class="charts-skeleton">
        <div class="bone" />
        <div class="bone" />
        <div class="bone" />
      </div>
    </div>
  );
}
