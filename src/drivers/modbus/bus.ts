/**
 * One connection or serial line, and the units that are asked over it: who is asked when, and which answer is whose.
 *
 * Requests wait in the order in which they came. Over TCP several units may be asked at once and each answer is known by
 * its transaction; on a serial line there is one request at a time, with silence before it. An answer that comes after
 * its request was given up is thrown away: by its transaction over TCP; on a serial line, where nothing tells an answer
 * from the one before, by asking that unit nothing for as long again as it was waited for. Other units are asked
 * meanwhile.
 *
 * The port is opened by the first who asks and closed with `close`. When it breaks, every request under way fails, and
 * the next one opens it again.
 */
import type { Clock } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import { encodeRtu, encodeTcp, RtuAnswer, rtuBytes, type TcpFrame, TcpFrames } from './framing.ts';
import { decodeAnswer, encodeRequest, type ReadRequest } from './pdu.ts';
import type { BytePort, OpenPort, PortEvents } from './port.ts';

/** Silence between two frames, in characters (MODBUS over Serial Line V1.02, 2.5.1.1), and where it is fixed. */
const SILENCE_CHARACTERS = 3.5;
const SILENCE_MS_MIN = 1.75;
/** Start, data, parity and stop bits. */
const BITS_OF_A_CHARACTER = 11;
/** A line that is never silent is given up for this request after so many times the wait for an answer. */
const NOISE_WAITS_MAX = 2;
const TRANSACTION_MAX = 0xffff;
/** While a late answer may come, it is looked so often whether it has. */
const LATE_CHECK_MS = 10;

/** Requests without an answer that are remembered, to know their answers when they come late. */
const GIVEN_UP_MAX = 64;

/** A unit did not answer in time. */
export class NoAnswer extends MillwrightError {
  constructor({ unit, timeoutMs, isSlow }: { unit: number; timeoutMs: number; isSlow: boolean }) {
    const hint = isSlow ? '; it answered an earlier request after that time: make timeout longer' : '';
    super('connection_failed', `unit ${unit} did not answer within ${timeoutMs} ms${hint}`);
  }
}

export interface BusParts {
  /** As a person knows it: `192.0.2.7:502`, `/dev/ttyUSB0`. */
  readonly place: string;
  readonly open: OpenPort;
  readonly framing: 'tcp' | 'rtu';
  /** Requests that may be under way at once; 1 for `rtu`. */
  readonly parallel: number;
  /** Of a serial line; null: no line whose characters take time. */
  readonly baudRate: number | null;
  readonly clock: Clock;
}

export interface Ask {
  readonly unit: number;
  readonly request: ReadRequest;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A request that waits for its turn, or for its answer. */
interface Pending {
  readonly ask: Ask;
  readonly transaction: number;
  /** Finds the answer on a serial line. */
  readonly answer: RtuAnswer;
  readonly settle: (outcome: Buffer | Error) => void;
  /** Ends the wait for the answer. */
  readonly ended: AbortController;
  /** What comes before it is sent is no answer to it. */
  isSent: boolean;
}

/** A request whose answer may still come. */
interface GivenUp {
  readonly unit: number;
  readonly answer: RtuAnswer;
  /** Until then the unit is asked nothing, on a serial line. */
  readonly untilMs: number;
}

export class Bus {
  readonly #parts: BusParts;
  readonly #silenceMs: number;
  /** From its opening on. */
  #port: Promise<BytePort> | undefined;
  #closing: Promise<void> = Promise.resolve();
  /** Ends the opening that is under way. */
  #opening = new AbortController();
  readonly #waiting: Pending[] = [];
  readonly #asked = new Map<number, Pending>();
  /** By transaction, the oldest first. */
  readonly #givenUp = new Map<number, GivenUp>();
  /** Units whose last answer came too late. */
  readonly #slow = new Set<number>();
  #frames = new TcpFrames();
  #transaction = 0;
  #hasOpened = false;
  #lastByteMs = Number.NEGATIVE_INFINITY;

  constructor(parts: BusParts) {
    this.#parts = parts;
    this.#silenceMs = parts.framing === 'tcp' ? 0 : Math.max(SILENCE_MS_MIN, this.#lineMs(SILENCE_CHARACTERS));
  }

