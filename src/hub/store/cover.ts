/**
 * From which table each part of a window is read: as much as possible from the coarsest one that is wanted, the rest from
 * finer ones, so that the parts make up exactly the window, and nothing that the roll-ups do not know yet is missing. Pure.
 */

/** From `start` (inclusive) to `end` (exclusive), in microseconds since 1970. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export const SOURCES = ['hours', 'minutes', 'rows'] as const;
export type Source = (typeof SOURCES)[number];

/** In the order of time, not touching one another. */
export type Cover = { readonly [source in Source]: readonly Span[] };

export const MINUTE_MICROS = 60e6;
export const HOUR_MICROS = 3_600e6;

/**
 * @param unsettled whole minutes that the roll-ups do not know, or not as they are now
 * @param coarsest the coarsest source that may be used
 */
export function coverOf(window: Span, unsettled: readonly Span[], coarsest: Source): Cover {
  if (coarsest === 'rows') return { hours: [], minutes: [], rows: joined([window]) };
  const rows = joined([
    ...cutParts(window, MINUTE_MICROS),
    ...unsettled.map(({ start, end }) => ({
      start: Math.max(start, window.start),
      end: Math.min(end, window.end),
    })),
  ]);
  if (coarsest === 'minutes') return { hours: [], minutes: without([window], rows), rows };
  const notByHour = [...rows, ...cutParts(window, HOUR_MICROS)].map(({ start, end }) => ({
    start: floorTo(start, HOUR_MICROS),
    end: ceilTo(end, HOUR_MICROS),
  }));
  const hours = without([window], joined(notByHour));
  return { hours, minutes: without(without([window], rows), hours), rows };
}

export function floorTo(micros: number, unit: number): number {
  return Math.floor(micros / unit) * unit;
}

function ceilTo(micros: number, unit: number): number {
  return Math.ceil(micros / unit) * unit;
}

/** The parts of the units that the window's ends cut. */
function cutParts({ start, end }: Span, unit: number): Span[] {
  return [
    { start, end: Math.min(end, ceilTo(start, unit)) },
    { start: Math.max(start, floorTo(end, unit)), end },
  ];
}

/** The same times in order, each once; what is empty is left out. */
function joined(spans: readonly Span[]): Span[] {
  const result: { start: number; end: number }[] = [];
  for (const { start, end } of spans.filter((span) => span.start < span.end).sort((a, b) => a.start - b.start)) {
    const last = result.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else result.push({ start, end });
  }
  return result;
}

/** Both in order. */
function without(spans: readonly Span[], removed: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const { start, end } of spans) {
    let from = start;
    for (const other of removed) {
      if (other.end <= from || other.start >= end) continue;
      if (other.start > from) result.push({ start: from, end: other.start });
      from = other.end;
    }
    if (from < end) result.push({ start: from, end });
  }
  return result;
}
