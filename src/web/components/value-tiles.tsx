/** Every value of a machine as it is now, each with its unit, and its age when it is old. */
import type { JSX } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import type { CurrentValue, MachineNow, SignalInfo } from '../../model/api.ts';
import { useShell } from '../context.ts';
import { formatAge, formatValue, type PlantTime } from '../format.ts';
import { readable, useSignals } from '../signals.ts';
import { isStaleValue, standingOf } from '../standing.ts';

/** The state has its own place above. */
const SHOWN_ELSEWHERE = 'machine_state';
const FIRST_TILES = 12;

export function ValueTiles({ machine }: { machine: MachineNow }): JSX.Element | null {
  const { known } = useSignals(machine.id);
  const periods = useMemo(() => new Periods(), [machine.id]);
  const infos = useMemo(() => orderedInfos(known ?? [], machine), [known, Object.keys(machine.values).join()]);
  if (infos.length === 0) return null;
  return (
    <section aria-label="Values">
      <dl class="value-tiles">
        {infos.slice(0, FIRST_TILES).map((info) => (
          <ValueTile key={info.name} info={info} machine={machine} periods={periods} />
        ))}
      </dl>
      {infos.length > FIRST_TILES ? (
        <details class="more-values">
          <summary class="button">{infos.length - FIRST_TILES} more values</summary>
          <dl class="value-tiles">
            {infos.slice(FIRST_TILES).map((info) => (
              <ValueTile key={info.name} info={info} machine={machine} periods={periods} />
            ))}
          </dl>
        </details>
      ) : null}
    </section>
  );
}

interface TileProps {
  readonly info: SignalInfo;
  readonly machine: MachineNow;
  readonly periods: Periods;
}

function ValueTile({ info, machine, periods }: TileProps): JSX.Element | null {
  const { store } = useShell();
  const value = machine.values[info.name];
  const lastTime = useRef('');
  if (value === undefined) return null;
  if (value.time !== lastTime.current) {
    lastTime.current = value.time;
    periods.saw(info.name, value);
  }
  const nowMs = store.nowMs.value;
  const timeMs = Date.parse(value.time);
  const old = isStaleValue(value, nowMs, periods.of(info.name)) || standingOf(machine, nowMs).kind !== 'now';
  const text = formatValue(value.value, info.decimals);
  return (
    <div class={old ? 'value-tile card value-old' : 'value-tile card'} data-signal={info.name}>
      <dt>{info.label}</dt>
      <dd>
        <span class={typeof value.value === 'number' ? 'number' : 'value-text'} title={text}>
          {text}
        </span>{' '}
        <span class="unit">{info.unit}</span>
        {old ? <span class="value-age">as of {timeAndAge(timeMs, nowMs, store.plant.value)}</span> : null}
      </dd>
    </div>
  );
}

/** The time and the age; of another day the date alone, which says enough. */
function timeAndAge(timeMs: number, nowMs: number, plant: PlantTime): string {
  const [date, today] = [plant.date(timeMs), plant.date(nowMs)];
  return date === today ? `${plant.time(timeMs)} (${formatAge(nowMs - timeMs)})` : date;
}

/** How often each value comes, as seen by this page: from it follows when one is old. */
class Periods {
  readonly #lastMs = new Map<string, number>();
  readonly #periodMs = new Map<string, number>();

  saw(name: string, value: CurrentValue): void {
    const timeMs = Date.parse(value.time);
    const stepMs = timeMs - (this.#lastMs.get(name) ?? timeMs);
    this.#lastMs.set(name, timeMs);
    if (stepMs <= 0) return;
    // The shortest of late steps: one long silence must not make the next one look usual.
    this.#periodMs.set(name, Math.min(stepMs, 1.5 * (this.#periodMs.get(name) ?? stepMs)));
  }

  /** In ms; 0 when not known. */
  of(name: string): number {
    return this.#periodMs.get(name) ?? 0;
  }
}

/** In the hub's order; a value the hub did not know when it was asked comes last under its own name. */
function orderedInfos(known: readonly SignalInfo[], machine: MachineNow): SignalInfo[] {
  const names = Object.keys(machine.values).filter((name) => name !== SHOWN_ELSEWHERE);
  const listed = known.filter(({ name }) => names.includes(name));
  const unlisted = names.filter((name) => !known.some((info) => info.name === name));
  return [
    ...listed,
    ...(known.length === 0
      ? []
      : unlisted.map((name) => readable({ name, label: name, unit: '', decimals: 3, numeric: false }))),
  ];
}