  get place(): string {
    return this.#parts.place;
  }

  /** Whether the port could be opened at its last try. */
  get hasOpened(): boolean {
    return this.#hasOpened;
  }

  /**
   * The data of the answer.
   * @throws ModbusException; {@link NoAnswer}; connection_failed when the port cannot be opened or breaks;
   *   protocol_violation for an answer that does not fit
   */
  async read(ask: Ask): Promise<Buffer> {
    const { signal, unit, request } = ask;
    if (this.#parts.framing === 'rtu') await this.#letLateAnswerPass(unit, signal);
    const pdu = await new Promise<Buffer>((resolve, reject) => {
      this.#transaction = (this.#transaction + 1) & TRANSACTION_MAX;
      const pending: Pending = {
        ask,
        transaction: this.#transaction,
        answer: new RtuAnswer(unit, request),
        ended: new AbortController(),
        isSent: false,
        settle: (outcome) => {
          signal.removeEventListener('abort', abort);
          this.#remove(pending);
          if (outcome instanceof Error) reject(outcome);
          else resolve(outcome);
          this.#askNext();
        },
      };
      const abort = (): void => pending.settle(new MillwrightError('connection_failed', 'given up'));
      if (signal.aborted) return reject(new MillwrightError('connection_failed', 'given up'));
      signal.addEventListener('abort', abort);
      this.#waiting.push(pending);
      this.#askNext();
    });
    this.#slow.delete(unit);
    return decodeAnswer(request, pdu);
  }

  /** Whoever asks afterwards opens it again. */
  async close(): Promise<void> {
    const port = this.#port;
    this.#port = undefined;
    this.#opening.abort();
    if (port !== undefined) this.#closing = closed(port);
    this.#failAll(new MillwrightError('connection_failed', `${this.place} was closed`));
    await this.#closing;
  }

  #askNext(): void {
    while (this.#asked.size < this.#parts.parallel) {
      const pending = this.#waiting.shift();
      if (pending === undefined) return;
      this.#asked.set(pending.transaction, pending);
      void this.#ask(pending);
    }
  }

  async #ask(pending: Pending): Promise<void> {
    const { clock, framing } = this.#parts;
    const { unit, request, timeoutMs } = pending.ask;
    const { signal } = pending.ended;
    try {
      const port = await this.#openPort();
      if (framing === 'rtu') await this.#waitForSilence(pending);
      if (signal.aborted) return;
      const pdu = encodeRequest(request);
      pending.isSent = true;
      port.write(framing === 'tcp' ? encodeTcp(pending.transaction, unit, pdu) : encodeRtu(unit, pdu));
      await clock.sleep(timeoutMs + this.#lineMs(rtuBytes(request)), signal);
      if (signal.aborted) return;
      this.#giveUp(pending);
    } catch (error) {
      if (!(error instanceof MillwrightError)) throw error;
      pending.settle(error);
    }
  }

