/** A chart's data as a table: the newest rows of the window. */
import type { Signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { SignalInfo } from '../../model/api.ts';
import { useShell } from '../context.ts';
import { formatNumber } from '../format.ts';
import type { TimeWindow } from '../view.ts';
import type { ChartFeed } from './feed.ts';
import { bucketAt } from './series-buffer.ts';

const ROWS_MAX = 200;

interface Props {
  readonly feed: ChartFeed;
  readonly signals: readonly SignalInfo[];
  readonly window: Signal<TimeWindow>;
}

export function ChartTable({ feed, signals, window }: Props): JSX.Element {
  const { store } = useShell();
  feed.revision.value;
  const buffer = feed.data.value?.buffer;
  if (buffer === undefined) return <p class="chart-empty">Loading</p>;
  const { fromMs, toMs } = window.value;
  const plant = store.plant.value;
  const times = [...new Set(signals.flatMap(({ name }) => buffer.columns(name).time))]
    .filter((time) => time >= fromMs && time <= toMs)
    .sort((a, b) => b - a)
    .slice(0, ROWS_MAX);
  return (
    <div class="chart-table" tabIndex={0} role="region" aria-label="Table, newest first">
      <table>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {signals.map(({ name, label, unit }) => (
              <th key={name} scope="col">
                {label} {unit === '' ? null : <span class="unit">{unit}</span>} <span class="unit">min … max</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {times.map((time) => (
            <tr key={time}>
              <th scope="row">{plant.dateTime(time)}</th>
              {signals.map(({ name, decimals }) => {
                const columns = buffer.columns(name);
                const at = bucketAt(columns, time, 0) ?? -1;
                const [last, min, max] = [columns.last[at], columns.min[at], columns.max[at]];
                return (
                  <td key={name}>
                    {formatNumber(last, decimals)}{' '}
                    <span class="muted">
                      {formatNumber(min, decimals)} … {formatNumber(max, decimals)}
                    </span>
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
      {times.length === 0 ? <p class="chart-empty">Nothing in this stretch of time.</p> : null}
    </div>
  );
}
