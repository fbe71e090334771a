/**
 * What must be found of a recording, worked out from the file alone: by regular expressions over whole lines, on
 * purpose not with the driver's parser, so that the two check each other.
 *
 * It reads only what the recordings hold (absolute UTC stamps, pairs, conditions alone on their lines, assets of several
 * lines), and a sensor as it stands in a `*.edge.yaml`.
 */

/** A sensor of type `shdr` as written. */
export interface WrittenSensor {
  readonly state?: { readonly [role: string]: string };
  readonly program?: string;
  readonly map?: { readonly [item: string]: string | WrittenItem };
  readonly extra?: readonly string[];
}

interface WrittenItem {
  readonly signal?: string;
  readonly extra?: string;
  readonly axes?: readonly string[];
  readonly type?: string;
  readonly scale?: number;
}

/** `timestamp` always has six decimals. `value` null: not known from then on. */
export interface ExpectedValue {
  readonly timestamp: string;
  readonly item: string;
  readonly field: string;
  readonly value: number | string | null;
}

export interface ExpectedCondition {
  readonly timestamp: string;
  readonly item: string;
  readonly level: string;
  readonly native_code: string;
  readonly native_severity: string;
  readonly qualifier: string;
  readonly text: string;
}

export interface ExpectedState {
  readonly timestamp: string;
  readonly state: string;
  readonly previous_state: string | undefined;
}

export interface Expected {
  /** In the file's order; what only repeats the item's last stamp and text is left out. */
  readonly values: readonly ExpectedValue[];
  readonly conditions: readonly ExpectedCondition[];
  readonly states: readonly ExpectedState[];
  readonly programs: readonly { readonly timestamp: string; readonly text: string }[];
  /** Of each field: the value with the latest stamp, and of equal stamps the later in the file. */
  readonly newest: ReadonlyMap<string, ExpectedValue>;
}

interface Row {
  readonly timestamp: string;
  readonly item: string;
  readonly text: string;
  /** Level, code, severity, qualifier, text. */
  readonly condition?: readonly string[];
}

const ASSET_BLOCK = /^[^\n|]*\|@ASSET@\|[^\n]*(--multiline--\w+)\n(?:.*\n)*?\1\n/gm;
const DATA_LINE = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z((?:\|[^|\n]*)+)$/gm;
const CONDITION = /^\|([^|]+)\|(normal|warning|fault)\|([^|]*)\|([^|]*)\|(|high|low)\|([^|]*)$/i;
const UNKNOWN_CONDITION = /^\|([^|]+)\|(unavailable)\|\|\|\|$/i;
const NUMBERS = new Set([
  'temperature',
  'spindle_speed',
  'x_pos_mm',
  'y_pos_mm',
  'z_pos_mm',
  'feed_rate_actual',
  'spindle_load_percent',
  'active_program_line',
  'total_power_kw',
]);

export function expectedOf(recording: string, sensor: WrittenSensor): Expected {
  const rows = newsOf([...rowsOf(recording.replaceAll('\r\n', '\n').replace(ASSET_BLOCK, ''))]);
  const values = rows.flatMap((row) => (row.condition === undefined ? valuesOf(row, sensor) : []));
  const newest = new Map<string, ExpectedValue>();
  for (const value of values) {
    const before = newest.get(value.field);
    if (before === undefined || before.timestamp <= value.timestamp) newest.set(value.field, value);
  }
  return {
    values,
    conditions: conditionsOf(rows),
    states: statesOf(rows, sensor),
    programs: programsOf(rows, sensor),
    newest,
  };
}

function* rowsOf(text: string): Generator<Row> {
  for (const [, seconds = '', fraction = '', rest = ''] of text.matchAll(DATA_LINE)) {
    if (rest.startsWith('|@')) continue;
    const timestamp = `${seconds}.${fraction.padEnd(6, '0').slice(0, 6)}Z`;
    const match = CONDITION.exec(rest) ?? UNKNOWN_CONDITION.exec(rest);
    if (match !== null) {
      const [, item = '', level = '', code = '', severity = '', qualifier = '', words = ''] = match;
      const condition = [level.toLowerCase(), code.trim(), severity.trim(), qualifier.trim(), words.trim()];
      yield { timestamp, item, text: condition.join('\n'), condition };
      continue;
    }
    for (const [, item = '', value = ''] of rest.matchAll(/\|([^|]*)\|([^|]*)/g)) {
      yield { timestamp, item, text: value.trim() };
    }
  }
}

/** Without the rows that repeat the newest of their item (of a condition: of their code). */
function newsOf(rows: readonly Row[]): Row[] {
  const last = new Map<string, string>();
  return rows.filter(({ timestamp, item, text, condition }) => {
    const key = condition === undefined ? item : `${item}\n${condition[1]}`;
    const said = `${timestamp}\n${text}`;
    const isNew = last.get(key) !== said;
    last.set(key, said);
    return isNew;
  });
}