  #giveUp(pending: Pending): void {
    const { ask, transaction, answer } = pending;
    const { unit, timeoutMs } = ask;
    const untilMs = this.#parts.clock.monotonicMs() + timeoutMs;
    this.#givenUp.set(transaction, { unit, answer, untilMs });
    for (const oldest of this.#givenUp.keys()) {
      if (this.#givenUp.size <= GIVEN_UP_MAX) break;
      this.#givenUp.delete(oldest);
    }
    pending.settle(new NoAnswer({ unit, timeoutMs, isSlow: this.#slow.has(unit) }));
  }

  #openPort(): Promise<BytePort> {
    if (this.#port !== undefined) return this.#port;
    const opening = this.#open(() => this.#port === opening);
    this.#port = opening;
    return opening;
  }

  /** @param isCurrent whether what the port tells still matters */
  async #open(isCurrent: () => boolean): Promise<BytePort> {
    await this.#closing;
    this.#frames = new TcpFrames();
    this.#givenUp.clear();
    this.#hasOpened = false;
    const opening = new AbortController();
    const events: PortEvents = {
      data: (bytes) => {
        if (isCurrent()) this.#take(bytes);
      },
      closed: (error) => {
        if (!isCurrent()) return;
        this.#port = undefined;
        this.#failAll(error);
      },
    };
    try {
      if (isCurrent()) this.#opening = opening;
      else opening.abort();
      const port = await this.#parts.open(events, opening.signal);
      this.#hasOpened = true;
      return port;
    } catch (error) {
      if (isCurrent()) this.#port = undefined;
      throw error;
    }
  }

  #take(bytes: Buffer): void {
    this.#lastByteMs = this.#parts.clock.monotonicMs();
    if (this.#parts.framing === 'rtu') return this.#takeFromLine(bytes);
    let frames: TcpFrame[];
    try {
      frames = this.#frames.push(bytes);
    } catch (error) {
      if (!(error instanceof MillwrightError)) throw error;
      this.#breakOff(new MillwrightError('connection_failed', `${this.place}: ${error.message}`));
      return;
    }
    for (const { transaction, unit, pdu } of frames) {
      const pending = this.#asked.get(transaction);
      if (pending === undefined) {
        this.#cameLate(transaction);
      } else if (unit === pending.ask.unit) {
        pending.settle(pdu);
      } else {
        const text = `unit ${pending.ask.unit} was asked and unit ${unit} answered`;
        pending.settle(new MillwrightError('protocol_violation', text));
      }
    }
  }

  #takeFromLine(bytes: Buffer): void {
    for (const [transaction, { answer }] of this.#givenUp) {
      if (answer.push(bytes) !== undefined) this.#cameLate(transaction);
    }
    for (const pending of this.#asked.values()) {
      const pdu = pending.isSent ? pending.answer.push(bytes) : undefined;
      if (pdu !== undefined) pending.settle(pdu);
    }
  }

  #cameLate(transaction: number): void {
    const givenUp = this.#givenUp.get(transaction);
    if (givenUp === undefined) return;
    this.#givenUp.delete(transaction);
    this.#slow.add(givenUp.unit);
  }

  /** The port cannot be used any more. */
  #breakOff(error: MillwrightError): void {
    const port = this.#port;
    this.#port = undefined;
    if (port !== undefined) this.#closing = closed(port);
    this.#failAll(error);
  }

  #failAll(error: MillwrightError): void {
    const all = [...this.#asked.values(), ...this.#waiting.splice(0)];
    for (const pending of all) pending.settle(error);
  }

  #remove(pending: Pending): void {
    pending.ended.abort();
    this.#asked.delete(pending.transaction);
    const place = this.#waiting.indexOf(pending);
    if (place >= 0) this.#waiting.splice(place, 1);
  }

  async #letLateAnswerPass(unit: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const untilMs = (): number =>
      Math.max(0, ...[...this.#givenUp.values()].filter((one) => one.unit === unit).map((one) => one.untilMs));
    for (let nowMs = clock.monotonicMs(); untilMs() > nowMs && !signal.aborted; nowMs = clock.monotonicMs()) {
      await clock.sleep(Math.min(LATE_CHECK_MS, untilMs() - nowMs), signal);
    }
    for (const [transaction, givenUp] of this.#givenUp) {
      if (givenUp.unit === unit) this.#givenUp.delete(transaction);
    }
  }

  /** @throws protocol_violation when the line is never silent */
  async #waitForSilence({ ask, ended }: Pending): Promise<void> {
    const { clock } = this.#parts;
    const beganMs = clock.monotonicMs();
    for (;;) {
      const nowMs = clock.monotonicMs();
      const silentMs = nowMs - this.#lastByteMs;
      if (silentMs >= this.#silenceMs || ended.signal.aborted) return;
      if (nowMs - beganMs > NOISE_WAITS_MAX * ask.timeoutMs) {
        throw new MillwrightError('protocol_violation', `the line ${this.place} is never silent`);
      }
      await clock.sleep(this.#silenceMs - silentMs, ended.signal);
    }
  }

  /** How long so many characters take on the line. */
  #lineMs(characters: number): number {
    const { baudRate } = this.#parts;
    return baudRate === null ? 0 : (characters * BITS_OF_A_CHARACTER * 1000) / baudRate;
  }
}

async function closed(port: Promise<BytePort>): Promise<void> {
  try {
    await (await port).close();
  } catch {
    // It never opened, or is gone already.
  }
}
