/** The machine page's view as it stands in the URL: which signals, which time. Pure. */

export const RANGES = { '10m': 10 * 60_000, '1h': 3_600_000, '8h': 8 * 3_600_000, '24h': 24 * 3_600_000 } as const;
export type RangeName = keyof typeof RANGES;
export const RANGE_NAMES = Object.keys(RANGES) as readonly RangeName[];
export const RANGE_LABELS: { readonly [name in RangeName]: string } = {
  '10m': '10 min',
  '1h': '1 h',
  '8h': '8 h',
  '24h': '24 h',
};

/** Least and greatest width of a window, in ms. */
export const WINDOW_MS_MIN = 2000;
export const WINDOW_MS_MAX: number = 31 * 24 * 3_600_000;
/** Signals in one view at most. */
export const SIGNALS_MAX = 12;

/** A stretch of time in ms since 1970. */
export interface TimeWindow {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface MachineView {
  readonly range: RangeName;
  /** null: the default ones. */
  readonly signals: readonly string[] | null;
  /** null: live, the range up to now. */
  readonly window: TimeWindow | null;
}

/** Reads a query; what cannot be understood falls back to the default, for a URL may have been typed. */
export function parseView(query: URLSearchParams): MachineView {
  const range = query.get('range');
  const signals = query.get('signals');
  return {
    range: isRangeName(range) ? range : '10m',
    signals:
      signals === null
        ? null
        : signals
            .split(',')
            .filter((name) => name !== '')
            .slice(0, SIGNALS_MAX),
    window: parseWindow(query.get('from'), query.get('to')),
  };
}

/** The query of a view, `''` for the default one; {@link parseView} gives the view back, to the millisecond. */
export function formatView({ range, signals, window }: MachineView): string {
  const parts: string[] = [];
  if (range !== '10m') parts.push(`range=${range}`);
  if (signals !== null) parts.push(`signals=${signals.map(encodeURIComponent).join(',')}`);
  if (window !== null) {
    parts.push(`from=${new Date(window.fromMs).toISOString()}`, `to=${new Date(window.toMs).toISOString()}`);
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

/** The stretch that is to be seen. */
export function windowOf(view: MachineView, nowMs: number): TimeWindow {
  return view.window ?? { fromMs: nowMs - RANGES[view.range], toMs: nowMs };
}

/** Moves by a part of the window's width; live again (null) where it would reach beyond now. */
export function shifted({ fromMs, toMs }: TimeWindow, part: number, nowMs: number): TimeWindow | null {
  const shiftMs = (toMs - fromMs) * part;
  return toMs + shiftMs >= nowMs ? null : rounded({ fromMs: fromMs + shiftMs, toMs: toMs + shiftMs });
}

/** Wider or narrower about the middle; never beyond now, never outside the limits of a window. */
export function scaled({ fromMs, toMs }: TimeWindow, factor: number, nowMs: number): TimeWindow {
  const widthMs = Math.min(WINDOW_MS_MAX, Math.max(WINDOW_MS_MIN, (toMs - fromMs) * factor));
  const end = Math.min(nowMs, (fromMs + toMs) / 2 + widthMs / 2);
  return rounded({ fromMs: end - widthMs, toMs: end });
}

export function rounded({ fromMs, toMs }: TimeWindow): TimeWindow {
  return { fromMs: Math.round(fromMs), toMs: Math.round(toMs) };
}

function parseWindow(from: string | null, to: string | null): TimeWindow | null {
  const fromMs = Date.parse(from ?? '');
  const toMs = Date.parse(to ?? '');
  const widthMs = toMs - fromMs;
  return widthMs >= WINDOW_MS_MIN && widthMs <= WINDOW_MS_MAX ? { fromMs, toMs } : null;
}

function isRangeName(text: string | null): text is RangeName {
  return text !== null && Object.hasOwn(RANGES, text);
}
