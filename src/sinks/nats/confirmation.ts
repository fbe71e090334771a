/**
 * Confirmation by the hubs: a batch is given up only when it is in the database, for what a stream holds goes with the
 * stream when that is deleted or purged (decision 015).
 *
 * The hubs are asked until they have stored all batches of a call. Now and then the stream is looked at as well: a batch that
 * it no longer holds, and that no hub has stored by a *later* answer, is lost there and must be published again. That
 * is always safe, since hubs drop what they have; it is avoided only so that an outage of the database does not fill the
 * stream with copies.
 */
import type { Clock } from '../../base/clock.ts';
import { MillwrightError, messageOf } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import {
  natsMessageId,
  type SequenceRange,
  type SettledReply,
  type SettledRequest,
  settledSubject,
} from '../../model/nats-wire.ts';
import { CODE, fieldsOf } from './answers.ts';
import type { Link } from './link.ts';

/** Between two questions; it grows from the first to the last. */
const ASK_AGAIN_MS = { first: 25, max: 500, growth: 1.5 } as const;
/** Between two looks at the stream. */
const LOOK_INTERVAL_MS = 1_000;
const ANSWER_MS_MAX = 5_000;
/**
 * After this a call is given back to the runner, which says why it waits and tries again. Long, since to the runner that is a
 * failure, after which it delivers little at once: hubs that are only slow must not be met with that.
 */
const PATIENCE_MS = 60_000;
/** What neither a hub nor the stream accounts for by then is published again: somebody may have deleted single messages. */
const UNACCOUNTED_MS_MAX = 600_000;
/** Batches that are remembered as published; of one that is forgotten there may be a copy in the stream. */
const PUBLISHED_MAX = 10_000;

export interface ConfirmationParts {
  readonly gatewayId: string;
  readonly stream: string;
  readonly link: Link;
  readonly clock: Clock;
}

/** Where and when the stream took a batch. */
interface Publication {
  /** When the stream was created, as far as was known before it took the batch; null: not known. */
  readonly created: string | null;
  readonly sequence: number;
  readonly atMs: number;
}

interface StreamLook {
  readonly atMs: number;
  /** Null: there is none. */
  readonly created: string | null;
  /** Of the messages in it; the last one also when there are none. */
  readonly first: number;
  readonly last: number;
}

export class Confirmation {
  readonly #parts: ConfirmationParts;
  readonly #published = new Map<string, Publication>();
  #created: string | null = null;
  /** False when the last look failed: perhaps it is not permitted. */
  #canLook = true;
  #lastLook: StreamLook | undefined;

  constructor(parts: ConfirmationParts) {
    this.#parts = parts;
  }

