/** How a configuration says what becomes of data items: the same for every driver that speaks MTConnect's words. */
import { z } from 'zod';
import type { FieldSettings } from '../model/mtconnect/values.ts';
import { isSignalKey, NAME_LENGTH_MAX } from '../model/reading.ts';
import { SIGNAL_NAMES, signalNamed } from '../model/signals.ts';

const MAPPABLE = SIGNAL_NAMES.filter((name) => name !== 'machine_state');

export const itemName: z.ZodString = z
  .string()
  .min(1)
  .max(NAME_LENGTH_MAX)
  .refine((name) => !/[|\r\n\0]/.test(name) && name !== '__proto__', 'is no name of a data item');

export const extraName: z.ZodString = z
  .string()
  .min(1)
  .max(NAME_LENGTH_MAX)
  .refine((name) => isSignalKey(name) && signalNamed(name) === undefined && name !== '__proto__', {
    message: 'is a name of your own: standard signals go under "signal", and the keys of a reading are taken',
  });

type SignalName = z.ZodEnum<{ [name: string]: string }>;

export const signalName: SignalName = z.enum(MAPPABLE as [string, ...string[]], {
  error: `is one of the signals ${MAPPABLE.join(', ')}; for a name of your own write {extra: name}`,
});

/** Of an item that fills fields; to be spread into an object. */
export const valueItemKeys: {
  readonly signal: z.ZodOptional<SignalName>;
  readonly extra: z.ZodOptional<z.ZodString>;
  readonly axes: z.ZodOptional<z.ZodArray<z.ZodUnion<readonly [SignalName, z.ZodString]>>>;
  readonly index: z.ZodOptional<z.ZodInt>;
  readonly type: z.ZodOptional<z.ZodEnum<{ number: 'number'; text: 'text'; data_set: 'data_set' }>>;
  readonly scale: z.ZodOptional<z.ZodNumber>;
  readonly offset: z.ZodOptional<z.ZodNumber>;
} = {
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
};

/** An item as written with {@link valueItemKeys}. */
export interface WrittenValueItem {
  readonly signal?: string | undefined;
  readonly extra?: string | undefined;
  readonly axes?: readonly string[] | undefined;
  readonly index?: number | undefined;
  readonly type?: 'number' | 'text' | 'data_set' | undefined;
  readonly scale?: number | undefined;
  readonly offset?: number | undefined;
}

export interface ItemFault {
  readonly path: string[];
  readonly message: string;
}

/** Keys of an item that do not go together. */
export function valueItemFaults(item: WrittenValueItem): ItemFault[] {
  const faults: ItemFault[] = [];
  if (item.type !== undefined && item.extra === undefined) {
    faults.push({ path: ['type'], message: 'goes with extra: a signal has its own type' });
  }
  if (item.index !== undefined && item.axes !== undefined) {
    faults.push({ path: ['index'], message: 'goes with signal or extra: axes take all three values' });
  }
  return faults;
}

/** What is wrong with the form that was meant: text is a signal's name, all else an object. */
export function itemFault(
  issue: { readonly input?: unknown; readonly errors?: unknown },
  objectSchema: z.ZodType,
): string {
  const { error } = (typeof issue.input === 'string' ? signalName : objectSchema).safeParse(issue.input);
  return (error?.issues ?? []).map(({ path, message }) => [...path, message].join(' ')).join('; ');
}

type OptionalItem = z.ZodOptional<z.ZodString>;

/** The items that decide the machine's state. */
export const stateSchema: z.ZodObject<
  {
    execution: OptionalItem;
    controller_mode: OptionalItem;
    emergency_stop: OptionalItem;
    functional_mode: OptionalItem;
    availability: OptionalItem;
  },
  z.core.$strict
> = z.strictObject({
  execution: itemName.optional().describe('Item of type EXECUTION.'),
  controller_mode: itemName.optional().describe('Item of type CONTROLLER_MODE; kept as extra `controller_mode`.'),
  emergency_stop: itemName.optional().describe('Item of type EMERGENCY_STOP.'),
  functional_mode: itemName.optional().describe('Item of type FUNCTIONAL_MODE.'),
  availability: itemName.optional().describe('Item of type AVAILABILITY.'),
});

/** The fields that an item fills. */
export function fieldsOf(entry: string | WrittenValueItem): FieldSettings[] {
  if (typeof entry === 'string') return [fieldOf(entry)];
  const scaling = { scale: entry.scale ?? 1, offset: entry.offset ?? 0 };
  if (entry.axes !== undefined) {
    return entry.axes.map((name, index) => ({ ...fieldOf(name, 'number'), ...scaling, index }));
  }
  const field = fieldOf(entry.signal ?? entry.extra ?? '', entry.type ?? 'auto');
  return [{ ...field, ...scaling, index: entry.index ?? null }];
}

/** A standard signal has its own type. */
export function fieldOf(name: string, type: FieldSettings['type'] = 'auto'): FieldSettings {
  return { name, type: signalNamed(name)?.type ?? type, scale: 1, offset: 0, index: null };
}

/** Two items that fill the same key would overwrite each other. */
export function repeatedFields(items: Iterable<readonly [string, readonly FieldSettings[]]>): ItemFault[] {
  const faults: ItemFault[] = [];
  const owners = new Map<string, string>();
  for (const [item, fields] of items) {
    for (const { name } of fields) {
      const owner = owners.get(name);
      const message = owner === item ? `fills ${name} twice` : `fills ${name}, as ${owner} does`;
      if (owner !== undefined) faults.push({ path: ['map', item], message });
      owners.set(name, item);
    }
  }
  return faults;
}

/** An item's own name as the key of its value is not always one that a reading may have. */
export function ownNameFaults(items: readonly string[]): ItemFault[] {
  return items
    .filter((item) => !extraName.safeParse(item).success)
    .map((item) => ({ path: ['extra'], message: `${item} is a key with a meaning: map it as {extra: name}` }));
}