function valuesOf({ timestamp, item, text }: Row, sensor: WrittenSensor): ExpectedValue[] {
  const values: ExpectedValue[] = [];
  const put = (field: string, part: string, type: string, scale = 1): void => {
    const value = valueOf(part, type, scale);
    if (value !== undefined) values.push({ timestamp, item, field, value });
  };
  const typeOf = (field: string, type = 'auto'): string => (NUMBERS.has(field) ? 'number' : type);
  const written = sensor.map?.[item];
  if (typeof written === 'string') put(written, text, typeOf(written));
  else if (written?.axes !== undefined) {
    const parts = /^unavailable$/i.test(text) ? [text, text, text] : text.split(' ');
    for (const [index, field] of written.axes.entries())
      put(field, parts[index] ?? 'cut short', 'number', written.scale);
  } else if (written !== undefined) {
    const field = written.signal ?? written.extra ?? '';
    put(field, text, typeOf(field, written.type), written.scale);
  }
  if (sensor.extra?.includes(item) === true) put(item, text, 'auto');
  if (sensor.program === item) put('program', text, 'text');
  if (sensor.state?.['controller_mode'] === item) put('controller_mode', text, 'text');
  return values;
}

function valueOf(text: string, type: string, scale: number): number | string | null | undefined {
  if (/^unavailable$/i.test(text)) return null;
  if (type === 'text') return text;
  const isNumber = /^-?\d+(\.\d+)?([eE]-?\d+)?$/.test(text);
  if (isNumber) return scale === 1 ? Number(text) : Number((Number(text) * scale).toPrecision(12));
  if (type === 'auto') return text;
  return text === '' ? null : undefined;
}

function conditionsOf(rows: readonly Row[]): ExpectedCondition[] {
  return rows.flatMap(({ timestamp, item, condition }) => {
    if (condition === undefined) return [];
    const [level = '', code = '', severity = '', qualifier = '', text = ''] = condition;
    return [{ timestamp, item, level, native_code: code, native_severity: severity, qualifier, text }];
  });
}

function programsOf(rows: readonly Row[], sensor: WrittenSensor): { timestamp: string; text: string }[] {
  const named = rows.filter(({ item, text }) => item === sensor.program && !/^unavailable$/i.test(text));
  return named
    .filter(({ text }, index) => text !== named[index - 1]?.text)
    .map(({ timestamp, text }) => ({ timestamp, text }));
}

/** The table of the field guide, line by line; the rows of one stamp and line are taken together by the caller's rule. */
function statesOf(rows: readonly Row[], { state: roles = {} }: WrittenSensor): ExpectedState[] {
  const newest = new Map<string, string>();
  const faults = new Set<string>();
  const states: ExpectedState[] = [];
  const word = (role: string): string | undefined => {
    const item = roles[role];
    return item === undefined ? undefined : newest.get(item)?.toUpperCase();
  };
  const decide = (): string | undefined => {
    if (word('availability') === 'UNAVAILABLE') return 'offline';
    if (word('emergency_stop') === 'TRIGGERED' || faults.size > 0) return 'alarm';
    if (/^(SETUP|TEARDOWN|MAINTENANCE)$/.test(word('functional_mode') ?? '')) return 'setup';
    const execution = word('execution') ?? '';
    if (execution === 'ACTIVE') return 'running';
    if (/^(READY|STOPPED|WAIT|OPTIONAL_STOP|PROGRAM_(STOPPED|COMPLETED|OPTIONAL_STOP))$/.test(execution)) return 'idle';
    if (/^(FEED_HOLD|INTERRUPTED)$/.test(execution)) return 'hold';
    if (execution === 'UNAVAILABLE') return 'offline';
    const before = states.at(-1)?.state;
    return before === 'alarm' || before === 'setup' ? 'idle' : undefined;
  };
  for (const { timestamp, item, text, condition } of rows) {
    if (condition !== undefined) {
      const [level, code = ''] = condition;
      if (level === 'unavailable' || (level === 'normal' && code === '')) {
        for (const fault of faults) if (fault.startsWith(`${item}\n`)) faults.delete(fault);
      } else if (level === 'fault') faults.add(`${item}\n${code}`);
      else faults.delete(`${item}\n${code}`);
    } else if (Object.values(roles).includes(item)) newest.set(item, text);
    else continue;
    const state = decide();
    const previous = states.at(-1)?.state;
    if (state !== undefined && state !== previous) states.push({ timestamp, state, previous_state: previous });
  }
  return states;
}
