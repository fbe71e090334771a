/**
 * An MTConnect agent to try things with: probe, current and sample, also streaming, over a buffer of limited length that
 * forgets the oldest. What a real one suffers can be done to it: connections cut, a restart, a buffer that runs over.
 *
 * Source: MTConnect Standard Part 1 (requests, sequence numbers, errors, streaming), as cppagent 2.x answers.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { type Clock, now } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';

export interface AgentItem {
  readonly id: string;
  readonly name: string;
  readonly category: 'SAMPLE' | 'EVENT' | 'CONDITION';
  /** In capitals: `PATH_FEEDRATE`. */
  readonly type: string;
  readonly subType?: string;
  readonly units?: string;
  /** The component it belongs to: element and name. */
  readonly component: readonly [element: string, name: string];
}

export interface AgentDevice {
  readonly name: string;
  readonly uuid: string;
  readonly items: readonly AgentItem[];
}

/** Something an adapter says. */
export interface Saying {
  readonly device: string;
  /** Id of the item. */
  readonly item: string;
  readonly timestamp: string;
  readonly text: string;
  /** Of a condition. */
  readonly condition?: {
    readonly level: 'Normal' | 'Warning' | 'Fault' | 'Unavailable';
    readonly nativeCode?: string;
    readonly nativeSeverity?: string;
    readonly qualifier?: string;
  };
}

interface Kept extends Saying {
  readonly sequence: number;
}

export interface AgentOptions {
  readonly devices: readonly AgentDevice[];
  /** Observations that it keeps. */
  readonly bufferSize: number;
  readonly instanceId: number;
  /** Of the schema: `1.3`, `2.0`. */
  readonly version: string;
  /** The Content-Type of a stream. */
  readonly multipart: 'mixed' | 'x-mixed-replace';
  readonly isBoundaryQuoted: boolean;
  readonly clock: Clock;
}

const COUNT_DEFAULT = 100;
const HEARTBEAT_MS_DEFAULT = 10_000;
const BOUNDARY = 'b7e23a91c04d';

