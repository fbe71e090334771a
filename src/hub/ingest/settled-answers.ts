/**
 * Answers edges which of their batches are settled: only then do they give them up. Any hub can tell, whichever of them has
 * stored a batch, for the database is asked. What is asked while the database answers is asked of it together.
 */
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { Pool } from 'pg';
import { messageOf } from '../../base/errors.ts';
import { checkBatchId } from '../../model/batch.ts';
import { SETTLED_QUEUE, SETTLED_SUBJECTS, type SettledReply, type SettledRequest } from '../../model/nats-wire.ts';
import { settledAmong, type SettledQuestion } from '../store/settled.ts';

/** Questions that wait; what comes beyond is not answered, and the edge asks again. */
const WAITING_MAX = 20_000;
/** Of one query. */
const QUESTIONS_MAX = 500;
/** Batches that one question may be about. */
const BATCHES_MAX = 10_000;

interface Asked {
  readonly message: Pick<Msg, 'respond'>;
  readonly question: SettledQuestion;
}

export class SettledAnswers {
  readonly #database: Pool;
  readonly #waiting: Asked[] = [];
  #isAnswering = false;

  /** The database must be the one that is written to: a replica that lags would have edges wait for nothing. */
  constructor(database: Pool) {
    this.#database = database;
  }

  /** For as long as the connection lives. */
  serve(connection: Pick<NatsConnection, 'subscribe'>): void {
    connection.subscribe(SETTLED_SUBJECTS, {
      queue: SETTLED_QUEUE,
      callback: (error, message) => {
        if (error === null) this.#take(message);
      },
    });
  }

  #take(message: Msg): void {
    const question = questionOf(message.string());
    if (question === undefined) {
      return reply(message, { error: { code: 'bad_request', message: 'the question is not understood' } });
    }
    if (this.#waiting.length >= WAITING_MAX) return;
    this.#waiting.push({ message, question });
    if (!this.#isAnswering) void this.#answerAll();
  }

  async #answerAll(): Promise<void> {
    this.#isAnswering = true;
    while (this.#waiting.length > 0) {
      const asked = this.#waiting.splice(0, QUESTIONS_MAX);
      try {
        const answers = await settledAmong(
          this.#database,
          asked.map(({ question }) => question),
        );
        for (const [index, { message }] of asked.entries()) reply(message, { settled: answers[index] ?? [] });
      } catch (error) {
        const answer = { error: { code: 'try_later', message: `the hub's database: ${messageOf(error)}` } };
        for (const { message } of asked) reply(message, answer);
      }
    }
    this.#isAnswering = false;
  }
}

function reply(message: Pick<Msg, 'respond'>, answer: SettledReply): void {
  try {
    message.respond(JSON.stringify(answer));
  } catch {
    // The connection is closed: whoever asked asks another hub.
  }
}

/** Undefined for what no edge asks. */
function questionOf(text: string): SettledQuestion | undefined {
  let asked: Partial<SettledRequest>;
  try {
    asked = { ...(JSON.parse(text) as Partial<SettledRequest>) };
  } catch {
    return undefined;
  }
  const { gateway_id: gatewayId = '', epoch = '', sequences } = asked;
  if (!Array.isArray(sequences) || sequences.length === 0 || sequences.length > BATCHES_MAX) return undefined;
  let batches = 0;
  for (const range of sequences as readonly unknown[]) {
    const [first, last, ...more]: unknown[] = Array.isArray(range) ? range : [];
    const isNamed = [first, last].every((sequence) => checkBatchId({ gatewayId, epoch, sequence }) === undefined);
    if (!isNamed || more.length > 0 || Number(last) < Number(first)) return undefined;
    batches += Number(last) - Number(first) + 1;
  }
  return batches <= BATCHES_MAX ? { gatewayId, epoch, sequences } : undefined;
}
