/** Keyboard shortcuts: single keys, never while a person is typing or has chosen a control that uses the key. */
import { useEffect } from 'preact/hooks';

export type KeyMap = { readonly [key: string]: () => void };

/** Calls the entry of the key pressed, as long as the component stands. The newest map counts. */
export function useKeys(keys: KeyMap): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const action = keys[event.key];
      if (
        action === undefined ||
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        isTakenBy(event.target, event.key)
      ) {
        return;
      }
      event.preventDefault();
      action();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  });
}

function isTakenBy(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest('input:not([type=checkbox]), select, textarea, dialog') !== null) return true;
  return key === ' ' && target.closest('button, a, summary, input, [tabindex]') !== null;
}
