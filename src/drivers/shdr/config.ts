/** The `shdr` driver's part of a sensor in the configuration: from what a person writes to {@link ShdrOptions}. */
import { z } from 'zod';
import { duration, port } from '../../base/config.ts';
import { isSignalKey, NAME_LENGTH_MAX } from '../../model/reading.ts';
import { SIGNAL_NAMES, signalNamed } from '../../model/signals.ts';
import type { FieldSettings, ItemSettings, ShdrOptions } from './options.ts';
import type { ItemKind } from './parse.ts';

const MAPPABLE = SIGNAL_NAMES.filter((name) => name !== 'machine_state');

const itemName = z
  .string()
  .min(1)
  .max(NAME_LENGTH_MAX)
  .refine((name) => !/[|\r\n\0]/.test(name) && name !== '__proto__', 'is no name of a data item');

const extraName = z
  .string()
  .min(1)
  .max(NAME_LENGTH_MAX)
  .refine((name) => isSignalKey(name) && signalNamed(name) === undefined && name !== '__proto__', {
    message: 'is a name of your own: standard signals go under "signal", and the keys of a reading are taken',
  });

const signalName = z.enum(MAPPABLE as [string, ...string[]], {
  error: `is one of the signals ${MAPPABLE.join(', ')}; for a name of your own write {extra: name}`,
});

const itemSchema = z
  .strictObject({
    signal: signalName.optional().describe('Standard signal that the item fills.'),
    extra: extraName.optional().describe('Name of your own under which the value is kept.'),
    axes: z
      .array(z.union([signalName, extraName]))
      .length(3)
      .optional()
      .describe('Three signals that a three-space value ("1 2 3") fills.'),
    index: z.int().min(0).max(2).optional().describe('Which of the three values is meant.'),
    type: z.enum(['number', 'text', 'data_set']).optional().describe('Type of an extra; left out: by its looks.'),
    scale: z.number().optional().describe('The value is multiplied by this …'),
    offset: z.number().optional().describe('… and this is added.'),
    condition: z.literal(true).optional().describe('The item is a condition: six fields.'),
    message: z.literal(true).optional().describe('The item is a message: three fields.'),
    time_series: z.literal(true).optional().describe('The item is a time series: four fields; kept under `extra`.'),
  })
  .superRefine((item, context) => {
    const targets = [item.signal, item.extra, item.axes, item.condition, item.message].filter(
      (one) => one !== undefined,
    );
    if (targets.length !== 1) {
      context.addIssue({
        code: 'custom',
        message: 'has exactly one of signal, extra, axes, condition: true, message: true',
      });
    }
    if (item.time_series === true && item.extra === undefined) {
      context.addIssue({ code: 'custom', path: ['time_series'], message: 'goes with extra' });
    }
    if (item.type !== undefined && item.extra === undefined) {
      context.addIssue({ code: 'custom', path: ['type'], message: 'goes with extra: a signal has its own type' });
    }
    if (item.index !== undefined && item.axes !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['index'],
        message: 'goes with signal or extra: axes take all three values',
      });
    }
  });

/** What is wrong with the form that was meant: text is a signal's name, all else an object. */
function itemFault(issue: { readonly input?: unknown; readonly errors?: unknown }): string {
  const { error } =
    typeof issue.input === 'string' ? signalName.safeParse(issue.input) : itemSchema.safeParse(issue.input);
  return (error?.issues ?? []).map(({ path, message }) => [...path, message].join(' ')).join('; ');
}

type WrittenItem = string | z.output<typeof itemSchema>;

const stateSchema = z.strictObject({
  execution: itemName.optional().describe('Item of type EXECUTION.'),
  controller_mode: itemName.optional().describe('Item of type CONTROLLER_MODE; kept as extra `controller_mode`.'),
  emergency_stop: itemName.optional().describe('Item of type EMERGENCY_STOP.'),
  functional_mode: itemName.optional().describe('Item of type FUNCTIONAL_MODE.'),
  availability: itemName.optional().describe('Item of type AVAILABILITY.'),
});

const written = z
  .strictObject({
    host: z.string().min(1).describe('Name or address of the adapter.'),
    port: port().prefault(7878).describe("The adapter's TCP port."),
    device: itemName.optional().describe('With `device:item` keys: the device whose items are wanted. Left out: all.'),
    map: z
      .record(itemName, z.union([signalName, itemSchema], { error: itemFault }))
      .default({})
      .describe('Item name → signal, or more of it.'),
    state: stateSchema.default({}).describe("Items that decide the machine's state."),
    program: itemName.optional().describe("Item with the active program's name; kept as extra `program`."),
    conditions: z
      .union([z.literal('all'), z.array(itemName)], { error: 'is all, or a list of item names' })
      .default('all')
      .describe('Conditions that become events and decide the alarm state.'),
    extra: z
      .union([z.literal('all'), z.array(itemName)], { error: 'is all, or a list of item names' })
      .default([])
      .describe('Further items that are kept under their own names.'),
    heartbeat: duration({ minMs: 100, maxMs: 600_000 })
      .prefault('10s')
      .describe('Time between pings, where the adapter does not say it.'),
    connect_timeout: duration({ minMs: 100, maxMs: 600_000 })
      .prefault('10s')
      .describe('Longest wait for the connection.'),
    assume_zone: z
      .string()
      .regex(/^(UTC|Z|[+-]\d\d:\d\d)$/, 'is UTC or an offset such as +02:00')
      .default('UTC')
      .describe('Zone of timestamps that name none.'),
  })
  .superRefine((options, context) => {
    for (const fault of fieldFaults(options)) context.addIssue({ code: 'custom', ...fault });
  });

