/** The parts that were inspected, by their serial numbers. */
import type { JSX } from 'preact';
import type { MeasurementRow } from '../../model/api.ts';
import { useShell } from '../context.ts';
import { formatCount } from '../format.ts';
import { VERDICT_INKS, VERDICT_WORDS, VerdictMark } from './verdict.tsx';
import { partsOf } from './view.ts';

/** Shown; more are reached by the API. */
const PARTS_MAX = 100;

interface Props {
  /** Newest first. */
  readonly rows: readonly MeasurementRow[];
  readonly chosen: string | null;
  readonly hrefOf: (serial: string) => string;
}

export function PartList({ rows, chosen, hrefOf }: Props): JSX.Element {
  const { store } = useShell();
  const nowMs = store.nowMs.value;
  const parts = partsOf(rows).slice(0, PARTS_MAX);
  return (
    <section class="cmm-parts" aria-labelledby="parts-title">
      <h2 id="parts-title" class="section-title">
        Parts by serial number, newest first
      </h2>
      {parts.length === 0 ? (
        <p class="card chart-empty">The newest {formatCount(rows.length)} measurements carry no serial number.</p>
      ) : (
        <ul class="card part-rows" tabIndex={0} aria-label="Parts">
          {parts.map(({ serial, partId, time, measurements, nonconform, verdict }) => (
            <li key={serial} class={serial === chosen ? 'part-row part-row-chosen' : 'part-row'}>
              <a href={hrefOf(serial ?? '')} aria-current={serial === chosen ? 'true' : undefined}>
                {serial}
              </a>
              <span class="muted part-row-id">{partId}</span>
              <span class={`part-row-verdict ${VERDICT_INKS[verdict ?? 'none']}`}>
                <VerdictMark verdict={verdict} /> {VERDICT_WORDS[verdict ?? 'none']}
              </span>
              <span class="muted">
                {nonconform === 0 ? `${measurements} measured` : `${nonconform} of ${measurements} nonconforming`}
              </span>
              <span class="muted part-row-time">{store.plant.value.near(Date.parse(time), nowMs)}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
