/** What an agent has, for a person, and a configuration that reads it, ready to be pasted. Pure. */
import { STATE_ROLES } from '../../model/mtconnect/state.ts';
import type { FieldSettings } from '../../model/mtconnect/values.ts';
import { signalNamed } from '../../model/signals.ts';
import type { DevicesDocument, StreamsDocument } from './agent.ts';
import type { DataItem, Device, Observation } from './document.ts';
import { itemNamed, mappingOf, suggestedMap } from './mapping.ts';

/** Of what an item says now. */
const VALUE_CHARS_MAX = 40;
const COLUMNS = ['id', 'name', 'component', 'category', 'type', 'sub-type', 'unit', 'now'] as const;

export interface Probed {
  readonly url: string;
  readonly probe: DevicesDocument;
  readonly current: StreamsDocument;
}

/** Devices and data items with what they say now, and a configuration. `device`: name or uuid; null for all. */
export function describeAgent({ url, probe, current }: Probed, device: string | null): string {
  const { header } = current;
  const isNew = header.lastSequence < header.firstSequence;
  const kept = isNew ? 'no observations' : `observations ${header.firstSequence} to ${header.lastSequence}`;
  const version = header.version === '' ? '' : `, version ${header.version}`;
  // Joined part by part: a device may have more items than a call may have arguments.
  const parts = [[`${url}: instance ${header.instanceId}${version}, ${kept}`, '']];
  const devices = probe.devices.filter(({ name, uuid }) => device === null || name === device || uuid === device);
  for (const one of devices) {
    const own = current.observations.filter(({ deviceName, deviceUuid }) =>
      one.uuid === '' ? deviceName === one.name : deviceUuid === one.uuid,
    );
    const kind = one.isAgent ? "the agent's own device" : 'device';
    parts.push([`${kind} ${one.name}${one.uuid === '' ? '' : ` (${one.uuid})`}`], table(one.dataItems, own), ['']);
  }
  const machines = devices.filter(({ isAgent }) => !isAgent);
  if (machines.length > 0) parts.push(configurationOf(machines, { url, isAlone: isAlone(probe) }), ['']);
  return parts.flat().join('\n');
}

/** YAML that reads these devices. */
export function configurationOf(
  devices: readonly Device[],
  { url, isAlone }: { readonly url: string; readonly isAlone: boolean },
): string[] {
  return ['sensors:', ...devices.flatMap((device) => sensorOf(device, { url, isAlone }))];
}

export function isAlone({ devices }: DevicesDocument): boolean {
  return devices.filter(({ isAgent }) => !isAgent).length === 1;
}

function table(items: readonly DataItem[], observations: readonly Observation[]): string[] {
  const now = Map.groupBy(observations, ({ dataItemId }) => dataItemId);
  const rows = items.map((item) => [
    item.id,
    item.name,
    item.componentName === '' ? item.component : `${item.component} ${item.componentName}`,
    item.category,
    item.type,
    item.subType,
    item.units,
    (now.get(item.id) ?? []).map(valueText).join(', '),
  ]);
  const all = [[...COLUMNS], ...rows];
  const widthOf = (column: number): number => all.reduce((most, row) => Math.max(most, row[column]?.length ?? 0), 0);
  const widths = COLUMNS.map((_, column) => widthOf(column));
  return all.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
}

function valueText({ category, element, text, entries, attributes }: Observation): string {
  const condition = category === 'condition' ? [element, attributes['nativeCode'] ?? ''] : [];
  const value = entries === undefined ? text : JSON.stringify(entries);
  const whole = [...condition, value]
    .filter((part) => part !== '')
    .join(' ')
    .replaceAll(/\s+/g, ' ');
  return whole.length > VALUE_CHARS_MAX ? `${whole.slice(0, VALUE_CHARS_MAX - 1).toWellFormed()}…` : whole;
}

function sensorOf(device: Device, { url, isAlone }: { readonly url: string; readonly isAlone: boolean }): string[] {
  const suggestions = suggestedMap(device);
  const keyOf = (item: DataItem): string => {
    return itemNamed(device.dataItems, item.name)?.id === item.id ? item.name : item.id;
  };
  const map = suggestions.map(({ item, fields }) => {
    const unit = item.units === '' ? '' : `, ${item.units}`;
    return { key: yamlText(keyOf(item)), target: targetOf(fields), comment: `${item.type}${unit}` };
  });
  const width = map.reduce((most, { key, target }) => Math.max(most, key.length + target.length), 0);
  const rows = map.map(({ key, target, comment }) => {
    return `      ${key}: ${target}${' '.repeat(width - key.length - target.length)}  # ${comment}`;
  });
  return [
    `  - name: ${yamlText(device.name.toLowerCase())}`,
    '    type: mtconnect',
    `    machine_id: ${yamlText(device.name)}`,
    `    url: ${yamlText(url)}`,
    ...(isAlone ? [] : [`    device: ${yamlText(device.name)}`]),
    ...(rows.length === 0 ? ['    map: {}'] : ['    map:', ...rows]),
    ...roleLines(device, keyOf),
    '    # extra: all    keeps all other items under their own names',
  ];
}

/** By the types; written out, so that another item can be put there. */
function roleLines(device: Device, keyOf: (item: DataItem) => string): string[] {
  const none = { execution: null, controller_mode: null, emergency_stop: null, functional_mode: null };
  const options = { map: {}, extra: [], state: { ...none, availability: null }, program: null, conditions: [] };
  const plans = [...mappingOf(device, options).plans.values()];
  const lines: string[] = [];
  for (const role of STATE_ROLES) {
    const plan = plans.find(({ roles }) => roles.includes(role));
    if (plan !== undefined) lines.push(`      ${role}: ${yamlText(keyOf(plan.item))}`);
  }
  if (lines.length > 0) lines.unshift('    state:');
  const program = plans.find(({ isProgram }) => isProgram);
  if (program !== undefined) lines.push(`    program: ${yamlText(keyOf(program.item))}`);
  return lines;
}

/** A standard signal by its name, several as axes, else an extra. Units are known to the driver. */
function targetOf(fields: readonly FieldSettings[]): string {
  const names = fields.map(({ name }) => yamlText(name));
  if (names.length > 1) return `{ axes: [${names.join(', ')}] }`;
  const [name = ''] = names;
  return signalNamed(fields[0]?.name ?? '') === undefined ? `{ extra: ${name} }` : name;
}

/** As it is where YAML takes it for text, else quoted. */
function yamlText(text: string): string {
  const isPlain = /^[A-Za-z_][\w.-]*$/.test(text) || /^https?:\/\/[\w.:/-]+$/.test(text);
  return isPlain && !/^(true|false|null|yes|no|on|off|y|n|nan|inf)$/i.test(text) ? text : JSON.stringify(text);
}