export class MtconnectAgent {
  readonly #options: AgentOptions;
  readonly #items = new Map<string, { readonly device: AgentDevice; readonly item: AgentItem }>();
  #instanceId: number;
  /** The newest, up to twice as many as it still gives out. */
  #buffer: Kept[] = [];
  #next = 1;
  /** By item; of a condition all that is active, or one that says what it is. */
  #newest = new Map<string, Kept[]>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #served = 0;
  /** Streams that wait for something new. */
  #waiting: (() => void)[] = [];

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#instanceId = options.instanceId;
    for (const device of options.devices)
      for (const item of device.items) this.#items.set(`${device.name}/${item.id}`, { device, item });
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#begin();
  }

  /** @returns the port @throws port_unavailable */
  async listen(host: string, port: number): Promise<number> {
    try {
      await once(this.#server.listen(port, host), 'listening');
    } catch (cause) {
      throw new MillwrightError('port_unavailable', `cannot listen on ${host}:${port}`, { cause });
    }
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, 'close');
  }

  /** Breaks every connection. @returns how many there were */
  cut(): number {
    const { size } = this.#sockets;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    return size;
  }

  /** As a new process with an empty buffer. */
  restart(instanceId: number): void {
    this.cut();
    this.#instanceId = instanceId;
    this.#buffer = [];
    this.#next = 1;
    this.#newest = new Map();
    this.#begin();
  }

  /** Observations that went into streams, also those that went out again. */
  get served(): number {
    return this.#served;
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  get instanceId(): number {
    return this.#instanceId;
  }

  get firstSequence(): number {
    return Math.max(1, this.#next - this.#options.bufferSize);
  }

  get nextSequence(): number {
    return this.#next;
  }

  /** @returns its sequence number */
  observe(saying: Saying): number {
    const kept = { ...saying, sequence: this.#next };
    this.#next += 1;
    this.#buffer.push(kept);
    const { bufferSize } = this.#options;
    if (this.#buffer.length > 2 * bufferSize) this.#buffer.splice(0, bufferSize);
    const key = `${saying.device}/${saying.item}`;
    this.#newest.set(key, newestOf(this.#newest.get(key) ?? [], kept));
    for (const wake of this.#waiting.splice(0)) wake();
    return kept.sequence;
  }

  /** At first nothing is known. */
  #begin(): void {
    const timestamp = now(this.#options.clock);
    for (const { device, item } of this.#items.values()) {
      const isCondition = item.category === 'CONDITION';
      this.observe({
        device: device.name,
        item: item.id,
        timestamp,
        text: isCondition ? '' : 'UNAVAILABLE',
        ...(isCondition && { condition: { level: 'Unavailable' } }),
      });
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const question = questionOf(request.url ?? '/');
    if (question === undefined) return this.#refuse(response, 400, 'INVALID_URI', 'that is no address');
    const { what, device, query } = question;
    const { devices } = this.#options;
    if (device !== undefined && !devices.some(({ name, uuid }) => name === device || uuid === device)) {
      return this.#refuse(response, 404, 'NO_DEVICE', `Could not find the device '${device}'`);
    }
    const chosen = devices.filter(({ name, uuid }) => device === undefined || name === device || uuid === device);
    if (what === 'probe') return this.#send(response, 200, this.#devices(chosen));
    if (what === 'current') return this.#send(response, 200, this.#current(chosen));
    if (what !== 'sample') return this.#refuse(response, 404, 'INVALID_URI', `${what} is no request`);
    const asked = (name: string, otherwise: number): number => Number(query.get(name) ?? otherwise);
    const from = asked('from', this.firstSequence);
    const count = asked('count', COUNT_DEFAULT);
    if (!(from >= this.firstSequence && from <= this.#next)) {
      const range = `${this.firstSequence} and ${this.#next}`;
      return this.#refuse(response, 404, 'OUT_OF_RANGE', `'from' must be between ${range}`);
    }
    if (!(count >= 1)) return this.#refuse(response, 400, 'QUERY_ERROR', "'count' must be greater than 0");
    if (!query.has('interval')) return this.#send(response, 200, this.#sample(chosen, from, count).text);
    const times = { intervalMs: asked('interval', 0), heartbeatMs: asked('heartbeat', HEARTBEAT_MS_DEFAULT) };
    if (!(times.intervalMs >= 0 && times.heartbeatMs > 0)) {
      return this.#refuse(response, 400, 'QUERY_ERROR', "'interval' and 'heartbeat' are milliseconds");
    }
    await this.#stream(response, chosen, { from, count, ...times });
  }

  /** Until the reader goes, or has fallen behind the buffer. */
  async #stream(
    response: ServerResponse,
    devices: readonly AgentDevice[],
    { from, count, intervalMs, heartbeatMs }: { from: number; count: number; intervalMs: number; heartbeatMs: number },
  ): Promise<void> {
    const { multipart, isBoundaryQuoted, clock } = this.#options;
    const instanceId = this.#instanceId;
    const boundary = isBoundaryQuoted ? `"${BOUNDARY}"` : BOUNDARY;
    response.writeHead(200, { 'Content-Type': `multipart/${multipart};boundary=${boundary}` });
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    let next = from;
    while (!gone.signal.aborted && this.#instanceId === instanceId && next >= this.firstSequence) {
      const part = this.#sample(devices, next, count);
      this.#served += part.next - next;
      next = part.next;
      const body = Buffer.from(part.text);
      const head = `--${BOUNDARY}\r\nContent-type: text/xml\r\nContent-length: ${body.length}\r\n\r\n`;
      response.write(head);
      const isTaken = response.write(body);
      response.write('\r\n');
      if (!isTaken) await Promise.race([once(response, 'drain'), clock.sleep(heartbeatMs, gone.signal)]);
      await clock.sleep(intervalMs, gone.signal);
      if (next < this.#next) continue;
      const news = new AbortController();
      const end = AbortSignal.any([gone.signal, news.signal]);
      this.#waiting.push(() => news.abort());
      await clock.sleep(heartbeatMs, end);
    }
    response.destroy();
  }

  #send(response: ServerResponse, status: number, text: string): void {
    response.writeHead(status, { 'Content-Type': 'application/xml' });
    response.end(text);
  }

  #refuse(response: ServerResponse, status: number, code: string, text: string): void {
    const inner = `<Errors><Error errorCode="${code}">${escaped(text)}</Error></Errors>`;
    this.#send(response, status, this.#document('MTConnectError', '', inner));
  }

  #document(root: string, sequences: string, inner: string): string {
    const { version, clock, bufferSize } = this.#options;
    const header =
      `<Header creationTime="${now(clock)}" sender="millwright" instanceId="${this.#instanceId}" version="${version}"` +
      ` bufferSize="${bufferSize}"${sequences}/>`;
    const name = `urn:mtconnect.org:${root}:${version}`;
    return `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${name}">${header}${inner}</${root}>\n`;
  }

  #devices(devices: readonly AgentDevice[]): string {
    const item = ({ id, name, category, type, subType, units }: AgentItem): string =>
      `<DataItem${attributes({ category, id, name, type, subType, units, nativeUnits: units })}/>`;
    const inner = devices.map(({ name, uuid, items }) => {
      const components = [...byComponent(items)].map(
        ([, { element, name: componentName, items: own }], index) =>
          `<${element}${attributes({ id: `${name}_c${index}`, name: componentName })}><DataItems>` +
          `${own.map(item).join('')}</DataItems></${element}>`,
      );
      return `<Device${attributes({ id: name, name, uuid })}><Components>${components.join('')}</Components></Device>`;
    });
    return this.#document('MTConnectDevices', '', `<Devices>${inner.join('')}</Devices>`);
  }

  #current(devices: readonly AgentDevice[]): string {
    const kept = devices.flatMap(({ name, items }) =>
      items.flatMap(({ id }) => this.#newest.get(`${name}/${id}`) ?? []),
    );
    return this.#streams(devices, kept, this.#next);
  }

  #sample(devices: readonly AgentDevice[], from: number, count: number): { text: string; next: number } {
    const wanted = new Set(devices.map(({ name }) => name));
    const kept: Kept[] = [];
    let next = from;
    for (; next < this.#next && kept.length < count; next += 1) {
      const one = this.#buffer[this.#buffer.length - (this.#next - next)];
      if (one !== undefined && wanted.has(one.device)) kept.push(one);
    }
    return { text: this.#streams(devices, kept, next), next };
  }

  /** By component and category, as documents are, not in the order of what happened. */
  #streams(devices: readonly AgentDevice[], kept: readonly Kept[], next: number): string {
    const sequences = ` firstSequence="${this.firstSequence}" lastSequence="${this.#next - 1}" nextSequence="${next}"`;
    const inner = devices.map(({ name, uuid, items }) => {
      const own = kept.filter(({ device }) => device === name);
      const components = [...byComponent(items)].map(([, { element, name: componentName, items: of }], index) => {
        const groups = (['SAMPLE', 'EVENT', 'CONDITION'] as const).map((category) => {
          const texts = of.flatMap((item) =>
            item.category === category
              ? own.filter((one) => one.item === item.id).map((one) => observation(item, one))
              : [],
          );
          const tag = { SAMPLE: 'Samples', EVENT: 'Events', CONDITION: 'Condition' }[category];
          return texts.length === 0 ? '' : `<${tag}>${texts.join('')}</${tag}>`;
        });
        if (groups.join('') === '') return '';
        const id = attributes({ component: element, name: componentName, componentId: `${name}_c${index}` });
        return `<ComponentStream${id}>${groups.join('')}</ComponentStream>`;
      });
      return `<DeviceStream${attributes({ name, uuid })}>${components.join('')}</DeviceStream>`;
    });
    return this.#document('MTConnectStreams', sequences, `<Streams>${inner.join('')}</Streams>`);
  }
}

interface Question {
  readonly what: string;
  readonly device: string | undefined;
  readonly query: URLSearchParams;
}

/** Of `/device/current?…`; undefined for what is no address. */
function questionOf(address: string): Question | undefined {
  const url = URL.parse(address, 'http://agent');
  if (url === null) return undefined;
  try {
    const parts = url.pathname.split('/').filter((part) => part !== '');
    const [what = '', device] = parts.map(decodeURIComponent).reverse();
    return { what, device, query: url.searchParams };
  } catch {
    return undefined;
  }
}

/** NORMAL with a code ends that code, without one all; a warning or fault joins those that are active. */
function newestOf(before: readonly Kept[], kept: Kept): Kept[] {
  const { condition } = kept;
  if (condition === undefined) return [kept];
  const active = before.filter(({ condition: other }) => /^(Warning|Fault)$/.test(other?.level ?? ''));
  const code = condition.nativeCode ?? '';
  const others = active.filter((one) => (one.condition?.nativeCode ?? '') !== code);
  if (condition.level === 'Unavailable' || (condition.level === 'Normal' && code === '')) return [kept];
  if (condition.level === 'Normal') return others.length === 0 ? [kept] : others;
  return [...others, kept];
}

function byComponent(
  items: readonly AgentItem[],
): Map<string, { readonly element: string; readonly name: string; readonly items: AgentItem[] }> {
  const components = new Map<
    string,
    { readonly element: string; readonly name: string; readonly items: AgentItem[] }
  >();
  for (const item of items) {
    const [element, name] = item.component;
    const key = `${element}/${name}`;
    const known = components.get(key) ?? { element, name, items: [] };
    known.items.push(item);
    components.set(key, known);
  }
  return components;
}

function observation(
  { type, subType, category, id, name }: AgentItem,
  { sequence, timestamp, text, condition }: Kept,
): string {
  const { level, nativeCode, nativeSeverity, qualifier } = condition ?? {};
  const own = { dataItemId: id, name, sequence: String(sequence), subType, timestamp };
  const ofCondition = { nativeCode, nativeSeverity, qualifier, type: category === 'CONDITION' ? type : undefined };
  const element = level ?? pascalCase(type);
  return `<${element}${attributes({ ...own, ...ofCondition })}>${escaped(text)}</${element}>`;
}

function pascalCase(type: string): string {
  return type
    .split('_')
    .map((word) => word.slice(0, 1) + word.slice(1).toLowerCase())
    .join('');
}

function attributes(values: { readonly [name: string]: string | undefined }): string {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => ` ${name}="${escaped(value ?? '')}"`)
    .join('');
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll(/\p{Cc}/gu, ' ');
}
