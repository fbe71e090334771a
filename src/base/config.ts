/**
 * Reading a configuration: YAML, then environment variables, over the schema's defaults.
 *
 * The schema is the one source for parsing, defaults and the reference in the docs. An unknown key or a bad value stops
 * the start, and every problem is told at once with file, line, key, what was found and what is allowed. Numbers may be
 * written as text (`port: "8081"`), since people do.
 */
import { isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { NAME_LENGTH_MAX } from '../model/reading.ts';
import { MillwrightError } from './errors.ts';

export interface ConfigSource {
  /** As the person named it, for the messages. */
  readonly file: string;
  readonly text: string;
  /** `DATABASE_PASSWORD` overrides `database.password`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** A YAML document that remembers where each key stands. */
export interface ConfigDocument {
  readonly file: string;
  readonly value: unknown;
  lineOf(path: readonly PropertyKey[]): number | undefined;
  /** A number as it is written in the file: `001`, `1e3`. */
  writtenAt(path: readonly PropertyKey[]): string | undefined;
  /** Keys (`database.port`) whose value came from the environment, and the variable's name. */
  readonly overrides?: ReadonlyMap<string, string>;
}

/** So many problems of a file are told; who has more has one that is not ours. */
const PROBLEMS_MAX = 50;
/** Longest value that a message quotes, in UTF-16 units. */
const FOUND_LENGTH_MAX = 200;

/** @throws MillwrightError config_invalid when the text is not YAML, or is not a mapping */
export function parseConfig(source: ConfigSource): ConfigDocument {
  const lines = new LineCounter();
  const document = parseDocument(source.text, { lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0];
  if (problem !== undefined) {
    throw new MillwrightError(
      'config_invalid',
      `${source.file}:${lines.linePos(problem.pos[0]).line}: ${problem.message}`,
    );
  }
  let value: unknown;
  try {
    value = document.toJS() ?? {};
    // A mapping that holds itself by an alias cannot be written down, so it cannot be quoted either.
    JSON.stringify(value);
  } catch (cause) {
    throw new MillwrightError('config_invalid', `${source.file}: its aliases cannot be followed`, { cause });
  }
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new MillwrightError('config_invalid', `${source.file}: a configuration is a list of "key: value" lines`);
  }
  const lineOf = (path: readonly PropertyKey[]): number | undefined => {
    for (let length = path.length; length > 0; length -= 1) {
      const node = document.getIn(path.slice(0, length), true);
      const start = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined;
      if (Array.isArray(start)) return lines.linePos(Number(start[0])).line;
    }
    return undefined;
  };
  const writtenAt = (path: readonly PropertyKey[]): string | undefined => {
    const node = document.getIn(path, true);
    return isScalar(node) && typeof node.value === 'number' ? node.source : undefined;
  };
  return { file: source.file, value, lineOf, writtenAt };
}

/** Checks a document, or the part of it at `at`, against a schema. @throws MillwrightError config_invalid, with every problem */
export function checkConfig<Schema extends z.ZodType>(
  document: ConfigDocument,
  schema: Schema,
  part: { readonly value: unknown; readonly at: readonly PropertyKey[] } = { value: document.value, at: [] },
): z.output<Schema> {
  const node = schemaNode(schema);
  const result = schema.safeParse(asWritten(document, node, part.value, part.at));
  if (result.success) return result.data;
  const sentences = [...new Set(result.error.issues.flatMap((issue) => problemsOf(document, node, part, issue)))];
  const more = sentences.length > PROBLEMS_MAX ? [`${document.file}: and more problems of this kind`] : [];
  throw new MillwrightError('config_invalid', [...sentences.slice(0, PROBLEMS_MAX), ...more].join('\n'));
}

/** Where text is wanted and YAML saw a number, what the person wrote. */
function asWritten(
  document: ConfigDocument,
  node: SchemaNode | undefined,
  value: unknown,
  at: readonly PropertyKey[],
): unknown {
  if (node === undefined) return value;
  if (typeof value === 'number') return node.verbatim === true ? (document.writtenAt(at) ?? value) : value;
  if (Array.isArray(value)) return value.map((item, index) => asWritten(document, node.items, item, [...at, index]));
  if (typeof value !== 'object' || value === null || node.properties === undefined) return value;
  const { properties } = node;
  const entries = Object.entries(value);
  return Object.fromEntries(
    entries.map(([key, inner]) => {
      const innerNode = Object.hasOwn(properties, key) ? properties[key] : undefined;
      return [key, asWritten(document, innerNode, inner, [...at, key])];
    }),
  );
}

function problemsOf(
  document: ConfigDocument,
  node: SchemaNode,
  part: { readonly value: unknown; readonly at: readonly PropertyKey[] },
  issue: z.core.$ZodIssue,
): string[] {
  const sentence = (path: readonly PropertyKey[], text: string): string =>
    sentenceAt(document, [...part.at, ...path], text);
  if (issue.code === 'unrecognized_keys') {
    const allowed = Object.keys(nodeAt(node, issue.path)?.properties ?? {}).join(', ');
    const keys = issue.keys.slice(0, PROBLEMS_MAX + 1);
    return keys.map((key) => sentence([...issue.path, key], `there is no such key; allowed: ${allowed}`));
  }
  const found = valueAt(part.value, issue.path);
  const text = found === undefined ? `is missing; ${issue.message}` : `found ${quote(found)}; ${issue.message}`;
  return [sentence(issue.path, text)];
}

/** What is to be said of a value, with where a person finds it: file, line and key, or the environment variable. */
export function sentenceAt(document: ConfigDocument, path: readonly PropertyKey[], text: string): string {
  const variable = document.overrides?.get(pathText(path));
  if (variable !== undefined) return `environment variable ${variable} (${pathText(path)}): ${text}`;
  const line = document.lineOf(path);
  return `${document.file}${line === undefined ? '' : `:${line}`}: ${pathText(path)}: ${text}`;
}

function quote(found: unknown): string {
  const text = withoutLogin(JSON.stringify(found) ?? typeof found);
  return text.length > FOUND_LENGTH_MAX ? `${text.slice(0, FOUND_LENGTH_MAX)}…` : text;
}

/** Text as it may be told: what comes before the host in a URL may be a password. */
export function withoutLogin(text: string): string {
  return text.replaceAll(/\/\/[^\s"]*@/g, '//…@');
}

/** `sensors[0].host` */
export function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) text += typeof key === 'number' ? `[${key}]` : text === '' ? String(key) : `.${String(key)}`;
  return text;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let inner = value;
  for (const key of path) {
    if (typeof inner !== 'object' || inner === null) return undefined;
    inner = (inner as Record<PropertyKey, unknown>)[key];
  }
  return inner;
}

function nodeAt(node: SchemaNode | undefined, path: readonly PropertyKey[]): SchemaNode | undefined {
  let inner = node;
  for (const key of path) inner = typeof key === 'number' ? inner?.items : inner?.properties?.[String(key)];
  return inner;
}

/** The part of a JSON Schema that this module and the generated reference look at. */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  /** What a scalar allows, in words. */
  readonly allowed?: string;
  /** A number is wanted as it is written. */
  readonly verbatim?: boolean;
  /** It names a file whose content belongs to the configuration. */
  readonly isFile?: boolean;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly required?: readonly string[];
}

/** What the schema takes, as JSON Schema. Worked out once: a thousand sensors have one schema. */
export function schemaNode(schema: z.ZodType): SchemaNode {
  const node = nodes.get(schema) ?? (z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SchemaNode);
  nodes.set(schema, node);
  return node;
}

const nodes = new WeakMap<z.ZodType, SchemaNode>();

/** Lays environment variables over a document: a key's path in capitals, joined by `_`. Not for what is in lists. */
export function withEnvironment(
  document: ConfigDocument,
  schema: z.ZodType,
  environment: ConfigSource['environment'],
): ConfigDocument {
  const value = structuredClone(document.value) as Record<string, unknown>;
  const overrides = new Map<string, string>();
  overlay(value, schemaNode(schema), [], { environment, overrides });
  return { ...document, value, overrides };
}

/**
 * The same for the own keys of one item of a list: `prefix` stands for its path, as `['sinks', 'influx']` does for
 * `SINKS_INFLUX_TOKEN`. Whatever a name has besides letters and digits is `_` there.
 */
export function itemWithEnvironment(
  document: ConfigDocument,
  schema: z.ZodType,
  item: { readonly value: unknown; readonly at: readonly PropertyKey[]; readonly prefix: readonly string[] },
  environment: ConfigSource['environment'],
): { readonly document: ConfigDocument; readonly value: unknown } {
  const value = structuredClone(item.value) as Record<string, unknown>;
  const overrides = new Map(document.overrides);
  const prefix = item.prefix.map((part) => part.replaceAll(/[^A-Za-z0-9]/g, '_'));
  const own = new Map<string, string>();
  overlay(value, schemaNode(schema), prefix, { environment, overrides: own });
  for (const [key, variable] of own) {
    overrides.set(`${pathText(item.at)}${key.slice(pathText(prefix).length)}`, variable);
  }
  return { document: { ...document, overrides }, value };
}

function overlay(
  value: Record<string, unknown>,
  node: SchemaNode,
  at: readonly string[],
  from: { readonly environment: ConfigSource['environment']; readonly overrides: Map<string, string> },
): void {
  for (const [key, inner] of Object.entries(node.properties ?? {})) {
    const path = [...at, key];
    const name = path.join('_').toUpperCase();
    if (inner.properties !== undefined) {
      const present = value[key];
      const section = typeof present === 'object' && present !== null ? (present as Record<string, unknown>) : {};
      overlay(section, inner, path, from);
      if (present === undefined && Object.keys(section).length > 0) value[key] = section;
    } else if (inner.items === undefined && at.length > 0 && from.environment[name] !== undefined) {
      value[key] = from.environment[name];
      from.overrides.set(pathText(path), name);
    }
  }
}

/** A mapping in which an unknown key is an error. */
export function section<Shape extends z.core.$ZodLooseShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  return z.strictObject(shape, { error: () => 'allowed: a section of "key: value" lines' });
}

