import type { JSX } from 'preact';
export function MachinePage({ machineId }: { machineId: string; query: URLSearchParams }): JSX.Element {
  return <p>{machineId}</p>;
}
