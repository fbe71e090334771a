/** What a part of a page shows while it has nothing to show. */
import type { ComponentChildren, JSX } from 'preact';

/** Reason, and what to do next. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function Failure({
  what,
  message,
  onRetry,
}: {
  what: string;
  message: string;
  onRetry: () => void;
}): JSX.Element {
  return (
    <div class="failure" role="alert">
      <p>
        <strong>{what}</strong> {message}
      </p>
      <button type="button" class="button" onClick={onRetry}>
        Retry
      </button>
    </div>
  );
}