type Scalar<Output> = z.ZodPipe<
  z.ZodUnion<readonly [z.ZodString, z.ZodNumber]>,
  z.ZodTransform<Output, string | number>
>;

/** One value as text or number; `convert` gives undefined for one that is not allowed. */
export function scalar<Output>(
  allowed: string,
  convert: (value: string | number) => Output | undefined,
): Scalar<Output> {
  const schema = z
    .union([z.string(), z.number()], { error: () => `allowed: ${allowed}` })
    .transform((value, context) => {
      const output = convert(value);
      if (output !== undefined) return output;
      context.addIssue({ code: 'custom', message: `allowed: ${allowed}`, input: value });
      return z.NEVER;
    });
  return schema.meta({ allowed });
}

/** Text; a number is taken as it is written. */
export function text(allowed = 'text'): Scalar<string> {
  return verbatim(scalar(allowed, (value) => (String(value).trim() === '' ? undefined : String(value))));
}

/** The name of a machine, a gateway or the like: what the hub takes as one. A longer one would be refused there for good. */
export function name(): Scalar<string> {
  return verbatim(
    scalar(`text of 1 to ${NAME_LENGTH_MAX} characters`, (value) => {
      const text = String(value);
      const isStorable = text.isWellFormed() && !text.includes('\0');
      return isStorable && text.trim() !== '' && text.length <= NAME_LENGTH_MAX ? text : undefined;
    }),
  );
}

