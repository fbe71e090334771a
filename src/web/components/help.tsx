/** The keys, in a dialog: `?` opens it, Esc closes it. */
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

const KEYS = [
  ['?', 'this help'],
  ['o', 'overview'],
  ['p', 'pipeline'],
  ['[ ]', 'half a window back and forth'],
  ['z', 'zoom out'],
  ['l', 'live'],
  ['Space', 'pause, go on'],
  ['← →', 'move the cursor in the charts'],
  ['Esc', 'close, clear the cursor'],
] as const;

export function Help({ onClose }: { onClose: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="help" onClose={onClose} aria-labelledby="help-title">
      <h2 id="help-title">Keys</h2>
      <dl class="help-keys">
        {KEYS.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p class="muted">In a chart: drag to zoom, double-click to return.</p>
      <button type="button" class="button" onClick={() => dialog.current?.close()}>
        Close
      </button>
    </dialog>
  );
}
