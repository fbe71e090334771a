/** A study's charts as tables: the newest points first, or the bins. */
import type { JSX } from 'preact';
import type { CapabilityStudy, StudyPoint } from '../../model/api.ts';
import { useShell } from '../context.ts';
import { formatNumber, MISSING } from '../format.ts';
import { VERDICT_WORDS } from './verdict.tsx';
import { decimalsOf } from './view.ts';

interface Props {
  readonly study: CapabilityStudy;
  readonly columns: 'length' | 'control' | 'histogram';
}

type Column = readonly [title: string, of: (point: StudyPoint) => string];

export function StudyTable({ study, columns }: Props): JSX.Element {
  const { store } = useShell();
  const decimals = decimalsOf(study.unit);
  if (columns === 'histogram') return <Bins study={study} />;
  const shown: readonly Column[] =
    columns === 'length'
      ? [
          ['Measured', (point) => formatNumber(point.measured_value, decimals)],
          ['Compensated', (point) => formatNumber(point.compensated_value, decimals)],
          ['U', (point) => formatNumber(point.expanded_uncertainty, decimals)],
          ['°C', (point) => formatNumber(point.temperature_c, 1)],
          ['Verdict', (point) => VERDICT_WORDS[point.verdict ?? 'none']],
        ]
      : [
          ['Value', (point) => formatNumber(point.value, decimals)],
          ['Moving range', (point) => formatNumber(point.moving_range, decimals)],
          ['Rules', (point) => (point.rules.length === 0 ? MISSING : point.rules.join(', '))],
        ];
  return (
    <div class="chart-table" tabIndex={0} role="region" aria-label="Table, newest first">
      <table>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Serial</th>
            {shown.map(([title]) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {study.points.toReversed().map((point) => (
            <tr key={point.time}>
              <th scope="row">{store.plant.value.dateTime(Date.parse(point.time))}</th>
              <td>{point.serial_number ?? MISSING}</td>
              {shown.map(([title, of]) => (
                <td key={title}>{of(point)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Bins({ study: { histogram, unit } }: { study: CapabilityStudy }): JSX.Element {
  const decimals = decimalsOf(unit) + 1;
  return (
    <div class="chart-table" tabIndex={0} role="region" aria-label="Table of bins">
      <table>
        <thead>
          <tr>
            <th scope="col">From {unit}</th>
            <th scope="col">To {unit}</th>
            <th scope="col">Values</th>
          </tr>
        </thead>
        <tbody>
          {histogram.map(({ from, to, count }) => (
            <tr key={from}>
              <th scope="row">{formatNumber(from, decimals)}</th>
              <td>{formatNumber(to, decimals)}</td>
              <td>{count}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
