/**
 * An agent's documents, XML: what it measures (`MTConnectDevices`), what it observed (`MTConnectStreams`), and why it
 * does not say (`MTConnectError`). Pure, but for loading the XML parser.
 *
 * Read by the elements' local names, so the schema's version (1.2 to 2.x) and its prefixes do not matter:
 *
 *     MTConnectStreams / Streams / DeviceStream / ComponentStream / Samples | Events | Condition / one observation each
 *     MTConnectDevices / Devices / Device | Agent / … Components / a component … / DataItems / DataItem
 *     MTConnectError   / Errors / one error each, by its attribute `errorCode`
 *
 * Source: MTConnect Standard, Part 1 (documents, headers, errors), Part 2 (devices), Part 3 (streams).
 */
import type { SaxesTagPlain } from 'saxes';
import { MillwrightError } from '../../base/errors.ts';
import { setValue } from '../../model/mtconnect/values.ts';
import type { JsonValue } from '../../model/reading.ts';

const DEPTH_MAX = 100;
/** Of what the header says in words. */
const HEADER_WORD_MAX = 64;

export interface AgentHeader {
  /** Of the agent's life: another one means that it was restarted. */
  readonly instanceId: string;
  /** By the agent's clock; blank where it does not say it. */
  readonly creationTime: string;
  readonly version: string;
}

export interface StreamsHeader extends AgentHeader {
  /** The oldest in the agent's buffer. */
  readonly firstSequence: number;
  /** The newest in the agent's buffer. */
  readonly lastSequence: number;
  /** After what this document holds. */
  readonly nextSequence: number;
}

export type Category = 'sample' | 'event' | 'condition';

export interface Observation {
  readonly deviceName: string;
  readonly deviceUuid: string;
  readonly dataItemId: string;
  /** Blank where the item has none. */
  readonly name: string;
  readonly sequence: number;
  /** As the agent wrote it. */
  readonly timestamp: string;
  readonly category: Category;
  /** Name of the element: the type in Pascal case, and of a condition its level. */
  readonly element: string;
  readonly text: string;
  /** All that the element says: `nativeCode`, `conditionId`, `duration`, `sampleRate`, … */
  readonly attributes: { readonly [name: string]: string };
  /** Of a data set or a table. */
  readonly entries: { readonly [key: string]: JsonValue } | undefined;
}

export interface DataItem {
  readonly id: string;
  /** Blank where it has none. */
  readonly name: string;
  readonly category: Category;
  /** In capitals: `PATH_FEEDRATE`. */
  readonly type: string;
  readonly subType: string;
  /** Of the values that the agent gives. */
  readonly units: string;
  readonly representation: string;
  /** The component that it belongs to: element and name, such as `Linear` and `X`. */
  readonly component: string;
  readonly componentName: string;
}

export interface Device {
  readonly name: string;
  readonly uuid: string;
  /** The agent's own, since 1.7: how its adapters fare. */
  readonly isAgent: boolean;
  readonly dataItems: readonly DataItem[];
}

export interface AgentErrorEntry {
  readonly code: string;
  readonly text: string;
}

export type AgentDocument =
  | { readonly kind: 'devices'; readonly header: AgentHeader; readonly devices: readonly Device[] }
  | { readonly kind: 'streams'; readonly header: StreamsHeader; readonly observations: readonly Observation[] }
  | { readonly kind: 'error'; readonly errors: readonly AgentErrorEntry[] };

/** @throws protocol_violation */
export async function parseDocument(text: string): Promise<AgentDocument> {
  const { SaxesParser } = await import('saxes');
  const reader = new DocumentReader();
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    throw new MillwrightError('protocol_violation', `it is no whole XML document: ${error.message}`);
  });
  parser.on('opentag', (tag) => reader.open(tag));
  parser.on('text', (piece) => reader.text(piece));
  parser.on('cdata', (piece) => reader.text(piece));
  parser.on('closetag', () => reader.close());
  parser.write(text).close();
  return reader.document();
}

type Attributes = { [name: string]: string };

interface Opened {
  readonly element: string;
  readonly attributes: Attributes;
  text: string;
}

/** Where the elements stand on the way from the root, which is 0. */
const DEVICE_DEPTH = 2;
const CATEGORY_DEPTH = 4;
const OBSERVATION_DEPTH = 5;

const CATEGORIES: { readonly [element: string]: Category | undefined } = {
  Samples: 'sample',
  Events: 'event',
  Condition: 'condition',
};

class DocumentReader {
  readonly #path: Opened[] = [];
  #root = '';
  #header: Attributes | undefined;
  readonly #observations: Observation[] = [];
  readonly #devices: (Device & { readonly dataItems: DataItem[] })[] = [];
  readonly #errors: AgentErrorEntry[] = [];
  /** Maps, since a key may be called `__proto__`. */
  #entries: Map<string, JsonValue> | undefined;
  #cells: Map<string, JsonValue> | undefined;

