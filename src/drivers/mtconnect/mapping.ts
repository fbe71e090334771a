/** Which data item of a device becomes which field: as configured, or by the items' types. Pure. */
import { STATE_ROLES, type StateRole } from '../../model/mtconnect/state.ts';
import { type FieldSettings, storableText } from '../../model/mtconnect/values.ts';
import { isSignalKey, NAME_LENGTH_MAX } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';
import type { DataItem, Device } from './document.ts';
import type { MtconnectOptions } from './options.ts';

/** What becomes of the observations of one data item. */
export interface ItemPlan {
  readonly item: DataItem;
  /** As it is told in events: its name, or its id where it has none or shares it with another. */
  readonly name: string;
  readonly fields: readonly FieldSettings[];
  readonly roles: readonly StateRole[];
  readonly isProgram: boolean;
}

export interface Mapping {
  /** By the data item's id. */
  readonly plans: ReadonlyMap<string, ItemPlan>;
  /** Items that are configured and that the device has not. */
  readonly missing: readonly string[];
  readonly hasExecution: boolean;
}

type MappingOptions = Pick<MtconnectOptions, 'map' | 'extra' | 'state' | 'program' | 'conditions'>;

/** Assets are no readings: what tells of them is passed over. */
const IS_OF_ASSETS = /^ASSET_/;

export function mappingOf(device: Device, options: MappingOptions): Mapping {
  const items = device.dataItems.filter(({ type }) => !IS_OF_ASSETS.test(type));
  const missing: string[] = [];
  const find = (name: string): DataItem | undefined => {
    const found = itemNamed(items, name);
    if (found === undefined) missing.push(name);
    return found;
  };
  const fields = new Map<string, FieldSettings[]>();
  const add = (item: DataItem | undefined, more: readonly FieldSettings[]): void => {
    if (item !== undefined) fields.set(item.id, [...(fields.get(item.id) ?? []), ...more]);
  };
  if (options.map === null) for (const { item, fields } of suggestedMap(device)) add(item, fields);
  else for (const [name, own] of Object.entries(options.map)) add(find(name), own);
  if (options.extra !== 'all') for (const name of options.extra) add(find(name), [ownField(name)]);
  const roles = rolesOf(items, options, find);
  const program = options.program === null ? firstOf(items, 'PROGRAM') : find(options.program);
  add(program, [{ ...ownField('program'), type: 'text' }]);
  add(roles.controller_mode, [{ ...ownField('controller_mode'), type: 'text' }]);
  const conditions = options.conditions === 'all' ? null : new Set(options.conditions.map((name) => find(name)?.id));
  const plans = new Map<string, ItemPlan>();
  const named = Map.groupBy(items, ({ name }) => name);
  const taken = new Set([...fields.values()].flat().map(({ name }) => name));
  for (const item of items) {
    const isOnly = item.name !== '' && named.get(item.name)?.length === 1;
    const name = storableText(isOnly ? item.name : item.id);
    const own =
      fields.get(item.id) ?? (options.extra === 'all' && isValue(item) ? [ownField(freeName(name, taken))] : []);
    const itemRoles = STATE_ROLES.filter((role) => roles[role]?.id === item.id);
    const isProgram = program?.id === item.id;
    const isEvent = item.category === 'condition' ? (conditions?.has(item.id) ?? true) : item.type === 'MESSAGE';
    if (own.length === 0 && itemRoles.length === 0 && !isProgram && !isEvent) continue;
    plans.set(item.id, {
      item,
      name,
      fields: own.map((field) => inUnitsOfSignal(field, item)),
      roles: itemRoles,
      isProgram,
    });
  }
  return { plans, missing, hasExecution: roles.execution !== undefined };
}

export function itemNamed(items: readonly DataItem[], name: string): DataItem | undefined {
  return items.find(({ id }) => id === name) ?? items.find((item) => item.name === name && name !== '');
}

const ROLE_TYPES: { readonly [role in StateRole]: string } = {
  execution: 'EXECUTION',
  controller_mode: 'CONTROLLER_MODE',
  emergency_stop: 'EMERGENCY_STOP',
  functional_mode: 'FUNCTIONAL_MODE',
  availability: 'AVAILABILITY',
};

type RoleItems = { readonly [role in StateRole]: DataItem | undefined };

function rolesOf(
  items: readonly DataItem[],
  { state }: MappingOptions,
  find: (name: string) => DataItem | undefined,
): RoleItems {
  const itemOf = (role: StateRole): DataItem | undefined => {
    const name = state[role];
    return name === null ? firstOf(items, ROLE_TYPES[role]) : find(name);
  };
  return {
    execution: itemOf('execution'),
    controller_mode: itemOf('controller_mode'),
    emergency_stop: itemOf('emergency_stop'),
    functional_mode: itemOf('functional_mode'),
    availability: itemOf('availability'),
  };
}

function firstOf(items: readonly DataItem[], type: string): DataItem | undefined {
  const ofType = items.filter((item) => item.type === type && item.category === 'event');
  return ofType.find(({ subType }) => subType === '' || subType === 'ACTIVE') ?? ofType[0];
}

function isValue({ category, type }: DataItem): boolean {
  return category !== 'condition' && type !== 'MESSAGE';
}

function ownField(name: string): FieldSettings {
  return { name, type: signalNamed(name)?.type ?? 'auto', scale: 1, offset: 0, index: null };
}

/** A data item may have no name at all, or that of a reading's key or of another item. */
function freeName(name: string, taken: Set<string>): string {
  const isFree =
    name !== '' && isSignalKey(name) && signalNamed(name) === undefined && name !== '__proto__' && !taken.has(name);
  const free = (isFree ? name : `item_${name}`).slice(0, NAME_LENGTH_MAX).toWellFormed();
  taken.add(free);
  return free;
}

