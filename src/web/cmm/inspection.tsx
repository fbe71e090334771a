/** The CMM page: the part in the machine, its characteristics, the study of one of them, and the parts before. */
import 'uplot/dist/uPlot.min.css';
import { type Signal, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import type { MachineNow, MeasurementRow } from '../../model/api.ts';
import { machineHref } from '../attention.ts';
import { Failure } from '../components/panel.tsx';
import { useShell } from '../context.ts';
import { formatAge, formatCount, formatNumber, MISSING } from '../format.ts';
import { useKeys } from '../keys.ts';
import { FeatureTable } from './feature-table.tsx';
import { type Inspection as Data, useInspection } from './inspection-data.ts';
import { PartList } from './part-list.tsx';
import { SinkDepths } from './sink-depths.tsx';
import { Skeleton } from './skeleton.tsx';
import { StudyPanel } from './study-panel.tsx';
import { VERDICT_INKS, VERDICT_WORDS, VerdictMark } from './verdict.tsx';
import { cmmHref, type CmmView, type InspectedRow, parseCmmView, rowsOfFeatures, rowsOfPart, worstOf } from './view.ts';

export interface InspectionProps {
  readonly machine: Signal<MachineNow>;
  readonly query: URLSearchParams;
}

export default function Inspection({ machine, query }: InspectionProps): JSX.Element {
  const { router } = useShell();
  const paused = useSignal(false);
  const { id, last_measurement: newest } = machine.value;
  const view = parseCmmView(query);
  const { data, failure, retry } = useInspection(id, view, { newest, paused: paused.value });
  const show = (change: Partial<CmmView>): void => router.go(cmmHref(id, { ...view, ...change }));
  useKeys({
    ' ': () => {
      paused.value = !paused.value;
    },
    l: () => {
      paused.value = false;
    },
  });
  if (data === null) {
    if (failure === null) return <Skeleton machineId={machine.value.name} />;
    return <Failure what="The measurements could not be loaded." message={failure} onRetry={retry} />;
  }
  const rows = view.serial === null ? rowsOfFeatures(data.features) : rowsOfPart(data.part);
  const chosen = data.study?.characteristic ?? null;
  return (
    <div class="cmm">
      <Heading machine={machine.value} data={data} paused={paused} />
      {failure === null ? null : (
        <Failure what="The newest measurements could not be loaded." message={failure} onRetry={retry} />
      )}
      <SinkDepths machineId={id} />
      <section class="cmm-features" aria-labelledby="features-title">
        <h2 id="features-title" class="section-title">
          {view.serial === null ? (
            'Newest of each characteristic, worst first'
          ) : (
            <>
              Part {view.serial}, worst first <a href={cmmHref(id, { ...view, serial: null })}>Back to the newest</a>
            </>
          )}
        </h2>
        <div class="card cmm-table">
          {data.serial !== view.serial ? (
            <p class="chart-empty" aria-busy="true">
              Loading
            </p>
          ) : rows.length === 0 ? (
            <p class="chart-empty">Nothing was measured of this part, or it is not stored any more.</p>
          ) : (
            <FeatureTable
              rows={rows}
              chosen={chosen}
              hrefOf={(characteristic) => cmmHref(id, { ...view, characteristic, since: null })}
            />
          )}
        </div>
      </section>
      <StudyPanel study={data.study} view={view} onView={show} />
      <PartList rows={data.newest} chosen={view.serial} hrefOf={(serial) => cmmHref(id, { ...view, serial })} />
    </div>
  );
}

function Heading(props: { machine: MachineNow; data: Data; paused: Signal<boolean> }): JSX.Element {
  const { machine, paused } = props;
  const { store } = useShell();
  const nowMs = store.nowMs.value;
  const part = newestPart(props.data);
  const verdict = worstOf(part.map(({ row }) => row.verdict));
  const newest = props.data.newest[0];
  const good = part.filter(({ row }) => row.verdict === 'conform').length;
  return (
    <header class="machine-head card cmm-head">
      <div class="machine-title">
        <h1>{machine.name}</h1>
        <p class="muted">
          <a href={machineHref(machine.id)}>Machine</a> · {[machine.id, machine.location].filter(Boolean).join(' · ')}
        </p>
      </div>
      <div class="cmm-verdict">
        <p class={`machine-label ${VERDICT_INKS[verdict ?? 'none']}`}>
          <VerdictMark verdict={verdict} /> {VERDICT_WORDS[verdict ?? 'none']}
        </p>
        <p class="muted">
          {verdict === null ? `${formatCount(part.length)} measured` : `${good} of ${part.length} conform`}
        </p>
      </div>
      <dl class="cmm-facts">
        <Fact name="Part" value={newest?.part_id ?? MISSING} />
        <Fact name="Serial" value={newest?.serial_number ?? MISSING} />
        <Fact name="Temperature" value={temperatureOf(part)} unit="°C" />
      </dl>
      <p class="machine-seen">
        {newest === undefined ? null : (
          <>
            measured {formatAge(nowMs - Date.parse(newest.time))} ago{' '}
            <span class="muted">{store.plant.value.near(Date.parse(newest.time), nowMs)}</span>
          </>
        )}
        <button
          type="button"
          class={paused.value ? 'button button-live' : 'button'}
          title={paused.value ? 'Live (l)' : 'Pause (Space)'}
          onClick={() => {
            paused.value = !paused.value;
          }}
        >
          {paused.value ? 'Go live' : 'Pause'}
        </button>
      </p>
    </header>
  );
}

function Fact({ name, value, unit }: { name: string; value: string; unit?: string }): JSX.Element {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>
        {value} {unit === undefined || value === MISSING ? null : <span class="unit">{unit}</span>}
      </dd>
    </div>
  );
}

/** What was measured of the part that was measured last: by its serial number, or else at the same instant. */
function newestPart({ features, newest }: Data): InspectedRow[] {
  const last = newest[0];
  if (last === undefined) return [];
  const belongs = (row: MeasurementRow): boolean =>
    last.serial_number === null ? row.time === last.time : row.serial_number === last.serial_number;
  return rowsOfFeatures(features).filter(({ row }) => belongs(row));
}

function temperatureOf(part: readonly InspectedRow[]): string {
  const newest = part.map(({ row }) => row.temperature_c).find((celsius) => celsius !== null);
  return formatNumber(newest, 1);
}
