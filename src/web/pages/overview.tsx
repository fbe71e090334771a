/** All machines: counts, tiles in a fixed order, and what needs attention. */
import type { JSX } from 'preact';
import { type AttentionItem, attentionOf } from '../attention.ts';
import { Empty } from '../components/panel.tsx';
import { StateMark } from '../components/state-mark.tsx';
import { Tile, TileSkeleton } from '../components/tile.tsx';
import { useShell } from '../context.ts';
import { formatAge } from '../format.ts';
import { SHOWN_STATES, type ShownState, STATE_LABELS, standingOf } from '../standing.ts';

const SKELETON_TILES = 4;

export function OverviewPage({ kiosk }: { kiosk: boolean }): JSX.Element {
  const { store } = useShell();
  const ids = store.machineIds.value;
  if (ids !== null && ids.length === 0) return <NoMachines />;
  return (
    <div
      class="overview"
      style={kiosk ? wallStyle(ids?.length ?? 0) : undefined}
      data-crowd={kiosk ? crowdOf(ids?.length ?? 0) : undefined}
    >
      <h1 class="visually-hidden">Overview</h1>
      <Counts />
      <section class="machines" aria-labelledby="machines-title">
        <h2 id="machines-title" class="section-title">
          Machines
        </h2>
        <ul class="tiles" aria-busy={ids === null}>
          {ids === null
            ? Array.from({ length: SKELETON_TILES }, (_, at) => <TileSkeleton key={at} />)
            : ids.map((id) => <Tile key={id} machineId={id} kiosk={kiosk} />)}
        </ul>
      </section>
      <Attention />
    </div>
  );
}

function Counts(): JSX.Element {
  const { store } = useShell();
  const nowMs = store.nowMs.value;
  const counts = new Map<ShownState, number>();
  for (const machine of store.machines()) {
    const { state } = standingOf(machine, nowMs);
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return (
    <ul class="counts" aria-label="Machines by state">
      {SHOWN_STATES.map((state) => {
        const count = counts.get(state) ?? 0;
        return (
          <li key={state} class={count === 0 ? 'count count-none' : `count ink-${state}`}>
            <StateMark state={state} />
            <span class="count-number">{count}</span> <span class="count-label">{STATE_LABELS[state]}</span>
          </li>
        );
      })}
    </ul>
  );
}

function Attention(): JSX.Element {
  const { store } = useShell();
  const nowMs = store.nowMs.value;
  const items = attentionOf(
    { machines: store.machines(), edges: store.edges.value, status: store.status.value },
    nowMs,
  );
  return (
    <section class="attention" aria-labelledby="attention-title">
      <h2 id="attention-title" class="section-title">
        Needs attention {items.length === 0 ? null : <span class="tally">{items.length}</span>}
      </h2>
      {store.machineIds.value === null ? (
        <div class="bone bone-values" aria-hidden="true" />
      ) : items.length === 0 ? (
        <p class="attention-none">Nothing. Every machine is heard and none has a fault.</p>
      ) : (
        <ul class="attention-list">
          {items.map((item) => (
            <AttentionRow key={item.key} item={item} nowMs={nowMs} />
          ))}
        </ul>
      )}
    </section>
  );
}

function AttentionRow({ item, nowMs }: { item: AttentionItem; nowMs: number }): JSX.Element {
  return (
    <li>
      <a class={`attention-item ink-${item.mark}`} href={item.href}>
        <StateMark state={item.mark} size={20} />
        <span class="attention-what">
          <span class="attention-subject">{item.subject}</span>
          <span class="attention-text">{item.text}</span>
        </span>
        <span class="attention-age">{item.sinceMs === null ? '' : formatAge(nowMs - item.sinceMs)}</span>
      </a>
    </li>
  );
}

function NoMachines(): JSX.Element {
  const { store } = useShell();
  const heard = store.edges.value.length;
  return (
    <Empty title="No machine has reported yet">
      <p>
        {heard === 0
          ? 'The hub is ready, and no gateway has reported to it.'
          : 'Gateways report to this hub, and none has delivered a reading so far.'}
      </p>
      <p>
        Start a gateway with <code>millwright edge --config edge.yaml</code>, with the address of this hub in its sink{' '}
        <code>hub</code>. Machines appear here by themselves. What is known of the gateways stands on the page{' '}
        <a href="/pipeline">Pipeline</a>.
      </p>
    </Empty>
  );
}

/** How large the type on the wall can be: 24, 60 and 100 tiles are the steps. */
function crowdOf(machines: number): string {
  if (machines <= 24) return 'few';
  return machines <= 60 ? 'some' : 'many';
}

/** Columns and rows that give tiles the shape of a card on a wide screen. */
function wallStyle(machines: number): string {
  const columns = Math.max(1, Math.ceil(Math.sqrt(Math.max(1, machines) * 1.35)));
  return `--wall-columns: ${columns}; --wall-rows: ${Math.max(1, Math.ceil(machines / columns))}`;
}
