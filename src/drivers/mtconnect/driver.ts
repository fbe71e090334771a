/**
 * Reads a machine through an MTConnect agent over HTTP: what the agent has observed, each observation once, also across
 * lost connections and restarts of the edge (`position.ts`) and of the agent.
 *
 *     probe ─▶ current ─▶ { gap event, what holds } ─▶ sample stream from the next observation ─▶ …
 *
 * The stream begins anew at `current` when the agent no longer has what is wanted (OUT_OF_RANGE, or its firstSequence is
 * beyond it); so does a run after the agent was restarted (another instanceId). What is lost for good is told by a `gap`
 * event.
 */
import { now, systemClock } from '../../base/clock.ts';
import { messageOf, MillwrightError } from '../../base/errors.ts';
import type { JsonValue, Reading } from '../../model/reading.ts';
import { withReadFrom } from '../../model/read-from.ts';
import { parseTimestamp } from '../../model/time.ts';
import type { Checkable } from '../../ports/checkable.ts';
import type { CreateDriver, Driver, DriverContext, ReadMemory, ReadsOnce } from '../../ports/driver.ts';
import { Agent, AgentRefusal, type SampleStream, type StreamsDocument } from './agent.ts';
import type { Device, Observation, StreamsHeader } from './document.ts';
import { mappingOf } from './mapping.ts';
import { FoundMarks, mark } from './marks.ts';
import type { MtconnectOptions } from './options.ts';
import { type Position, PositionMemory } from './position.ts';
import { ObservationReader, type ReaderContext } from './reader.ts';

export const create: CreateDriver<MtconnectOptions> = (options) => new MtconnectDriver(options);

/** How often in a row the agent's buffer may be gone before it is asked; then the runner waits and tries again. */
export const CHASES_MAX = 6;
/** What a stop may take to write how far the agent is read. */
const STOP_MS_MAX = 1_000;
/** Between two looks whether the agent is silent, at least. */
const WATCH_MS_MIN = 50;

class MtconnectDriver implements Driver, ReadsOnce, Checkable {
  readonly #options: MtconnectOptions;
  #memory: PositionMemory | undefined;
  #reader: ObservationReader | undefined;
  /** What the log had at the start beyond what was remembered. */
  #found = new FoundMarks();

  constructor(options: MtconnectOptions) {
    this.#options = options;
  }

  useMemory(memory: ReadMemory): void {
    this.#memory = new PositionMemory(memory, this.#options.device ?? '');
    this.#reader = new ObservationReader(memory.source);
  }

