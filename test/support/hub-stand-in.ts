/** For tests of the edge: what answers as a hub does, and keeps what it gets. */
import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeBatches } from '../../src/model/batch.ts';
import { decodeMessage } from '../../src/model/frame.ts';
import { samplingFactorOf } from '../../src/model/merge.ts';
import type { MachineEvent, Reading } from '../../src/model/reading.ts';
import type { EdgeStatus } from '../../src/model/status.ts';

/** Answers as a hub does, refusing the batches it is told to; can be closed and opened again on the same port. */
export class HubStandIn {
  readonly sequences: number[] = [];
  readonly timestamps: Map<string, string[]> = new Map();
  readonly reports: EdgeStatus[] = [];
  readonly refuses: Set<number> = new Set();
  /** In the order in which they came. */
  readonly all: Reading[] = [];
  readings = 0;
  /** How long it takes to store; what is cut off meanwhile is not stored. */
  delayMs = 0;
  /** Requests that are not answered yet. */
  waiting = 0;
  readonly gaps: MachineEvent[] = [];
  factorMax = 1;
  port = 0;
  #server: http.Server | undefined;

  async open(): Promise<void> {
    this.#server = http.createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        this.waiting += 1;
        const isDone = Promise.withResolvers<void>();
        response.on('close', () => {
          this.waiting -= 1;
          isDone.resolve();
        });
        const answer = (): void => this.#answer(request.url ?? '', Buffer.concat(parts), response);
        const isIngest = request.url === '/api/v1/ingest';
        if (this.delayMs === 0 || !isIngest) return answer();
        const timer = setTimeout(answer, this.delayMs);
        void isDone.promise.then(() => clearTimeout(timer));
      });
    });
    await new Promise<void>((resolve) => this.#server?.listen(this.port, '127.0.0.1', resolve));
    this.port = (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  #answer(url: string, body: Buffer, response: http.ServerResponse): void {
    if (url !== '/api/v1/ingest') {
      this.reports.push(JSON.parse(body.toString()));
      response.writeHead(204).end();
      return;
    }
    const { batches } = decodeBatches(body);
    if (batches.some(({ batch }) => this.refuses.has(batch.sequence))) {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { code: 'bad_request', message: 'refused by the test' } }));
      return;
    }
    for (const { batch } of batches) this.#store(batch.sequence, batch.payload);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ stored: 1, duplicate_batches: 0, dead_letters: 0, refused: [] }));
  }

  #store(sequence: number, payload: Uint8Array): void {
    this.sequences.push(sequence);
    const { readings, faults } = decodeMessage(payload);
    assert.equal(faults.length, 0);
    this.readings += readings.length;
    this.all.push(...readings);
    for (const reading of readings) {
      if (reading.kind === 'event' && reading.event_type === 'gap') this.gaps.push(reading);
      if (reading.kind === 'event' || reading.kind === 'measurement') continue;
      this.factorMax = Math.max(this.factorMax, samplingFactorOf(reading));
      const times = this.timestamps.get(reading.machine_id) ?? [];
      this.timestamps.set(reading.machine_id, times);
      times.push(reading.timestamp);
    }
  }
}