/** What a value in the agent's unit is multiplied by for a signal in that unit. */
const SCALES: { readonly [unit: string]: { readonly [agentUnit: string]: number | undefined } | undefined } = {
  'mm/min': { 'MILLIMETER/SECOND': 60 },
  kW: { WATT: 0.001 },
  rpm: { 'REVOLUTION/SECOND': 60 },
};

/** The agent's units are the standard's, so a signal that is given no scale has that of its own unit. */
function inUnitsOfSignal(field: FieldSettings, { units }: DataItem): FieldSettings {
  if (field.scale !== 1 || field.offset !== 0) return field;
  return { ...field, scale: SCALES[signalNamed(field.name)?.unit ?? '']?.[units] ?? 1 };
}

export interface Suggestion {
  readonly item: DataItem;
  readonly fields: readonly FieldSettings[];
}

/** The first rule that fits an item fills the signal; one that is `alone` fits only where the device has one such item. */
const SIGNAL_RULES: readonly {
  readonly signal: string;
  readonly types: readonly string[];
  readonly units?: RegExp;
  readonly component?: RegExp;
  readonly componentName?: RegExp;
  /** Of the component whose item fills that signal already. */
  readonly besides?: string;
  readonly alone?: boolean;
}[] = [
  { signal: 'spindle_speed', types: ['ROTARY_VELOCITY', 'SPINDLE_SPEED'], units: /^REVOLUTION/ },
  { signal: 'x_pos_mm', types: ['POSITION'], units: /^MILLIMETER$/, component: /^Linear$/, componentName: /^X/i },
  { signal: 'y_pos_mm', types: ['POSITION'], units: /^MILLIMETER$/, component: /^Linear$/, componentName: /^Y/i },
  { signal: 'z_pos_mm', types: ['POSITION'], units: /^MILLIMETER$/, component: /^Linear$/, componentName: /^Z/i },
  { signal: 'feed_rate_actual', types: ['PATH_FEEDRATE'], units: /^MILLIMETER\/(SECOND|MINUTE)$/ },
  { signal: 'spindle_load_percent', types: ['LOAD'], units: /^PERCENT$/, besides: 'spindle_speed' },
  { signal: 'active_program_line', types: ['LINE_NUMBER'] },
  { signal: 'active_program_line', types: ['LINE'] },
  { signal: 'temperature', types: ['TEMPERATURE'], units: /^CELSIUS$/, alone: true },
  { signal: 'total_power_kw', types: ['WATTAGE', 'ELECTRICAL_POWER'], units: /^WATT$/, alone: true },
];

/** Kept under the type's name in small letters. */
const EXTRA_TYPES: readonly string[] = [
  'PART_COUNT',
  'TOOL_NUMBER',
  'BLOCK',
  'PATH_FEEDRATE_OVERRIDE',
  'ROTARY_VELOCITY_OVERRIDE',
];

const AXES = ['x_pos_mm', 'y_pos_mm', 'z_pos_mm'] as const;
/** Not what the machine does, but what it is to do. */
const IS_WANTED = /^(COMMANDED|PROGRAMMED|TARGET|JOG|RAPID|MAXIMUM|MINIMUM|OVERRIDE|INCREMENTAL)$/;

function isBesides(item: DataItem, other: DataItem): boolean {
  return item.component === other.component && item.componentName === other.componentName;
}

/** The map that the types of a device's data items suggest. */
export function suggestedMap({ dataItems }: Device): Suggestion[] {
  const suggestions = new Map<string, Suggestion>();
  const filled = new Set<string>();
  const add = (item: DataItem, fields: readonly FieldSettings[]): void => {
    suggestions.set(item.id, { item, fields: [...(suggestions.get(item.id)?.fields ?? []), ...fields] });
    for (const { name } of fields) filled.add(name);
  };
  const scalars = dataItems.filter(
    ({ subType, representation }) => !IS_WANTED.test(subType) && /^(VALUE)?$/.test(representation),
  );
  for (const { signal, types, units, component, componentName, besides, alone } of SIGNAL_RULES) {
    if (filled.has(signal)) continue;
    const neighbour = [...suggestions.values()].find(({ fields }) => fields.some(({ name }) => name === besides));
    if (besides !== undefined && neighbour === undefined) continue;
    const fits = scalars.filter(
      (item) =>
        item.category !== 'condition' &&
        types.includes(item.type) &&
        (units?.test(item.units) ?? true) &&
        (component?.test(item.component) ?? true) &&
        (componentName?.test(item.componentName) ?? true) &&
        (neighbour === undefined || isBesides(item, neighbour.item)),
    );
    const best = fits.find(({ subType }) => subType === 'ACTUAL') ?? fits[0];
    if (best !== undefined && (alone !== true || fits.length === 1)) add(best, [ownField(signal)]);
  }
  const path = scalars.find(({ type, units }) => type === 'PATH_POSITION' && units === 'MILLIMETER_3D');
  if (path !== undefined && !AXES.some((axis) => filled.has(axis))) {
    add(
      path,
      AXES.map((name, index) => ({ ...ownField(name), index })),
    );
  }
  for (const type of EXTRA_TYPES) {
    const fits = scalars.filter((item) => item.type === type);
    const best = fits.find(({ subType }) => subType === '' || subType === 'ALL') ?? fits[0];
    if (best !== undefined) add(best, [ownField(type.toLowerCase())]);
  }
  return [...suggestions.values()];
}
