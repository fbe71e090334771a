/** One characteristic: its lengths beside the temperature, its control chart, its histogram. One cursor for all. */
import { useSignal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import type { CapabilityStudy } from '../../model/api.ts';
import { useShell } from '../context.ts';
import { formatCount } from '../format.ts';
import { useKeys } from '../keys.ts';
import { ControlCharts, RulesInWords } from './control-charts.tsx';
import { Histogram } from './histogram.tsx';
import { LengthCharts } from './length-charts.tsx';
import { StudyTable } from './study-table.tsx';
import { COUNTS, type CmmView } from './view.ts';

interface Props {
  readonly study: CapabilityStudy | null;
  readonly view: CmmView;
  readonly onView: (change: Partial<CmmView>) => void;
}

export function StudyPanel({ study, view, onView }: Props): JSX.Element | null {
  const cursorAt = useSignal<number | null>(null);
  const points = study?.points.length ?? 0;
  const move = (steps: number): void => {
    if (points === 0) return;
    const from = cursorAt.peek() ?? (steps < 0 ? points : -1);
    cursorAt.value = Math.min(points - 1, Math.max(0, from + steps));
  };
  useKeys({
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    Escape: () => {
      cursorAt.value = null;
    },
  });
  if (study === null) return null;
  const parts = { study, cursorAt };
  return (
    <section class="study" aria-labelledby="study-title" data-study={study.characteristic}>
      <div class="study-bar">
        <h2 id="study-title">{study.characteristic}</h2>
        <Choice
          label="Values"
          options={COUNTS.map((count) => [String(count), formatCount(count)] as const)}
          chosen={String(view.count)}
          onChoose={(count) => onView({ count: Number(count) })}
        />
        <Choice
          label="Studied"
          options={[
            ['compensated', 'Compensated'],
            ['measured', 'Measured'],
          ]}
          chosen={study.value}
          onChoose={(value) => onView({ value: value as CmmView['value'] })}
        />
        <p class="muted study-scope">{scopeOf(study)}</p>
      </div>
      {points === 0 ? (
        <p class="card chart-empty">
          None of the newest measurements has a {study.value} value. Choose the other one above.
        </p>
      ) : (
        <>
          <ChartCard title="Length and temperature" table={<StudyTable study={study} columns="length" />}>
            <LengthCharts {...parts} />
          </ChartCard>
          <ChartCard
            title="Individuals and moving range"
            table={<StudyTable study={study} columns="control" />}
            below={<RulesInWords study={study} since={view.since} onSince={(since) => onView({ since })} />}
          >
            <ControlCharts {...parts} />
          </ChartCard>
          <ChartCard title="Histogram and capability" table={<StudyTable study={study} columns="histogram" />}>
            <Histogram study={study} />
          </ChartCard>
        </>
      )}
    </section>
  );
}

function scopeOf(study: CapabilityStudy): string {
  const parts = [
    `the newest ${formatCount(study.points.length)}${study.has_older ? '' : ', which are all'}`,
    study.left_out === 0 ? null : `${formatCount(study.left_out)} more have no ${study.value} value in ${study.unit}`,
  ];
  return parts.filter((part) => part !== null).join('; ');
}

interface ChoiceProps {
  readonly label: string;
  readonly options: readonly (readonly [value: string, words: string])[];
  readonly chosen: string;
  readonly onChoose: (value: string) => void;
}

function Choice({ label, options, chosen, onChoose }: ChoiceProps): JSX.Element {
  return (
    <div class="button-row" role="group" aria-label={label}>
      {options.map(([value, words]) => (
        <button
          key={value}
          type="button"
          class="button"
          aria-pressed={value === chosen}
          onClick={() => onChoose(value)}
        >
          {words}
        </button>
      ))}
    </div>
  );
}

interface CardProps {
  readonly title: string;
  readonly table: JSX.Element;
  /** Stands also where the table does. */
  readonly below?: JSX.Element;
  readonly children: ComponentChildren;
}

function ChartCard({ title, table, below, children }: CardProps): JSX.Element {
  const asTable = useSignal(false);
  // The charts paint with the theme's colours: they are made anew when it changes.
  useShell().theme.changes.value;
  return (
    <section class="chart card study-chart" aria-label={title}>
      <header class="chart-head">
        <h3>{title}</h3>
        <button
          type="button"
          class="button chart-table-button"
          aria-pressed={asTable.value}
          onClick={() => {
            asTable.value = !asTable.value;
          }}
        >
          Table
        </button>
      </header>
      {asTable.value ? table : children}
      {below}
    </section>
  );
}
