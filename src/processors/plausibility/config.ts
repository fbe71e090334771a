/** The processor `plausibility` in the configuration: from what a person writes to {@link PlausibilityOptions}. */
import { z } from 'zod';
import { choice, duration, flag, name, number, scalar, section } from '../../base/config.ts';
import { isSignalKey, NAME_LENGTH_MAX } from '../../model/reading.ts';
import { MACHINE_STATES, signalNamed } from '../../model/signals.ts';
import { microsOf, parseTimestamp } from '../../model/time.ts';
import { ACTIONS, type PlausibilityOptions, type SignalRules } from './options.ts';
import { QUALITY_SUFFIX } from './processor.ts';

const VALUE = { min: -1e15, max: 1e15 };
const DAY_MS = 86_400_000;
/** A value may be taken for a flip for no longer. */
const FLIP_MS_MAX = 10_000;
const SIGNALS_MAX = 200;

const action = () =>
  choice(ACTIONS)
    .prefault('mark')
    .describe('mark: the value stays, with a word on its quality. remove: it becomes null, and is kept beside');

const signalSchema = section({
  signal: name().describe('Signal, or the name of an extra that is a number'),
  range: section({
    min: number(VALUE).optional().describe("Least value that can be, in the signal's unit"),
    max: number(VALUE).optional().describe('Largest value that can be'),
    action: action(),
  })
    .optional()
    .describe('Values that can be'),
  flip: section({
    by: number({ min: 1e-9, max: 1e15 }).describe("Least change that is a flip, in the signal's unit"),
    within: duration({ minMs: 1, maxMs: FLIP_MS_MAX }).prefault('2s').describe('It comes back within this time'),
    action: action(),
  })
    .optional()
    .describe('A value that goes away and comes back, as 24, 0, 24'),
  rate: section({
    max: number({ min: 1e-9, max: 1e15 }).describe("Largest change in a second, in the signal's unit"),
    over: duration({ minMs: 1, maxMs: DAY_MS })
      .prefault('1s')
      .describe('A change within less time is taken as if it took so long'),
    action: action(),
  })
    .optional()
    .describe('How fast it can change'),
  stuck: section({
    after: duration({ minMs: 1_000, maxMs: 30 * DAY_MS }).describe('The same value, said again and again, for so long'),
    states: z
      .array(choice(MACHINE_STATES), { error: () => 'allowed: a list of machine states' })
      .min(1, 'allowed: one state at least')
      .optional()
      .describe('Only the time in these states of the machine counts; default: all'),
    action: action(),
  })
    .optional()
    .describe('A value that should vary and does not'),
});

const instant = scalar('a time such as 2010-01-01T00:00:00Z', (value) => parseTimestamp(String(value)));

const clockSchema = section({
  enabled: flag().prefault(true).describe("Whether sources' clocks are looked at"),
  not_before: instant
    .prefault('2010-01-01T00:00:00Z')
    .describe('A time before this one is that of a clock that was never set'),
  future: duration({ minMs: 1_000, maxMs: 3_650 * DAY_MS })
    .prefault('10m')
    .describe("How far it may be ahead of the gateway's"),
  past: duration({ minMs: 1_000, maxMs: 3_650 * DAY_MS })
    .optional()
    .describe('How far behind; default: as far as it likes, since sources also tell what they recorded before'),
});

/** Output: {@link PlausibilityOptions}. */
export const schema: z.ZodType<PlausibilityOptions, unknown> = section({
  signals: z
    .array(signalSchema, { error: () => 'allowed: a list of signals' })
    .max(SIGNALS_MAX, `allowed: ${SIGNALS_MAX} signals`)
    .prefault([])
    .describe('What their values may be'),
  clock: clockSchema.prefault({}).describe("The sources' clocks"),
})
  .superRefine(({ signals }, context) => {
    for (const [index, rules] of signals.entries()) {
      const isRepeated = signals.findIndex((other) => other.signal === rules.signal) < index;
      const repeated = isRepeated ? [{ path: ['signal'], message: 'a signal that has no rules yet' }] : [];
      for (const { path, message } of [...faultsOf(rules), ...repeated]) {
        context.addIssue({ code: 'custom', path: ['signals', index, ...path], message: `allowed: ${message}` });
      }
    }
  })
  .transform(
    ({ signals, clock }): PlausibilityOptions => ({
      signals: Object.fromEntries(signals.map((rules) => [rules.signal, rulesOf(rules)])),
      clock: clock.enabled
        ? { notBeforeMicros: microsOf(clock.not_before), futureMs: clock.future, pastMs: clock.past ?? null }
        : null,
    }),
  );

type WrittenRules = z.output<typeof signalSchema>;

function rulesOf({ range, flip, rate, stuck }: WrittenRules): SignalRules {
  return {
    range: range === undefined ? null : { min: range.min ?? null, max: range.max ?? null, action: range.action },
    flip: flip === undefined ? null : { by: flip.by, withinMs: flip.within, action: flip.action },
    rate: rate === undefined ? null : { perSecondMax: rate.max, overMs: rate.over, action: rate.action },
    stuck: stuck === undefined ? null : { afterMs: stuck.after, states: stuck.states ?? null, action: stuck.action },
  };
}

interface Fault {
  readonly path: readonly string[];
  readonly message: string;
}

function faultsOf({ signal: name, ...rules }: WrittenRules): Fault[] {
  const faults: Fault[] = [];
  const { range } = rules;
  const type = signalNamed(name)?.type;
  const isName = isSignalKey(name) && name !== '__proto__';
  if (!isName || type === 'text' || name.length > NAME_LENGTH_MAX - QUALITY_SUFFIX.length) {
    faults.push({ path: ['signal'], message: 'a signal that is a number, or the name of an extra' });
  }
  if (Object.values(rules).every((rule) => rule === undefined)) {
    faults.push({ path: [], message: 'one of range, flip, rate, stuck at least' });
  }
  if (range !== undefined && range.min === undefined && range.max === undefined) {
    faults.push({ path: ['range'], message: 'min, max or both' });
  }
  if (range?.min !== undefined && range.max !== undefined && range.min > range.max) {
    faults.push({ path: ['range', 'min'], message: 'less than max' });
  }
  return faults;
}
