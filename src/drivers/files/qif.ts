/**
 * QIF 3.0 results (ISO 23952), an XML document. Pure, but for loading the XML parser.
 *
 * A result, `…CharacteristicMeasurement`, names its item; the item its nominal; the nominal its definition, where the
 * tolerance stands: limits, or with `DefinedAsLimit` false deviations from the nominal, or one `ToleranceValue` that a
 * form or a position may not exceed. The document is read as a stream: only what is named here is kept of it.
 */
import type { SaxesTagPlain } from 'saxes';
import { type Finding, known, NotUnderstood, numberIn, type ParseContext, type ParsedFile, type Row } from './rows.ts';
import { isoTime } from './times.ts';

/** An element that is collected: its id and the texts of those within that are asked for, by their name. */
interface Part {
  readonly element: string;
  readonly id: string;
  readonly texts: Map<string, string>;
}

const PART = /^(\w+?)Characteristic(Definition|Nominal|Item|Measurement)$/;
/** Of these the unit is that of angles. An angularity is a width. */
const ANGLE = /^(Angle|AngularCoordinate|ConeAngle|ConeHalfAngle)/;
const DEPTH_MAX = 200;

/** @throws NotUnderstood */
export async function parseQif(text: string, context: ParseContext): Promise<ParsedFile> {
  const { SaxesParser } = await import('saxes');
  const document = new QifDocument();
  const parser = new SaxesParser();
  const fail = (message: string): never => {
    throw new NotUnderstood(`it is no whole XML document: ${message}`, { mayBeUnfinished: true });
  };
  parser.on('error', (error) => fail(error.message));
  parser.on('opentag', (tag) => document.open(tag));
  parser.on('text', (piece) => document.text(piece));
  parser.on('closetag', () => document.close());
  parser.write(text).close();
  return document.parsed(context);
}

