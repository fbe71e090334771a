/** A run's progress: one line that is written over on a terminal, elsewhere a line every few seconds. */
import type { LoadProgress } from './load.ts';

export interface ProgressOutput {
  readonly isTerminal: boolean;
  /** In characters. */
  readonly columns: number;
  readonly write: (text: string) => void;
}

const BAR_CHARACTERS = 20;
const LINE_INTERVAL_MS = 5_000;
const CLEAR_LINE = '\r\u001B[2K';

export class ProgressLine {
  readonly #output: ProgressOutput;
  #told = '';
  #toldMs = 0;

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  show(progress: LoadProgress): void {
    if (this.#output.isTerminal) {
      const text = `${bar(progress)} ${progressText(progress)}`.slice(0, this.#output.columns - 1);
      if (text !== this.#told) this.#output.write(`${CLEAR_LINE}${text}`);
      this.#told = text;
    } else if (progress.elapsedMs - this.#toldMs >= LINE_INTERVAL_MS) {
      this.#toldMs = progress.elapsedMs;
      this.#output.write(`${Math.round(progress.elapsedMs / 1000)} s  ${progressText(progress)}\n`);
    }
  }

  /** Leaves nothing behind on a terminal. */
  end(): void {
    if (this.#output.isTerminal && this.#told !== '') this.#output.write(CLEAR_LINE);
  }
}

export function progressText(progress: LoadProgress): string {
  const { phase, elapsedMs, readingsSent, messagesSent, messagesAcknowledged, readingsVisible, trouble } = progress;
  const perSecond = elapsedMs === 0 ? 0 : Math.round((readingsSent / elapsedMs) * 1000);
  const parts = [
    phase === 'publishing' ? `publishing ${number(perSecond)} readings/s` : phase,
    `${number(readingsSent)} sent`,
    `${number(messagesAcknowledged)} of ${number(messagesSent)} messages acknowledged`,
    ...(readingsVisible === null ? [] : [`${number(readingsVisible)} visible`]),
    ...(phase === 'counting' ? [`${number(progress.readingsCounted)} counted`] : []),
    ...(trouble === null ? [] : [trouble]),
  ];
  return parts.join(' · ');
}

/** How much of what is sent has arrived, or of a run without end, how much of it so far. */
function bar({
  readingsPlanned,
  readingsSent,
  readingsVisible,
  messagesSent,
  messagesAcknowledged,
}: LoadProgress): string {
  const all = Math.max(1, readingsPlanned ?? readingsSent);
  const acknowledged = messagesSent === 0 ? 0 : (readingsSent * messagesAcknowledged) / messagesSent;
  const share = Math.min(1, (readingsVisible ?? acknowledged) / all);
  const full = Math.floor(share * BAR_CHARACTERS);
  return `${'█'.repeat(full)}${'░'.repeat(BAR_CHARACTERS - full)} ${String(Math.floor(share * 100)).padStart(3)} %`;
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}