  async run(context: DriverContext, signal: AbortSignal): Promise<void> {
    const [memory, reader] = [this.#memory, this.#reader];
    if (memory === undefined || reader === undefined) throw new Error('useMemory comes before run');
    if (signal.aborted) return;
    const loaded = await memory.load();
    if (loaded !== undefined) {
      this.#found = loaded.found;
      reader.restore(loaded.state, loaded.found);
    }
    const session = new Session({ options: this.#options, memory, reader, found: this.#found, context, signal });
    try {
      await session.run();
    } catch (error) {
      if (signal.aborted) return;
      if (session.isConnected) reader.disconnected(context);
      throw error;
    } finally {
      session.close();
      if (signal.aborted) await this.#stop(context);
    }
  }

  /** Asks what there is and what holds; how far the agent is read stays as it is. */
  async check(signal: AbortSignal): Promise<string> {
    const agent = new Agent(this.#options, systemClock);
    try {
      const { devices } = await agent.probe(signal);
      const device = deviceOf(devices, this.#options);
      const { missing } = mappingOf(device, this.#options);
      if (missing.length > 0) {
        const text = `${this.#options.url}: the device ${device.name} has no data items ${missing.join(', ')}`;
        throw new MillwrightError('config_invalid', `${text}; "millwright probe mtconnect" lists what it has`);
      }
      const { header, observations } = await agent.current(device.name, signal);
      return `device ${device.name}: ${observations.length} data items hold, observation ${header.lastSequence} is the newest`;
    } finally {
      agent.close();
    }
  }

  /** Where an edge that was stopped goes on, it need not look for in the log. */
  async #stop({ clock, log }: DriverContext): Promise<void> {
    const limit = new AbortController();
    const ended = new AbortController();
    void clock.sleep(STOP_MS_MAX, ended.signal).then(() => limit.abort());
    try {
      if (this.#reader !== undefined) await this.#memory?.commit(this.#reader.saved(), limit.signal);
    } catch (error) {
      log.warn('how far the agent is read cannot be written; it is looked for in the log', {
        reason: messageOf(error),
      });
    } finally {
      ended.abort();
    }
  }
}

interface SessionParts {
  readonly options: MtconnectOptions;
  readonly memory: PositionMemory;
  readonly reader: ObservationReader;
  readonly found: FoundMarks;
  readonly context: DriverContext;
  readonly signal: AbortSignal;
}

/** One run: from the first question to the loss of the connection. */
class Session {
  readonly #parts: SessionParts;
  readonly #agent: Agent;
  readonly #reading: ReaderContext;
  #device: Device | undefined;
  /** In the path of what is asked; null: the agent has only one device. */
  #deviceName: string | null = null;
  /** Data items that are configured and that it does not have. */
  #missing: ReadonlySet<string> = new Set();
  isConnected = false;
  /** The agent did not have what `current` had promised, so many times in a row. */
  #chases = 0;
  #stream: SampleStream | undefined;
  #heardMs = 0;
  /** A document is being dealt with, so the agent's silence means nothing. */
  #isBusy = false;
  #silence: MillwrightError | undefined;

  constructor(parts: SessionParts) {
    const { options, memory, context } = parts;
    this.#parts = parts;
    this.#agent = new Agent(options, context.clock);
    const emit = (reading: Reading): void => {
      memory.begin();
      context.emit(reading);
    };
    const problem = (item: string, reason: string | null): void => context.problem(item, reason);
    this.#reading = { machineId: context.machineId, emit, problem, clock: context.clock, log: context.log };
  }

  /** Resolves when aborted; rejects for every other end. */
  async run(): Promise<void> {
    const { signal, context, reader } = this.#parts;
    reader.begin();
    const close = (): void => this.close();
    signal.addEventListener('abort', close);
    try {
      while (!signal.aborted) {
        await this.#probe();
        await this.#resync(await this.#current());
        if (signal.aborted) return;
        try {
          await this.#readStream();
        } catch (error) {
          this.#chases += 1;
          if (!isOutOfRange(error) || this.#chases > CHASES_MAX) throw error;
          context.log.info('the agent is asked anew for what holds', { reason: messageOf(error) });
        }
      }
    } finally {
      signal.removeEventListener('abort', close);
    }
  }

  close(): void {
    this.#stream?.close();
    this.#agent.close();
  }

  #current(): Promise<StreamsDocument> {
    return this.#timed(this.#agent.current(this.#deviceName, this.#parts.signal));
  }

  /** A stream has no latency: it is that of the questions before it. */
  async #timed<Answer>(question: Promise<Answer>): Promise<Answer> {
    const { context } = this.#parts;
    const askedMs = context.clock.monotonicMs();
    const answer = await question;
    context.answered(context.clock.monotonicMs() - askedMs);
    return answer;
  }

  async #probe(): Promise<void> {
    const { options, reader, context, signal } = this.#parts;
    const { devices } = await this.#timed(this.#agent.probe(signal));
    const device = deviceOf(devices, options);
    const isAlone = devices.filter(({ isAgent }) => !isAgent).length === 1;
    this.#device = device;
    const inPath = device.name === '' ? device.uuid : device.name;
    this.#deviceName = isAlone && options.device === null ? null : inPath;
    const mapping = mappingOf(device, options);
    reader.setMapping(mapping);
    const missing = new Set(mapping.missing);
    for (const item of missing) context.problem(item, `the device ${device.name} has no data item of this name`);
    for (const item of this.#missing) if (!missing.has(item)) context.problem(item, null);
    this.#missing = missing;
  }

  /** Compares what is wanted with what the agent has: tells what is lost, takes what holds, and moves there. */
  async #resync(current: StreamsDocument): Promise<void> {
    const { memory, reader, signal } = this.#parts;
    const { header } = current;
    const { instanceId: instance, firstSequence, nextSequence, creationTime: asOf } = header;
    let position = memory.position ?? (await this.#begin(header));
    if (position === undefined) return;
    const isRestarted = position.instance !== instance || position.next > nextSequence;
    if (isRestarted) {
      this.#tellRestart(position, header);
      reader.forget();
      // An agent begins to count at 1.
      position = { instance, next: 1, asOf: position.asOf, currentBefore: null };
    }
    // If the buffer moves on faster than we ask, we ask for what it will still have then.
    const margin = Math.floor(((nextSequence - firstSequence) * this.#chases) / CHASES_MAX);
    const first = firstSequence + margin;
    const isGone = position.next < first;
    if (isGone) {
      this.#fill(current, position, first);
    } else if (position.currentBefore !== null) {
      const wanted = { first: 0, before: position.currentBefore };
      reader.readCurrent(instance, this.#own(current.observations), wanted, this.#reading);
    }
    memory.move({ instance, next: Math.max(position.next, first), asOf, currentBefore: null });
    const isUnchanged = !isRestarted && !isGone && position.currentBefore === null;
    if (!isUnchanged) await memory.commit(reader.saved(), signal);
  }

  /** @returns where a source begins that has never read; undefined when aborted */
  async #begin(header: StreamsHeader): Promise<Position | undefined> {
    const { memory, reader, found, context, options, signal } = this.#parts;
    const { instanceId: instance, firstSequence, nextSequence, creationTime: asOf } = header;
    const known = found.newest(instance);
    const start = known > 0 ? known + 1 : options.begin === 'oldest' ? firstSequence : nextSequence;
    const position = { instance, next: start, asOf, currentBefore: start };
    if (memory.isDamaged) {
      const text = 'how far the agent had been read cannot be read any more';
      context.log.error(text, { instance_id: instance, next_sequence: start });
      this.#tellGap(mark.gap(instance, start, start - 1), text, { reason: 'position_lost', instance_id: instance });
    }
    memory.move(position);
    // Before anything is emitted, so that after a crash in between it is known where it began.
    return (await memory.commit(reader.saved(), signal)) ? position : undefined;
  }

  /** What came after `position` and before `first` is gone, but for what still holds. */
  #fill({ header, observations }: StreamsDocument, position: Position, first: number): void {
    const { reader, found } = this.#parts;
    const instance = header.instanceId;
    // After a crash the log may have more than is remembered.
    const lostFrom = Math.max(position.next, found.newest(instance) + 1);
    if (lostFrom < first) {
      const text = `the agent's observations ${lostFrom} to ${first - 1} are lost: its buffer had moved on`;
      this.#tellGap(mark.gap(instance, lostFrom, first - 1), text, {
        reason: 'agent_overrun',
        instance_id: instance,
        first_sequence: lostFrom,
        last_sequence: first - 1,
        readings: first - lostFrom,
        ...times(position.asOf, header.creationTime),
      });
    }
    const wantedFrom = position.currentBefore === null ? Math.min(lostFrom, first) : 0;
    reader.readCurrent(instance, this.#own(observations), { first: wantedFrom, before: first }, this.#reading);
  }

  #tellRestart(position: Position, header: StreamsHeader): void {
    const text = `the agent was restarted: what it had from observation ${position.next} on and not given yet is lost`;
    this.#tellGap(mark.restart(header.instanceId), text, {
      reason: 'agent_restarted',
      previous_instance_id: position.instance,
      first_sequence: position.next,
      instance_id: header.instanceId,
      ...times(position.asOf, header.creationTime),
    });
  }

  #tellGap(mark: string, text: string, details: { readonly [key: string]: JsonValue }): void {
    const { found, memory, context } = this.#parts;
    if (found.has(mark)) return;
    context.log.error('observations of the agent are lost', { text });
    const origin = { machine_id: context.machineId, timestamp: now(context.clock) };
    const event = { ...origin, kind: 'event', event_type: 'gap', text, details } as const;
    this.#reading.emit(withReadFrom(event, { source: memory.source, mark }));
  }

  async #readStream(): Promise<void> {
    const { options, memory, context, signal } = this.#parts;
    const { intervalMs, heartbeatMs, count, url } = options;
    const from = memory.position?.next ?? 1;
    const stream = await this.#agent.sample(this.#deviceName, { intervalMs, heartbeatMs, from, count }, signal);
    this.#stream = stream;
    if (!this.isConnected) context.connected();
    this.isConnected = true;
    context.alive(heartbeatMs);
    const end = new AbortController();
    const heard = (): void => {
      this.#heardMs = context.clock.monotonicMs();
    };
    heard();
    const watching = this.#watch(stream, end.signal);
    try {
      for await (const document of stream.documents(heard)) {
        this.#isBusy = true;
        await this.#take(document);
        this.#isBusy = false;
        heard();
        if (signal.aborted) return;
      }
    } catch (error) {
      throw this.#silence ?? error;
    } finally {
      this.#isBusy = false;
      end.abort();
      stream.close();
      await watching;
    }
    throw new MillwrightError('connection_failed', `${url} closed the stream`);
  }

