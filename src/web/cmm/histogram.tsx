/** How the values lie between the limits of the specification, and what the process is capable of. */
import type { JSX } from 'preact';
import type { CapabilityStudy, StudyCapability } from '../../model/api.ts';
import { formatNumber, MISSING } from '../format.ts';
import { decimalsOf } from './view.ts';

const WIDTH = 720;
const HEIGHT = 170;
const BASE = HEIGHT - 22;
const TOP = 20;

export function Histogram({ study }: { study: CapabilityStudy }): JSX.Element {
  return (
    <div class="histogram-frame">
      <Bars study={study} />
      <Indices study={study} />
    </div>
  );
}

function Bars({ study }: { study: CapabilityStudy }): JSX.Element {
  const { histogram, specifications, unit, points } = study;
  const decimals = decimalsOf(unit);
  const one = specifications.length === 1 ? specifications[0] : undefined;
  const limits = [
    ['LSL', one?.lower_limit ?? null],
    ['Nominal', one?.nominal_value ?? null],
    ['USL', one?.upper_limit ?? null],
  ] as const;
  const edges = [
    ...histogram.flatMap(({ from, to }) => [from, to]),
    ...limits.flatMap(([, value]) => (value === null ? [] : [value])),
  ];
  const [least, greatest] = [Math.min(...edges), Math.max(...edges)];
  const span = greatest - least || 1;
  const x = (value: number): number => 40 + ((value - least) / span) * (WIDTH - 80);
  const most = Math.max(...histogram.map(({ count }) => count));
  const y = (count: number): number => BASE - (count / most) * (BASE - TOP);
  const told = limits.map(([name, value]) => (value === null ? null : `${name} ${formatNumber(value, decimals)}`));
  return (
    <svg
      class="histogram"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={`Histogram of ${points.length} values in ${histogram.length} bins. ${told.filter(Boolean).join(', ')}`}
    >
      {histogram.map(({ from, to, count }) => (
        <rect
          key={from}
          class="histogram-bar"
          x={x(from)}
          width={Math.max(1.5, x(to) - x(from) - 1)}
          y={y(count)}
          height={BASE - y(count)}
        />
      ))}
      <path class="histogram-base" d={`M20 ${BASE + 0.5}H${WIDTH - 20}`} />
      {limits.map(([name, value]) =>
        value === null ? null : (
          <g key={name} class={name === 'Nominal' ? 'histogram-nominal' : 'histogram-limit'}>
            <path d={`M${x(value)} ${TOP - 4}V${BASE}`} />
            <text x={x(value)} y={TOP - 8} text-anchor="middle">
              {name}
            </text>
            <text x={x(value)} y={HEIGHT - 5} text-anchor="middle">
              {formatNumber(value, decimals)}
            </text>
          </g>
        ),
      )}
    </svg>
  );
}

function Indices({ study }: { study: CapabilityStudy }): JSX.Element {
  const { capability } = study;
  if (capability === null) {
    return (
      <p class="capability-none">
        <strong>No capability:</strong> {study.capability_reason}.
      </p>
    );
  }
  return (
    <dl class="facts capability">
      <Index name="Cp" value={capability.cp} />
      <Index name="Cpk" value={capability.cpk} interval={capability.cpk_interval} />
      <Index name="Pp" value={capability.pp} />
      <Index name="Ppk" value={capability.ppk} interval={capability.ppk_interval} />
      <Spread capability={capability} unit={study.unit} />
    </dl>
  );
}

interface IndexProps {
  readonly name: string;
  readonly value: number | null;
  readonly interval?: readonly [low: number, high: number];
}

function Index({ name, value, interval }: IndexProps): JSX.Element {
  return (
    <div class="fact" data-spc={name.toLowerCase()}>
      <dt>{name}</dt>
      <dd>
        <span class="number">{value === null ? MISSING : formatNumber(value, 2)}</span>
        {interval === undefined ? null : (
          <span class="capability-interval">
            95 %: {formatNumber(interval[0], 2)} to {formatNumber(interval[1], 2)}
          </span>
        )}
      </dd>
    </div>
  );
}

function Spread({ capability, unit }: { capability: StudyCapability; unit: string | null }): JSX.Element {
  const decimals = decimalsOf(unit) + 1;
  const facts = [
    ['n', String(capability.values), null],
    ['Mean', formatNumber(capability.mean, decimals), unit],
    ['σ within', formatNumber(capability.sigma_within, decimals), unit],
    ['s overall', formatNumber(capability.sigma_overall, decimals), unit],
  ] as const;
  return (
    <>
      {facts.map(([name, value, of]) => (
        <div key={name} class="fact">
          <dt>{name}</dt>
          <dd>
            {value} {of === null ? null : <span class="unit">{of}</span>}
          </dd>
        </div>
      ))}
    </>
  );
}
