/** Watches one machine in the hub's live stream: how long from publishing a reading until a page would show it. */
import type { Clock } from '../base/clock.ts';
import type { JsonValue } from '../model/reading.ts';
import type { HubClient } from './http-client.ts';
import { Latencies } from './latencies.ts';

export class LiveWatch {
  readonly latencies: Latencies = new Latencies();
  readonly #clock: Clock;
  readonly #publishedMs: number[] = [];
  readonly #closing = new AbortController();
  #reading: Promise<void> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when the stream greets. @throws as {@link HubClient.open} */
  async start(client: HubClient, machineId: string): Promise<void> {
    const path = `/api/v1/live?machine=${encodeURIComponent(machineId)}`;
    const response = await client.open({ path, headers: { accept: 'text/event-stream' } }, this.#closing.signal);
    let greeted = (): void => {};
    const greeting = new Promise<void>((resolve) => {
      greeted = resolve;
    });
    const read = async (): Promise<void> => {
      let text = '';
      for await (const piece of response.setEncoding('utf8') as AsyncIterable<string>) {
        greeted();
        text += piece;
        const events = text.split('\n\n');
        text = events.pop() ?? '';
        for (const event of events) this.#take(event);
      }
    };
    // A stream that breaks off leaves fewer latencies, whose number is told.
    this.#reading = read()
      .catch(() => {})
      .finally(greeted);
    await greeting;
  }

  /** Readings of the watched machine, in their order. */
  published(readings: number): void {
    const nowMs = this.#clock.monotonicMs();
    for (let count = 0; count < readings; count += 1) this.#publishedMs.push(nowMs);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#reading;
  }

  #take(event: string): void {
    const lines = event.split('\n');
    if (!lines.includes('event: readings')) return;
    const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice(6));
    const nowMs = this.#clock.monotonicMs();
    for (const reading of JSON.parse(data.join('\n')) as { [key: string]: JsonValue }[]) {
      const publishedMs = this.#publishedMs[Number(reading['active_program_line'])];
      if (publishedMs !== undefined) this.latencies.add(nowMs - publishedMs);
    }
  }
}