  /** Ends a stream that is silent for longer than an agent may be. */
  async #watch(stream: SampleStream, end: AbortSignal): Promise<void> {
    const { context, options } = this.#parts;
    const silenceMaxMs = 2 * options.heartbeatMs;
    while (!end.aborted) {
      const leftMs = this.#heardMs + silenceMaxMs - context.clock.monotonicMs();
      if (leftMs <= 0 && !this.#isBusy) {
        this.#silence = new MillwrightError('connection_failed', `${options.url} was silent for ${silenceMaxMs} ms`);
        stream.close();
        return;
      }
      await context.clock.sleep(Math.max(leftMs, WATCH_MS_MIN), end);
    }
  }

  /** The runner waits before it asks again: behind one address there may be two agents that answer by turns. */
  #restarted(): MillwrightError {
    return new MillwrightError('connection_failed', `${this.#parts.options.url}: the agent was restarted`);
  }

  async #take({ header, observations }: StreamsDocument): Promise<void> {
    const { memory, reader, context } = this.#parts;
    const { instanceId: instance, firstSequence, lastSequence, creationTime: asOf } = header;
    const position = memory.position;
    if (position?.instance !== instance) throw this.#restarted();
    // An agent that overran us may go on with what it has.
    const isGone = firstSequence > position.next && !observations.some(({ sequence }) => sequence < firstSequence);
    if (isGone) {
      const current = await this.#current();
      if (current.header.instanceId !== instance) throw this.#restarted();
      this.#fill(current, position, firstSequence);
    }
    const own = this.#own(observations).filter(({ sequence }) => sequence >= position.next);
    reader.read(instance, own, this.#reading);
    const next = own.reduce((newest, { sequence }) => Math.max(newest, sequence + 1), header.nextSequence);
    memory.move({ instance, next: Math.max(position.next, next), asOf, currentBefore: null });
    this.#chases = 0;
    context.alive();
    if (next > lastSequence) reader.caughtUp(this.#reading);
    await context.room();
    if (memory.isDue(context.clock)) await this.#commit();
  }

  /** A position that cannot be written now is written later: until then the log keeps what came since. */
  async #commit(): Promise<void> {
    const { memory, reader, context, signal } = this.#parts;
    try {
      await memory.commit(reader.saved(), signal);
    } catch (error) {
      context.log.warn('how far the agent is read cannot be written; it is tried again', { reason: messageOf(error) });
    }
  }

  #own(observations: readonly Observation[]): readonly Observation[] {
    const { name, uuid } = this.#device ?? {};
    // An agent may change the uuid of a device, as its adapter tells it. What is blank is the same of all.
    return observations.filter(
      ({ deviceName, deviceUuid }) =>
        (deviceName !== '' && deviceName === name) || (deviceUuid !== '' && deviceUuid === uuid),
    );
  }
}

