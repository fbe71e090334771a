/** The shape of a state: each differs from the others without its colour. */
import type { JSX } from 'preact';
import type { ShownState } from '../standing.ts';

/** Only a picture: its neighbour says the state in words. `size` in CSS pixels; left out, it follows the text. */
export function StateMark({ state, size }: { state: ShownState; size?: number }): JSX.Element {
  const side = size ?? '1em';
  return (
    <svg class={`mark mark-${state}`} viewBox="0 0 24 24" width={side} height={side} aria-hidden="true">
      {SHAPES[state]}
    </svg>
  );
}

const SHAPES: { readonly [state in ShownState]: JSX.Element } = {
  running: <path class="solid" d="M6 3.5 20.5 12 6 20.5z" />,
  idle: <rect class="hollow" x="5" y="5" width="14" height="14" rx="1" />,
  hold: <path class="solid" d="M5.5 4h4.5v16H5.5zM14 4h4.5v16H14z" />,
  alarm: (
    <>
      <path class="solid" d="M8 2h8l6 6v8l-6 6H8l-6-6V8z" />
      <path class="sign" d="M12 6.5v7M12 17.2v.3" />
    </>
  ),
  setup: <path class="solid" d="M12 2.5 21.5 12 12 21.5 2.5 12z" />,
  offline: (
    <>
      <circle class="hollow" cx="12" cy="12" r="8.5" />
      <path class="hollow" d="M6 18 18 6" />
    </>
  ),
  unknown: (
    <>
      <circle class="hollow dashed" cx="12" cy="12" r="9" />
      <path class="hollow thin" d="M9.3 9.6a2.8 2.8 0 1 1 3.9 2.6c-.8.4-1.2.9-1.2 1.9M12 17v.4" />
    </>
  ),
};
