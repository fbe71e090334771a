/** What the hub could not store, with the reason and the first of the bytes. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { DeadLetter } from '../../model/api.ts';
import { api } from '../api.ts';
import { useShell } from '../context.ts';
import { formatBytes } from '../format.ts';
import { Failure } from './panel.tsx';

const EXCERPT_CHARACTERS = 160;

export function DeadLetters(): JSX.Element {
  const { store } = useShell();
  const [letters, setLetters] = useState<readonly DeadLetter[] | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    const request = new AbortController();
    api.deadLetters(request.signal).then(
      (answer) => {
        setFailure(null);
        setLetters(answer);
      },
      (error: Error) => {
        if (!request.signal.aborted) setFailure(error.message);
      },
    );
    return () => request.abort();
  }, [tries]);
  if (failure !== null) {
    return (
      <Failure what="The dead letters could not be loaded." message={failure} onRetry={() => setTries(tries + 1)} />
    );
  }
  return (
    <div class="table-frame">
      <table class="parts-table">
        <caption>Dead letters, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Received</th>
            <th scope="col">Reason</th>
            <th scope="col">From</th>
            <th scope="col">Bytes</th>
          </tr>
        </thead>
        <tbody>
          {letters?.map((letter) => (
            <tr key={letter.id}>
              <th scope="row">{store.plant.value.dateTime(Date.parse(letter.received_at))}</th>
              <td data-label="Reason" class="letter-reason">
                {letter.reason}
                <code class="letter-bytes">{excerptOf(letter)}</code>
              </td>
              <td data-label="From">
                {letter.gateway_id ?? 'not named'} {letter.sequence === null ? null : `batch ${letter.sequence}`}
              </td>
              <td data-label="Bytes">{formatBytes(letter.bytes_length)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The bytes as text; what is no text is shown as a dot. */
function excerptOf({ bytes_base64: base64 }: DeadLetter): string {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const text = new TextDecoder().decode(bytes.subarray(0, EXCERPT_CHARACTERS * 4)).replace(/[\p{Cc}\ufffd]/gu, '·');
  return text.length > EXCERPT_CHARACTERS ? `${text.slice(0, EXCERPT_CHARACTERS)}…` : text;
}
