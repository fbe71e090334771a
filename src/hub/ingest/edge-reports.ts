/** What edges that deliver by NATS say of themselves: the same as `PUT /api/v1/edges/{id}/status`, as a request. */
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { type ErrorCode, messageOf, MillwrightError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { ApiError } from '../../model/api.ts';
import { STATUS_QUEUE, STATUS_SUBJECTS } from '../../model/nats-wire.ts';

export interface EdgeReportsParts {
  /** Checks what the edge of that name said, and stores it. */
  readonly save: (body: unknown, gatewayId: string) => Promise<void>;
  readonly log: Logger;
}

/** Statuses that are being stored at once; the database may be slow or away, and edges speak every few seconds. */
const SAVING_MAX = 100;

export class EdgeReports {
  readonly #parts: EdgeReportsParts;
  #saving = 0;

  constructor(parts: EdgeReportsParts) {
    this.#parts = parts;
  }

  /** Answers on this connection for as long as it lasts; of several hubs one answers. */
  serve(connection: NatsConnection): void {
    connection.subscribe(STATUS_SUBJECTS, {
      queue: STATUS_QUEUE,
      callback: (error, message) => {
        if (error === null) void this.#answer(message);
        else this.#parts.log.warn('statuses of edges do not come by NATS', { error });
      },
    });
  }

  async #answer(message: Msg): Promise<void> {
    const answer = await this.#store(message);
    // Nobody waits for it any more where the connection is gone; the edge speaks again soon.
    if (message.reply !== undefined && message.reply !== '') message.respond(JSON.stringify(answer));
  }

  async #store(message: Msg): Promise<ApiError | Record<string, never>> {
    if (this.#saving >= SAVING_MAX) return refusal('try_later', `${SAVING_MAX} statuses wait to be stored`);
    this.#saving += 1;
    try {
      const token = message.subject.slice(message.subject.indexOf('.') + 1);
      await this.#parts.save(parsed(message.data), decodedToken(token));
      return {};
    } catch (error) {
      if (error instanceof MillwrightError) return refusal(error.code, messageOf(error));
      return refusal('database_unavailable', `the database cannot be used: ${messageOf(error)}`);
    } finally {
      this.#saving -= 1;
    }
  }
}

function refusal(code: ErrorCode, message: string): ApiError {
  return { error: { code, message } };
}

function parsed(data: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString('utf8'));
  } catch (cause) {
    throw new MillwrightError('bad_request', 'a status is JSON', { cause });
  }
}

function decodedToken(token: string): string {
  try {
    return decodeURIComponent(token);
  } catch (cause) {
    throw new MillwrightError('bad_request', 'the last part of the subject is the gateway, percent-encoded', { cause });
  }
}