  open({ name, attributes }: SaxesTagPlain): void {
    const element = localName(name);
    const depth = this.#path.length;
    if (depth > DEPTH_MAX) throw violation(`it nests deeper than ${DEPTH_MAX} elements`);
    if (depth === 0) this.#root = element;
    const opened: Opened = { element, attributes, text: '' };
    this.#path.push(opened);
    if (depth === 1 && element === 'Header') this.#header = attributes;
    if (this.#root === 'MTConnectDevices') this.#openInDevices(opened, depth);
  }

  text(piece: string): void {
    const opened = this.#path.at(-1);
    if (opened !== undefined) opened.text += piece;
  }

  close(): void {
    const closed = this.#path.pop();
    if (closed === undefined) return;
    if (this.#root === 'MTConnectStreams') this.#closeInStreams(closed);
    if (this.#root === 'MTConnectError') this.#closeInError(closed);
  }

  document(): AgentDocument {
    switch (this.#root) {
      case 'MTConnectDevices':
        return { kind: 'devices', header: this.#agentHeader(), devices: this.#devices };
      case 'MTConnectStreams': {
        const header = this.#header ?? {};
        const [firstSequence, lastSequence, nextSequence] = ['firstSequence', 'lastSequence', 'nextSequence'].map(
          (name) => sequenceIn(header, name, 'Header'),
        ) as [number, number, number];
        return {
          kind: 'streams',
          header: { ...this.#agentHeader(), firstSequence, lastSequence, nextSequence },
          observations: this.#observations,
        };
      }
      case 'MTConnectError':
        return { kind: 'error', errors: this.#errors };
      default:
        throw violation(`it is a document of the kind ${this.#root.slice(0, 60)}, which no agent gives for this`);
    }
  }

  #agentHeader(): AgentHeader {
    const { instanceId = '', creationTime = '', version = '' } = this.#header ?? {};
    if (!/^\d{1,20}$/.test(instanceId)) throw violation(`its instanceId is "${instanceId.slice(0, 60)}"`);
    const short = (word: string): string => word.slice(0, HEADER_WORD_MAX);
    return { instanceId, creationTime: short(creationTime), version: short(version) };
  }

  #openInDevices({ element, attributes }: Opened, depth: number): void {
    if (depth === DEVICE_DEPTH && (element === 'Device' || element === 'Agent')) {
      const { name = '', uuid = '' } = attributes;
      this.#devices.push({ name, uuid, isAgent: element === 'Agent', dataItems: [] });
    }
    if (element !== 'DataItem' || this.#path.at(-2)?.element !== 'DataItems') return;
    const { id = '', name = '', type = '', subType = '', units = '', representation = '' } = attributes;
    const category = (attributes['category'] ?? '').toLowerCase();
    if (category !== 'sample' && category !== 'event' && category !== 'condition') return;
    const component = this.#path.at(-3);
    const { name: componentName = '', nativeName = '' } = component?.attributes ?? {};
    this.#devices.at(-1)?.dataItems.push({
      id,
      name,
      category,
      type: type.toUpperCase(),
      subType: subType.toUpperCase(),
      units: units.toUpperCase(),
      representation: representation.toUpperCase(),
      component: component?.element ?? '',
      componentName: componentName === '' ? nativeName : componentName,
    });
  }

  #closeInStreams(closed: Opened): void {
    const { element, attributes } = closed;
    const depth = this.#path.length;
    const text = closed.text.trim();
    if (depth > OBSERVATION_DEPTH) {
      const value = attributes['removed'] === 'true' ? null : setValue(text);
      if (element === 'Cell') (this.#cells ??= new Map()).set(attributes['key'] ?? '', value);
      if (element !== 'Entry') return;
      const row = this.#cells === undefined ? value : Object.fromEntries(this.#cells);
      (this.#entries ??= new Map()).set(attributes['key'] ?? '', row);
      this.#cells = undefined;
      return;
    }
    if (depth !== OBSERVATION_DEPTH) return;
    // Also of what is no observation: the next one is not to have them.
    const entries = this.#entries;
    this.#entries = undefined;
    this.#cells = undefined;
    const category = CATEGORIES[this.#path[CATEGORY_DEPTH]?.element ?? ''];
    if (category === undefined) return;
    const device = this.#path[DEVICE_DEPTH]?.attributes ?? {};
    const { dataItemId = '', name = '', timestamp = '' } = attributes;
    this.#observations.push({
      deviceName: device['name'] ?? '',
      deviceUuid: device['uuid'] ?? '',
      dataItemId,
      name,
      sequence: sequenceIn(attributes, 'sequence', element),
      timestamp,
      category,
      element,
      text,
      attributes,
      entries: entries && Object.fromEntries(entries),
    });
  }

  #closeInError({ element, attributes, text }: Opened): void {
    // Since 2.6 what went wrong stands in an element of its own.
    const owner = this.#path.at(-1);
    if (element === 'ErrorMessage' && owner !== undefined) owner.text = text;
    const code = attributes['errorCode'];
    if (code !== undefined) this.#errors.push({ code, text: text.trim() });
  }
}

function sequenceIn(attributes: Attributes, name: string, element: string): number {
  const written = attributes[name] ?? '';
  const value = Number(written);
  if (/^\d{1,16}$/.test(written) && Number.isSafeInteger(value)) return value;
  throw violation(`${name} of ${element} is "${written.slice(0, 60)}", not a sequence number`);
}

function violation(what: string): MillwrightError {
  return new MillwrightError('protocol_violation', what);
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1);
}