/** A path to a file whose content belongs to what names it: with another content it is another configuration. */
export function filePath(): Scalar<string> {
  const schema = text('a path');
  return schema.meta({ ...schema.meta(), isFile: true });
}

/** A file that a part of a document names by a {@link filePath}. */
export interface NamedFile {
  /** Of the whole document. */
  readonly at: readonly PropertyKey[];
  readonly path: string;
}

/** In the part of a document that its schema has taken. */
export function namedFiles(
  document: ConfigDocument,
  schema: z.ZodType,
  part: { readonly value: unknown; readonly at: readonly PropertyKey[] },
): NamedFile[] {
  const found: NamedFile[] = [];
  const look = (node: SchemaNode | undefined, value: unknown, at: readonly PropertyKey[]): void => {
    if (node?.isFile === true && typeof value === 'string') found.push({ at, path: value });
    if (Array.isArray(value)) for (const [index, item] of value.entries()) look(node?.items, item, [...at, index]);
    if (node?.properties === undefined || typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) look(node.properties[key], inner, [...at, key]);
  };
  const node = schemaNode(schema);
  look(node, asWritten(document, node, part.value, part.at), part.at);
  return found;
}

/** Marks a scalar to which `001` is three characters and not the number 1. */
function verbatim<Schema extends z.ZodType>(schema: Schema): Schema {
  return schema.meta({ ...schema.meta(), verbatim: true });
}

