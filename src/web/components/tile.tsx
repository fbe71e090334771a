/** One machine on the overview. */
import type { JSX } from 'preact';
import type { CurrentValue, MachineNow } from '../../model/api.ts';
import { inspectionHref, machineHref } from '../attention.ts';
import { useShell } from '../context.ts';
import { formatAge, formatValue } from '../format.ts';
import { KEY_VALUES, PART_COUNT_NAMES, PROGRAM_LINE_NAMES, PROGRAM_NAMES } from '../key-values.ts';
import { isStaleValue, type Standing, STATE_LABELS, standingOf } from '../standing.ts';
import { StateMark } from './state-mark.tsx';

export function Tile({ machineId, kiosk }: { machineId: string; kiosk: boolean }): JSX.Element | null {
  const { store } = useShell();
  const machine = store.machine(machineId)?.value;
  if (machine === undefined) return null;
  const nowMs = store.nowMs.value;
  const standing = standingOf(machine, nowMs);
  return (
    <li class={`tile tile-${standing.state} tile-is-${standing.kind}`} data-machine={machineId}>
      <div class="tile-head">
        <h3 class="tile-name">
          <a href={machineHref(machineId)}>{machine.name}</a>
        </h3>
        <span class="tile-place">{machine.location}</span>
      </div>
      <p class={`tile-state ink-${standing.state}`}>
        <StateMark state={standing.state} />
        <span class="tile-label">{STATE_LABELS[standing.state]}</span>
        <TimeInState standing={standing} nowMs={nowMs} />
      </p>
      <p class="tile-reason">
        <Reason standing={standing} nowMs={nowMs} />
      </p>
      {kiosk || machine.last_measurement === null ? null : (
        <p class="tile-inspected">
          <a href={inspectionHref(machineId)}>Measurements</a>{' '}
          <span class="muted">last {store.plant.value.near(Date.parse(machine.last_measurement), nowMs)}</span>
        </p>
      )}
      {kiosk || isInspectedOnly(machine) ? null : <KeyValues machine={machine} standing={standing} nowMs={nowMs} />}
      <Work machine={machine} />
    </li>
  );
}

/** It has told nothing that would fill the places of the usual values. */
function isInspectedOnly(machine: MachineNow): boolean {
  return machine.last_measurement !== null && Object.keys(machine.values).length === 0;
}

/** Holds the place of a tile until the hub has spoken. */
export function TileSkeleton(): JSX.Element {
  return (
    <li class="tile tile-skeleton" aria-hidden="true">
      <div class="bone bone-name" />
      <div class="bone bone-state" />
      <div class="bone bone-values" />
    </li>
  );
}

function TimeInState({ standing, nowMs }: { standing: Standing; nowMs: number }): JSX.Element | null {
  const { kind, sinceMs } = standing;
  if (sinceMs === null || kind === 'unknown' || kind === 'offline') return null;
  return <span class="tile-age">{formatAge(nowMs - sinceMs)}</span>;
}

function Reason({ standing, nowMs }: { standing: Standing; nowMs: number }): JSX.Element {
  const { store } = useShell();
  const { kind, lastSeenMs, newestDataMs, reason } = standing;
  const lastSeen = lastSeenMs === null ? null : `last seen ${formatAge(nowMs - lastSeenMs)} ago`;
  switch (kind) {
    case 'dated':
      return <>as of {newestDataMs === null ? '—' : store.plant.value.date(newestDataMs)}</>;
    case 'stale':
      return <strong>{lastSeen}</strong>;
    case 'unknown':
      return (
        <>
          <strong>{lastSeen}</strong> · {reason}
        </>
      );
    case 'offline':
      return (
        <>
          {lastSeen === null ? null : <strong>{lastSeen} · </strong>}
          {reason}
        </>
      );
    case 'now':
    case 'never':
      return <>{reason ?? '\u00a0'}</>;
  }
}

function KeyValues({
  machine,
  standing,
  nowMs,
}: {
  machine: MachineNow;
  standing: Standing;
  nowMs: number;
}): JSX.Element {
  const plant = useShell().store.plant.value;
  const present = KEY_VALUES.filter(({ names }) => firstOf(machine, names) !== undefined);
  const shown = present.length === 0 ? KEY_VALUES.slice(0, 4) : present.slice(0, 4);
  return (
    <dl class="values">
      {shown.map(({ names, label, unit, decimals }) => {
        const value = firstOf(machine, names);
        const text = formatValue(value?.value, decimals);
        const old = standing.kind !== 'now' || (value !== undefined && isStaleValue(value, nowMs));
        const asOf = value !== undefined && old ? `as of ${plant.near(Date.parse(value.time), nowMs)}` : undefined;
        return (
          <div key={label} class={old ? 'value value-old' : 'value'} title={asOf}>
            <dt>{label}</dt>
            <dd>
              <span class="number">{text}</span> <span class="unit">{unit}</span>
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

/** Program, line and part count, as far as the machine tells them. */
function Work({ machine }: { machine: MachineNow }): JSX.Element {
  const program = firstOf(machine, PROGRAM_NAMES);
  const line = firstOf(machine, PROGRAM_LINE_NAMES);
  const parts = firstOf(machine, PART_COUNT_NAMES);
  return (
    <p class="tile-work">
      <span class="tile-program">
        {program === undefined ? null : `${formatValue(program.value, 0)} `}
        {line === undefined ? null : (
          <>
            <span class="unit">line</span> {formatValue(line.value, 0)}
          </>
        )}
      </span>
      {parts === undefined ? null : (
        <span class="tile-parts">
          <span class="number">{formatValue(parts.value, 0)}</span> <span class="unit">parts</span>
        </span>
      )}
    </p>
  );
}

function firstOf(machine: MachineNow, names: readonly string[]): CurrentValue | undefined {
  const name = names.find((candidate) => machine.values[candidate] !== undefined);
  return name === undefined ? undefined : machine.values[name];
}
