/** What the CMM page shows until the hub has answered. */
import type { JSX } from 'preact';

/** Of the page's final size. */
export function Skeleton({ machineId }: { machineId: string }): JSX.Element {
  return (
    <div class="cmm" aria-busy="true">
      <header class="machine-head card">
        <div class="machine-title">
          <h1>{machineId}</h1>
        </div>
      </header>
      <div class="bone cmm-bone" />
      <div class="bone cmm-bone" />
    </div>
  );
}