type Written = z.output<typeof written>;

/** Output: {@link ShdrOptions}. */
export const schema: z.ZodType<ShdrOptions, unknown> = written.transform(
  (options): ShdrOptions => ({
    host: options.host,
    port: options.port,
    device: options.device ?? null,
    items: itemsOf(options),
    state: {
      execution: options.state.execution ?? null,
      controller_mode: options.state.controller_mode ?? null,
      emergency_stop: options.state.emergency_stop ?? null,
      functional_mode: options.state.functional_mode ?? null,
      availability: options.state.availability ?? null,
    },
    program: options.program ?? null,
    conditions: options.conditions,
    takeAll: options.extra === 'all',
    heartbeatMs: options.heartbeat,
    connectTimeoutMs: options.connect_timeout,
    assumeZone: /^(UTC|Z)$/.test(options.assume_zone) ? 'Z' : options.assume_zone,
  }),
);

function itemsOf(options: Written): { [item: string]: ItemSettings } {
  const items: { [item: string]: ItemSettings } = {};
  const add = (item: string, settings: ItemSettings): void => {
    items[item] = { kind: settings.kind, fields: [...(items[item]?.fields ?? []), ...settings.fields] };
  };
  for (const [item, entry] of Object.entries(options.map)) add(item, settingsOf(entry));
  for (const item of options.extra === 'all' ? [] : options.extra) {
    add(item, { kind: 'value', fields: [fieldOf(item, 'auto')] });
  }
  // Items that only decide the state stand in the table too, so that they are known on a line.
  for (const item of Object.values(options.state)) if (item !== undefined) add(item, { kind: 'value', fields: [] });
  for (const [item, { kind, fields }] of options.extra === 'all' ? Object.entries(items) : []) {
    if (kind === 'value' && fields.length === 0) add(item, { kind, fields: [fieldOf(item)] });
  }
  const { controller_mode: mode } = options.state;
  if (mode !== undefined) add(mode, { kind: 'value', fields: [fieldOf('controller_mode', 'text')] });
  if (options.program !== undefined) add(options.program, { kind: 'value', fields: [fieldOf('program', 'text')] });
  if (options.conditions !== 'all') for (const item of options.conditions) add(item, { kind: 'condition', fields: [] });
  return items;
}

function settingsOf(entry: WrittenItem): ItemSettings {
  if (typeof entry === 'string') return { kind: 'value', fields: [fieldOf(entry)] };
  if (entry.condition === true) return { kind: 'condition', fields: [] };
  if (entry.message === true) return { kind: 'message', fields: [] };
  const scaling = { scale: entry.scale ?? 1, offset: entry.offset ?? 0 };
  if (entry.axes !== undefined) {
    return {
      kind: 'value',
      fields: entry.axes.map((name, index) => ({ ...fieldOf(name, 'number'), ...scaling, index })),
    };
  }
  const field = fieldOf(entry.signal ?? entry.extra ?? '', entry.type ?? 'auto');
  const fields = [{ ...field, ...scaling, index: entry.index ?? null }];
  return { kind: entry.time_series === true ? 'time_series' : 'value', fields };
}

/** A standard signal has its own type. */
function fieldOf(name: string, type: FieldSettings['type'] = 'auto'): FieldSettings {
  return { name, type: signalNamed(name)?.type ?? type, scale: 1, offset: 0, index: null };
}

interface Fault {
  readonly path: string[];
  readonly message: string;
}

/** Two items that fill the same key would overwrite each other; an item of two kinds has no length. */
function fieldFaults(options: Written): Fault[] {
  const faults: Fault[] = [];
  const owners = new Map<string, string>();
  for (const [item, { fields }] of Object.entries(itemsOf(options))) {
    for (const { name } of fields) {
      const owner = owners.get(name);
      const message = owner === item ? `fills ${name} twice` : `fills ${name}, as ${owner} does`;
      if (owner !== undefined) faults.push({ path: ['map', item], message });
      owners.set(name, item);
    }
  }
  const kinds = new Map(Object.entries(options.map).map(([item, entry]) => [item, settingsOf(entry).kind]));
  const mustBe = (kind: ItemKind, items: readonly (string | undefined)[]): void => {
    for (const item of items) {
      const mapped = kinds.get(item ?? '');
      if (item === undefined || mapped === undefined || mapped === kind) continue;
      faults.push({ path: ['map', item], message: `is a ${mapped} and cannot be a ${kind} as well` });
    }
  };
  if (options.conditions !== 'all') mustBe('condition', options.conditions);
  mustBe('value', [
    ...Object.values(options.state),
    options.program,
    ...(options.extra === 'all' ? [] : options.extra),
  ]);
  for (const item of options.extra === 'all' ? [] : options.extra) {
    const { success } = extraName.safeParse(item);
    if (!success) faults.push({ path: ['extra'], message: `${item} is a key with a meaning: map it as {extra: name}` });
  }
  return faults;
}