  /** The batches that the stream is not known to hold. */
  unpublished(batches: readonly Batch[]): Batch[] {
    return batches.filter((batch) => !this.#published.has(natsMessageId(batch)));
  }

  /** To be called before it is published; what it returns takes the number that the stream has given to it. */
  publishing(batch: Batch): (sequence: number) => void {
    const created = this.#created;
    return (sequence) => {
      this.#published.set(natsMessageId(batch), { created, sequence, atMs: this.#parts.clock.monotonicMs() });
      if (this.#published.size <= PUBLISHED_MAX) return;
      for (const oldest of this.#published.keys()) return void this.#published.delete(oldest);
    };
  }

  /** Until when one call waits, if it begins now. */
  deadlineMs(): number {
    return this.#parts.clock.monotonicMs() + PATIENCE_MS;
  }

  /**
   * Resolves to true when hubs have stored all of the batches, and to false when some are to be published again.
   * @throws try_later with what is waited for, when no hub answers, and after the deadline
   */
  async wait(batches: readonly Batch[], deadlineMs: number, signal: AbortSignal): Promise<boolean> {
    const { clock, stream } = this.#parts;
    const judgeFromMs = clock.monotonicMs() + LOOK_INTERVAL_MS;
    for (let waitMs: number = ASK_AGAIN_MS.first; ; waitMs = Math.min(waitMs * ASK_AGAIN_MS.growth, ASK_AGAIN_MS.max)) {
      const isJudged = clock.monotonicMs() > judgeFromMs;
      const look = isJudged ? await this.#recentLook(signal) : undefined;
      const { open, reason, isAnswered } = await this.#ask(batches, signal);
      if (open.length === 0) {
        this.#forget(batches);
        return true;
      }
      const lost = isJudged && isAnswered ? open.filter((batch) => !this.#mayHold(look, batch)) : [];
      this.#forget(lost);
      if (!isAnswered || clock.monotonicMs() > deadlineMs) {
        throw new MillwrightError(
          'try_later',
          `published to the stream ${stream}; no hub has confirmed yet: ${reason}`,
        );
      }
      if (lost.length > 0) return false;
      await clock.sleep(waitMs, signal);
    }
  }

  /** To be done before anything is published. */
  async prepare(signal: AbortSignal): Promise<void> {
    if (this.#created === null && this.#canLook) await this.#look(signal);
  }

  /** Calls that wait at the same time share it. */
  async #recentLook(signal: AbortSignal): Promise<StreamLook | undefined> {
    const nowMs = this.#parts.clock.monotonicMs();
    const last = this.#lastLook;
    return last !== undefined && nowMs - last.atMs < LOOK_INTERVAL_MS ? last : this.#look(signal);
  }

  /** Sees which stream there is. Undefined when that cannot be told now. */
  async #look(signal: AbortSignal): Promise<StreamLook | undefined> {
    const { link, stream, clock } = this.#parts;
    const atMs = clock.monotonicMs();
    const said = await link.use(async (connection) => {
      const asked = connection.request(`$JS.API.STREAM.INFO.${stream}`, '', { timeout: ANSWER_MS_MAX });
      return asked.then(
        (answer) => fieldsOf(answer.string()),
        () => undefined,
      );
    }, signal);
    this.#canLook = said !== undefined;
    if (said === undefined) return undefined;
    const { created, state } = said;
    const { first_seq: first, last_seq: last } = fieldsOf(state);
    if (typeof created === 'string' && typeof first === 'number' && typeof last === 'number') {
      this.#created = created;
      return (this.#lastLook = { atMs, created, first, last });
    }
    if (fieldsOf(said['error'])['err_code'] !== CODE.streamNotFound) return undefined;
    this.#created = null;
    return (this.#lastLook = { atMs, created: null, first: 1, last: 0 });
  }

  /** What was published after the look is not judged by it. */
  #mayHold(look: StreamLook | undefined, batch: Batch): boolean {
    const publication = this.#published.get(natsMessageId(batch));
    if (publication === undefined) return false;
    const { created, sequence, atMs } = publication;
    if (this.#parts.clock.monotonicMs() - atMs > UNACCOUNTED_MS_MAX) return false;
    if (look === undefined || atMs >= look.atMs) return true;
    return created === look.created && sequence >= look.first && sequence <= look.last;
  }

  /** The batches that no hub has stored, and why, as far as hubs tell. */
  async #ask(batches: readonly Batch[], signal: AbortSignal): Promise<Answer> {
    const open: Batch[] = [];
    for (const ofEpoch of Map.groupBy(batches, ({ epoch }) => epoch).values()) {
      const answer = await this.#askOfEpoch(ofEpoch, signal);
      if (!answer.isAnswered) return { ...answer, open: [...batches] };
      open.push(...answer.open);
    }
    return { open, isAnswered: true, reason: `${open.length} batches wait in the stream` };
  }

  async #askOfEpoch(batches: readonly Batch[], signal: AbortSignal): Promise<Answer> {
    const { link, gatewayId } = this.#parts;
    const sequences = rangesOf(batches.map(({ sequence }) => sequence));
    const asked: SettledRequest = { gateway_id: gatewayId, epoch: batches[0]?.epoch ?? '', sequences };
    const subject = settledSubject(gatewayId);
    const notAnswered = (reason: string): Answer => ({ open: [...batches], isAnswered: false, reason });
    return link.use(async (connection) => {
      let reply: SettledReply;
      try {
        const answer = await connection.request(subject, JSON.stringify(asked), { timeout: ANSWER_MS_MAX });
        reply = answer.json<SettledReply>();
      } catch (error) {
        return notAnswered(await whyNoHubAnswers(error, subject));
      }
      if ('error' in reply) return notAnswered(reply.error.message);
      const { settled } = reply;
      const isOpen = ({ sequence }: Batch): boolean =>
        !settled.some(([first, last]) => first <= sequence && sequence <= last);
      return { open: batches.filter(isOpen), isAnswered: true, reason: '' };
    }, signal);
  }

  #forget(batches: readonly Batch[]): void {
    for (const batch of batches) this.#published.delete(natsMessageId(batch));
  }
}

interface Answer {
  readonly open: Batch[];
  readonly isAnswered: boolean;
  /** For people: why batches are open. */
  readonly reason: string;
}

/** @param sequences in rising order */
function rangesOf(sequences: readonly number[]): SequenceRange[] {
  const ranges: [number, number][] = [];
  for (const sequence of sequences) {
    const last = ranges.at(-1);
    if (last?.[1] === sequence - 1) last[1] = sequence;
    else ranges.push([sequence, sequence]);
  }
  return ranges;
}

async function whyNoHubAnswers(error: unknown, subject: string): Promise<string> {
  const { errors } = await import('@nats-io/transport-node');
  if (error instanceof errors.TimeoutError) return `no hub has answered on ${subject} in ${ANSWER_MS_MAX} ms`;
  const cause = error instanceof errors.RequestError ? error.cause : error;
  if (cause instanceof errors.NoRespondersError) return `no hub listens on ${subject}`;
  if (cause instanceof errors.PermissionViolationError) {
    return `NATS does not let us publish on ${subject}: permit it to this user at the server`;
  }
  return messageOf(error);
}
