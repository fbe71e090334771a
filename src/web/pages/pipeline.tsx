import type { JSX } from 'preact';
export function PipelinePage(_: { query: URLSearchParams }): JSX.Element {
  return <p>…</p>;
}
