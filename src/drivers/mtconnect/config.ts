/** The `mtconnect` driver's part of a sensor in the configuration: from what a person writes to {@link MtconnectOptions}. */
import { z } from 'zod';
import { choice, duration, integer } from '../../base/config.ts';
import { httpKeys, tlsFilesOf } from '../../base/http-config.ts';
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
import type { FieldSettings } from '../../model/mtconnect/values.ts';
import type { MtconnectOptions } from './options.ts';

const itemSchema = z.strictObject(valueItemKeys).superRefine((item, context) => {
  const targets = [item.signal, item.extra, item.axes].filter((one) => one !== undefined);
  if (targets.length !== 1) context.addIssue({ code: 'custom', message: 'has exactly one of signal, extra, axes' });
  for (const fault of valueItemFaults(item)) context.addIssue({ code: 'custom', ...fault });
});

const written = z
  .strictObject({
    ...httpKeys,
    url: httpKeys.url.describe('Address of the agent, such as http://192.168.10.5:5000'),
    timeout: duration({ minMs: 100, maxMs: 600_000 })
      .prefault('10s')
      .describe('How long the agent may take to answer; a stream is judged by its heartbeat'),
    device: itemName.optional().describe('Name or uuid of the device that is wanted. Left out: the only one.'),
    map: z
      .record(itemName, z.union([signalName, itemSchema], { error: (issue) => itemFault(issue, itemSchema) }))
      .optional()
      .describe('Id or name of a data item → signal, or more of it. Left out: by the types of the items.'),
    extra: z
      .union([z.literal('all'), z.array(itemName)], { error: 'is all, or a list of item names' })
      .default([])
      .describe('Further items that are kept under their own names.'),
    state: stateSchema.default({}).describe("Items that decide the machine's state. Left out: the first of each type."),
    program: itemName
      .optional()
      .describe("Item with the active program's name; kept as extra `program`. Left out: the first of type PROGRAM."),
    conditions: z
      .union([z.literal('all'), z.array(itemName)], { error: 'is all, or a list of item names' })
      .default('all')
      .describe('Conditions that become events and decide the alarm state.'),
    interval: duration({ minMs: 0, maxMs: 60_000 })
      .prefault('100ms')
      .describe('Least time between two documents of the stream'),
    heartbeat: duration({ minMs: 100, maxMs: 600_000 })
      .prefault('10s')
      .describe('With nothing new the agent still says so after this; it is given up after twice as long'),
    count: integer({ min: 1, max: 100_000 }).prefault(1_000).describe('Observations in a document at most'),
    begin: choice(['current', 'oldest'])
      .prefault('current')
      .describe("Where a new source begins: what holds now, or the oldest in the agent's buffer"),
  })
  .superRefine((options, context) => {
    for (const fault of faultsOf(options)) context.addIssue({ code: 'custom', ...fault });
  });

type Written = z.output<typeof written>;

/** Output: {@link MtconnectOptions}. */
export const schema: z.ZodType<MtconnectOptions, unknown> = written.transform(
  (options): MtconnectOptions => ({
    url: options.url.replace(/\/+$/, ''),
    token: options.token ?? null,
    tls: tlsFilesOf(options),
    device: options.device ?? null,
    map: mapOf(options),
    extra: options.extra,
    state: {
      execution: options.state.execution ?? null,
      controller_mode: options.state.controller_mode ?? null,
      emergency_stop: options.state.emergency_stop ?? null,
      functional_mode: options.state.functional_mode ?? null,
      availability: options.state.availability ?? null,
    },
    program: options.program ?? null,
    conditions: options.conditions,
    intervalMs: options.interval,
    heartbeatMs: options.heartbeat,
    count: options.count,
    begin: options.begin,
    timeoutMs: options.timeout,
  }),
);

function mapOf({ map }: Written): { [item: string]: FieldSettings[] } | null {
  if (map === undefined) return null;
  return Object.fromEntries(Object.entries(map).map(([item, entry]) => [item, fieldsOf(entry)]));
}

function faultsOf(options: Written): ItemFault[] {
  const extras = options.extra === 'all' ? [] : options.extra;
  const own = extras.map((item): [string, FieldSettings[]] => [item, [fieldOf(item)]]);
  const given = Object.entries(mapOf(options) ?? {});
  // The driver fills these itself, from the items of those roles.
  const kept = ['program', 'controller_mode'].map((name): [string, FieldSettings[]] => [
    `the item that says the ${name}`,
    [fieldOf(name)],
  ]);
  return [...repeatedFields([...kept, ...given, ...own]), ...ownNameFaults(extras)];
}
