/** One uPlot chart of a study. All charts of a page have the same points, so the cursor is a point's number. */
import { type Signal, useSignalEffect } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { AXIS_PX, LEAST_SPAN_SHARE } from '../charts/plot.ts';
import { useShell } from '../context.ts';
import { formatNumber } from '../format.ts';

/** Room at the right for the names of levels, and for half of the last time. */
const LEVELS_PX = 40;

export interface PlotStyle {
  readonly colour: (name: string) => string;
  readonly font: string;
}

interface Props {
  /** What the chart shows, in words. */
  readonly summary: string;
  readonly heightPx: number;
  readonly data: uPlot.AlignedData;
  readonly cursorAt: Signal<number | null>;
  /** Asked again when the colours or the plant's zone change; what it draws it takes from `current`. */
  readonly options: (style: PlotStyle) => PlotParts;
}

export type PlotParts = Pick<uPlot.Options, 'scales' | 'series'> & {
  readonly xValues: (splits: number[], step: number) => string[];
  readonly yDecimals: number;
  /** Behind and above the lines. */
  readonly draw?: (plot: uPlot) => void;
  readonly drawBelow?: (plot: uPlot) => void;
};

export function Plot(props: Props): JSX.Element {
  const { theme, store } = useShell();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const current = useRef(props);
  current.current = props;
  const colours = theme.changes.value;
  const zone = store.plant.value;

  useEffect(() => {
    const element = host.current;
    if (element === null) return undefined;
    const made = new uPlot(optionsOf(current, element), current.current.data, element);
    plot.current = made;
    const resizing = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: current.current.heightPx });
    });
    resizing.observe(element);
    return () => {
      resizing.disconnect();
      plot.current = null;
      made.destroy();
    };
  }, [colours, zone]);
  useEffect(() => plot.current?.setData(props.data), [props.data]);
  useSignalEffect(() => {
    const at = props.cursorAt.value;
    const made = plot.current;
    if (made === null || (made.cursor.idx ?? null) === at) return;
    const x = at === null ? undefined : made.data[0][at];
    made.setCursor({ left: x === undefined ? -10 : made.valToPos(x, 'x'), top: x === undefined ? -10 : 10 }, false);
  });
  return <div ref={host} class="plot" role="img" aria-label={props.summary} style={`height: ${props.heightPx}px`} />;
}

function optionsOf(current: { readonly current: Props }, host: HTMLElement): uPlot.Options {
  const computed = getComputedStyle(host);
  const style: PlotStyle = {
    colour: (name) => computed.getPropertyValue(name).trim(),
    font: `12px ${computed.fontFamily}`,
  };
  // Made anew with each data set, so that what is drawn beside the lines belongs to the same points.
  const parts = (): PlotParts => current.current.options(style);
  const { scales, series } = parts();
  const axis = {
    stroke: style.colour('--muted'),
    font: style.font,
    grid: { stroke: style.colour('--chart-grid'), width: 1 },
    ticks: { show: false },
  };
  const isTime = scales?.['x']?.time === true;
  return {
    width: host.clientWidth,
    height: current.current.heightPx,
    ms: 1,
    padding: [8, LEVELS_PX, 0, 0],
    legend: { show: false },
    scales: {
      x: {
        time: isTime,
        range: (plot, min, max) => rangeOf(parts().scales?.['x'], plot, min, max),
      },
      y: { range: (plot, min, max) => rangeOf(parts().scales?.['y'], plot, min, max) },
    },
    axes: [
      {
        ...axis,
        size: 26,
        gap: 6,
        space: 84,
        values: (_plot, splits, _axis, _space, step) => parts().xValues(splits, step),
      },
      {
        ...axis,
        size: AXIS_PX + 12,
        gap: 6,
        space: 30,
        values: (_plot, splits) => splits.map((value) => formatNumber(value, parts().yDecimals)),
      },
    ],
    series,
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    hooks: {
      drawAxes: [(plot) => parts().drawBelow?.(plot)],
      draw: [(plot) => parts().draw?.(plot)],
      setCursor: [
        (plot) => {
          const { left, idx } = plot.cursor;
          current.current.cursorAt.value = left === undefined || left < 0 ? null : (idx ?? null);
        },
      ],
    },
  };
}

function rangeOf(scale: uPlot.Scale | undefined, plot: uPlot, min: number, max: number): uPlot.Range.MinMax {
  return typeof scale?.range === 'function' ? scale.range(plot, min, max, 'x') : [min, max];
}

/** What is drawn by hand stays within the chart, and leaves no trace in how the rest is drawn. */
export function clipped({ ctx, bbox }: uPlot, draw: () => void): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  draw();
  ctx.restore();
}

/** With more points than this their dots would be a band. */
const DOTS_MAX = 400;

export function dots(fill: string): uPlot.Series.Points {
  return { show: (plot) => plot.data[0].length <= DOTS_MAX, size: 4, fill, width: 0 };
}

/** With room above and below; never without a span. */
export function padded(values: readonly (number | null)[], leastSpan: number): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value === null) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return [0, 1];
  const least = Math.max(leastSpan, LEAST_SPAN_SHARE * Math.max(Math.abs(low), Math.abs(high)));
  const missing = Math.max(0, least - (high - low)) / 2;
  const padding = (high - low) * 0.08;
  return [low - missing - padding, high + missing + padding];
}

export interface Level {
  readonly value: number;
  readonly label: string;
  readonly dashed: boolean;
}

/** Horizontal lines across the chart, named beyond their right end. */
export function drawLevels(plot: uPlot, levels: readonly Level[], { colour, font }: PlotStyle): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = colour('--line-strong');
  ctx.fillStyle = colour('--muted');
  ctx.lineWidth = ratio;
  ctx.font = font.replace(/^\d+/, (size) => String(Number(size) * ratio));
  ctx.textAlign = 'left';
  ctx.textBaseline = 'middle';
  for (const { value, label, dashed } of levels) {
    const y = Math.round(plot.valToPos(value, 'y', true)) + 0.5;
    ctx.setLineDash(dashed ? [6 * ratio, 4 * ratio] : []);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.fillText(label, bbox.left + bbox.width + 5 * ratio, y);
  }
  ctx.restore();
}