export function number(limits: { min: number; max: number; unit?: string }): Scalar<number> {
  const allowed = `a number from ${limits.min} to ${limits.max}${limits.unit === undefined ? '' : ` ${limits.unit}`}`;
  return scalar(allowed, (value) => withinLimits(toNumber(value), limits));
}

export function integer(limits: { min: number; max: number }): Scalar<number> {
  const whole = (value: number): number => (Number.isInteger(value) ? value : Number.NaN);
  return scalar(`a whole number from ${limits.min} to ${limits.max}`, (value) =>
    withinLimits(whole(toNumber(value)), limits),
  );
}

/** A TCP port; 0 takes one that is free. */
export function port(): Scalar<number> {
  return integer({ min: 0, max: 65_535 });
}

const DURATION_UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `100ms`, `2s`, `5m`, `1h`, `7d`; comes out in milliseconds. */
export function duration(limits: { minMs: number; maxMs: number }): Scalar<number> {
  const allowed = `a duration such as 100ms, 2s, 5m, 1h or 7d, from ${limits.minMs} ms to ${limits.maxMs} ms`;
  return scalar(allowed, (value) => {
    const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(String(value).trim());
    if (match === null) return undefined;
    const ms = Number(match[1]) * (DURATION_UNITS_MS[match[2] ?? ''] ?? Number.NaN);
    return withinLimits(ms, { min: limits.minMs, max: limits.maxMs });
  });
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 2 ** 10,
  mb: 2 ** 20,
  gb: 2 ** 30,
  tb: 2 ** 40,
};

/** `1048576`, `10MB`, `1 GB` (powers of 1024); comes out in bytes. */
export function bytes(limits: { min: number; max: number }): Scalar<number> {
  const allowed = `a number of bytes such as 1048576, 10MB or 1GB, from ${limits.min} to ${limits.max}`;
  return scalar(allowed, (value) => {
    const match = /^(\d+(?:\.\d+)?)\s*(b|kb|mb|gb|tb|)$/i.exec(String(value).trim());
    if (match === null) return undefined;
    return withinLimits(
      Math.round(Number(match[1]) * (BYTE_UNITS[(match[2] ?? '').toLowerCase()] ?? Number.NaN)),
      limits,
    );
  });
}

/** true or false, also as the text of an environment variable. */
export function flag(): z.ZodPipe<
  z.ZodUnion<readonly [z.ZodBoolean, z.ZodString]>,
  z.ZodTransform<boolean, boolean | string>
> {
  const allowed = 'allowed: true or false';
  const schema = z.union([z.boolean(), z.string()], { error: () => allowed }).transform((value, context) => {
    if (value === true || value === 'true') return true;
    if (value === false || value === 'false') return false;
    context.addIssue({ code: 'custom', message: allowed, input: value });
    return z.NEVER;
  });
  return schema.meta({ allowed: 'true or false' });
}

/** One of a few words. */
export function choice<const Word extends string>(words: readonly Word[]): z.ZodEnum<{ [Key in Word]: Key }> {
  return z.enum(words, { error: () => `allowed: ${words.join(', ')}` });
}

function toNumber(value: string | number): number {
  return typeof value === 'number' ? value : value.trim() === '' ? Number.NaN : Number(value);
}

function withinLimits(value: number, limits: { min: number; max: number }): number | undefined {
  return value >= limits.min && value <= limits.max ? value : undefined;
}
