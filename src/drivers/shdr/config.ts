/** The `shdr` driver's part of a sensor in the configuration: from what a person writes to {@link ShdrOptions}. */
import { z } from 'zod';
import { duration, port } from '../../base/config.ts';
import {
  fieldOf,
  fieldsOf,
  type ItemFault,
  itemFault,
  itemName,
  ownNameFaults,
  repeatedFields,
  signalName,
  stateSchema,
  valueItemFaults,
  valueItemKeys,
} from '../../base/mtconnect-config.ts';
import type { ItemSettings, ShdrOptions } from './options.ts';
import type { ItemKind } from './parse.ts';

const itemSchema = z
  .strictObject({
    ...valueItemKeys,
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
    for (const fault of valueItemFaults(item)) context.addIssue({ code: 'custom', ...fault });
  });

type WrittenItem = string | z.output<typeof itemSchema>;

const written = z
  .strictObject({
    host: z.string().min(1).describe('Name or address of the adapter.'),
    port: port().prefault(7878).describe("The adapter's TCP port."),
    device: itemName.optional().describe('With `device:item` keys: the device whose items are wanted. Left out: all.'),
    map: z
      .record(itemName, z.union([signalName, itemSchema], { error: (issue) => itemFault(issue, itemSchema) }))
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
  return { kind: entry.time_series === true ? 'time_series' : 'value', fields: fieldsOf(entry) };
}

/** Two items that fill the same key would overwrite each other; an item of two kinds has no length. */
function fieldFaults(options: Written): ItemFault[] {
  const items = Object.entries(itemsOf(options)).map(([item, { fields }]) => [item, fields] as const);
  const faults = repeatedFields(items);
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
  return [...faults, ...ownNameFaults(options.extra === 'all' ? [] : options.extra)];
}
