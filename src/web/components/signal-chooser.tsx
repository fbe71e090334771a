/** Which signals the charts show: a list of boxes under one button. */
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { SignalInfo } from '../../model/api.ts';
import { SIGNALS_MAX } from '../view.ts';

interface Props {
  readonly known: readonly SignalInfo[];
  readonly chosen: readonly SignalInfo[];
  readonly onChange: (names: string[]) => void;
}

export function SignalChooser({ known, chosen, onChange }: Props): JSX.Element {
  const details = useRef<HTMLDetailsElement>(null);
  useCloseOutside(details);
  const names = new Set(chosen.map(({ name }) => name));
  const numeric = known.filter((info) => info.numeric);
  const toggle = (name: string): void => {
    if (names.has(name)) names.delete(name);
    else names.add(name);
    // In the hub's order, so that the same choice is the same view.
    onChange(numeric.map((info) => info.name).filter((known) => names.has(known)));
  };
  return (
    <details class="chooser" ref={details}>
      <summary class="button">
        Signals <span class="muted">{chosen.length}</span>
      </summary>
      <fieldset class="chooser-list card">
        <legend class="visually-hidden">Signals in the charts</legend>
        {numeric.map(({ name, label, unit }) => (
          <label key={name} class="chooser-item">
            <input
              type="checkbox"
              checked={names.has(name)}
              disabled={!names.has(name) && names.size >= SIGNALS_MAX}
              onChange={() => toggle(name)}
            />
            {label} <span class="unit">{unit}</span>
          </label>
        ))}
        {numeric.length === 0 ? <p class="muted">No numbers yet.</p> : null}
      </fieldset>
    </details>
  );
}

/** A list that lies over the page goes when something else is meant. */
function useCloseOutside(details: { readonly current: HTMLDetailsElement | null }): void {
  useEffect(() => {
    const close = (event: Event): void => {
      const element = details.current;
      if (element === null || !element.open) return;
      const escape = event instanceof KeyboardEvent && event.key === 'Escape';
      const outside = event.type === 'pointerdown' && event.target instanceof Node && !element.contains(event.target);
      if (!escape && !outside) return;
      element.open = false;
      if (escape) element.querySelector('summary')?.focus();
    };
    document.addEventListener('pointerdown', close);
    document.addEventListener('keydown', close);
    return () => {
      document.removeEventListener('pointerdown', close);
      document.removeEventListener('keydown', close);
    };
  }, []);
}