function isOutOfRange(error: unknown): boolean {
  return error instanceof AgentRefusal && error.agentCodes.includes('OUT_OF_RANGE');
}

function deviceOf(devices: readonly Device[], { device, url }: MtconnectOptions): Device {
  const names = devices.map(({ name }) => name).join(', ');
  if (device !== null) {
    const found = devices.find(({ name, uuid }) => name === device || uuid === device);
    if (found !== undefined) return found;
    const text = `${url} has no device ${device}; it has ${names === '' ? 'none' : names}`;
    throw new MillwrightError('config_invalid', text);
  }
  const machines = devices.filter(({ isAgent }) => !isAgent);
  const [only] = machines;
  if (only !== undefined && machines.length === 1) return only;
  if (only === undefined) throw new MillwrightError('not_found', `${url} has no device`);
  const text = `${url} has several devices: name one of them as "device": ${machines.map(({ name }) => name).join(', ')}`;
  throw new MillwrightError('config_invalid', text);
}

/** By the agent's clock, as far as it tells. */
function times(from: string, to: string): { start_time?: string; end_time?: string } {
  const [start, end] = [parseTimestamp(from), parseTimestamp(to)];
  return { ...(start !== undefined && { start_time: start }), ...(end !== undefined && { end_time: end }) };
}