class QifDocument {
  readonly #path: string[] = [];
  readonly #parts = {
    Definition: new Map<string, Part>(),
    Nominal: new Map<string, Part>(),
    Item: new Map<string, Part>(),
  };
  readonly #measurements: { readonly part: Part; readonly results: Map<string, string> }[] = [];
  #units = new Map<string, string>();
  #document = new Map<string, string>();
  #results = new Map<string, string>();
  readonly #serialNumbers = new Map<string, string>();
  #component = '';
  #open: Part | undefined;
  #piece = '';

  open({ name, attributes }: SaxesTagPlain): void {
    const element = localName(name);
    this.#path.push(element);
    if (this.#path.length > DEPTH_MAX) throw new NotUnderstood(`it nests deeper than ${DEPTH_MAX} elements`);
    if (this.#path.length === 1 && element !== 'QIFDocument')
      throw new NotUnderstood(`it is a ${element}, not a QIFDocument`);
    this.#piece = '';
    const id = attributes['id'] ?? '';
    if (element === 'MeasurementResults') this.#results = new Map();
    if (element === 'ActualComponent') this.#component = id;
    // References have the same names, but no id.
    if (this.#open === undefined && id !== '' && PART.test(element)) this.#open = { element, id, texts: new Map() };
  }

  text(piece: string): void {
    this.#piece += piece;
  }

  close(): void {
    const element = this.#path.pop() ?? '';
    const parent = this.#path.at(-1) ?? '';
    const text = this.#piece.trim();
    this.#piece = '';
    if (this.#open !== undefined && element === this.#open.element) this.#keep(this.#open);
    else if (this.#open !== undefined) {
      if (!this.#open.texts.has(element) && text !== '') this.#open.texts.set(element, text);
    } else if (element === 'UnitName') this.#units.set(parent, this.#units.get(parent) ?? text);
    else if (element === 'QPId' && parent === 'QIFDocument') this.#document.set('QPId', text);
    else if (element === 'TimeCreated') this.#document.set('TimeCreated', text);
    else if (element === 'ThisResultsInstanceQPId') this.#results.set(element, text);
    else if (element === 'SerialNumber' && parent === 'ActualComponent') this.#serialNumbers.set(this.#component, text);
    else if (element === 'Id' && parent === 'ActualComponentIds') this.#results.set('component', text);
    else if (element === 'Name' && parent === 'Part') this.#document.set('part', this.#document.get('part') ?? text);
  }

  parsed(context: ParseContext): ParsedFile {
    if (!this.#path.every((element) => element === '')) throw new NotUnderstood('it is not whole');
    const rows = this.#measurements.map(({ part, results }, index): Row => {
      const identity = [part.element, part.id, ...part.texts.entries()];
      const findings = (): Finding[] => this.#findings(part, results, context);
      return { text: JSON.stringify(identity), place: `result ${index + 1}`, findings };
    });
    // Two documents may hold equal values; their ids differ.
    return { seed: this.#document.get('QPId') ?? context.name, rows };
  }

  #keep(part: Part): void {
    this.#open = undefined;
    const kind = PART.exec(part.element)?.[2];
    if (kind === 'Measurement') this.#measurements.push({ part, results: this.#results });
    else if (kind === 'Definition' || kind === 'Nominal' || kind === 'Item') this.#parts[kind].set(part.id, part);
  }

  #findings(part: Part, results: ReadonlyMap<string, string>, context: ParseContext): Finding[] {
    const type = PART.exec(part.element)?.[1] ?? '';
    const written = part.texts.get('Value');
    if (written === undefined) return [];
    const measured = numberIn(written);
    if (measured === undefined)
      throw new NotUnderstood(`the value "${written}" of ${part.element} ${part.id} is no number`);
    const created = this.#document.get('TimeCreated');
    const timestamp = created === undefined ? context.fileTime : isoTime(created, context.zone);
    if (timestamp === undefined) throw new NotUnderstood(`TimeCreated "${created}" is no time`);
    const item = this.#parts.Item.get(part.texts.get('CharacteristicItemId') ?? '');
    const nominal = this.#parts.Nominal.get(item?.texts.get('CharacteristicNominalId') ?? '');
    const definition = this.#parts.Definition.get(
      nominal?.texts.get('CharacteristicDefinitionId') ?? item?.texts.get('CharacteristicDefinitionId') ?? '',
    );
    const target = numberIn(nominal?.texts.get('TargetValue') ?? '');
    const name = item?.texts.get('Name') ?? item?.texts.get('Designator') ?? item?.id ?? part.id;
    const isAngle = ANGLE.test(type);
    const measurement = known<unknown>({
      kind: 'measurement',
      timestamp,
      characteristic: `${name}.${type[0]?.toLowerCase() ?? ''}${type.slice(1)}`,
      measured_value: measured,
      unit: this.#units.get(isAngle ? 'AngularUnit' : 'LinearUnit') ?? (isAngle ? 'rad' : context.unit),
      part_id: this.#document.get('part'),
      serial_number: this.#serialNumbers.get(results.get('component') ?? ''),
      nominal_value: target,
      ...limits(definition, target),
      details: known<string>({
        type,
        status: part.texts.get('CharacteristicStatusEnum'),
        measurement_id: part.id,
        results_id: results.get('ThisResultsInstanceQPId'),
      }),
    });
    return [measurement];
  }
}

function limits(
  definition: Part | undefined,
  nominal: number | undefined,
): { lower_limit: number | undefined; upper_limit: number | undefined } {
  const value = (name: string): number | undefined => numberIn(definition?.texts.get(name) ?? '');
  const zone = value('ToleranceValue');
  if (zone !== undefined) return { lower_limit: undefined, upper_limit: zone };
  const isLimit = /^(true|1)$/.test(definition?.texts.get('DefinedAsLimit') ?? '');
  const limit = (name: string): number | undefined => {
    const written = value(name);
    if (isLimit || written === undefined) return written;
    return nominal === undefined ? undefined : nominal + written;
  };
  return { lower_limit: limit('MinValue'), upper_limit: limit('MaxValue') };
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1);
}
