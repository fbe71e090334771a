/**
 * The address space: below `Objects/Machines` an object for each machine, with its variables, and below its `Features` one
 * for each characteristic that was measured there. Node ids are the path: `ns=2;s=CMM-001/Features/bore_1/Deviation_mm`.
 */
import {
  type AddressSpace,
  DataType,
  DataValue,
  makeEUInformation,
  type Namespace,
  type StatusCode,
  StatusCodes,
  type UAObject,
  type UAVariable,
  Variant,
} from 'node-opcua';
import type { Quality, ValueType, Variable } from './values.ts';

export const NAMESPACE_URI = 'urn:millwright:machines';
const FEATURES = 'Features';
const EARLIEST_MS = Date.UTC(1601, 0, 1);
/** Of a unit that has no code; its symbol is told all the same. */
const UNIT_UNKNOWN = -1;

const DATA_TYPES: { readonly [Type in ValueType]: DataType } = {
  double: DataType.Double,
  int32: DataType.Int32,
  boolean: DataType.Boolean,
  text: DataType.String,
  time: DataType.DateTime,
};

const STATUS_CODES: { readonly [Name in Quality]: StatusCode } = {
  good: StatusCodes.Good,
  waiting: StatusCodes.BadWaitingForInitialData,
  unavailable: StatusCodes.BadDataUnavailable,
  no_communication: StatusCodes.BadNoCommunication,
  last_known: StatusCodes.UncertainLastUsableValue,
  wrong_type: StatusCodes.BadTypeMismatch,
};

/** Common codes of UN/ECE recommendation 20, by which OPC 10000-8, 5.6.3 names units. */
const UNITS: { readonly [symbol: string]: readonly [code: string, description: string] } = {
  '°C': ['CEL', 'degree Celsius'],
  mm: ['MMT', 'millimetre'],
  µm: ['4H', 'micrometre'],
  in: ['INH', 'inch'],
  'mm/min': ['H81', 'millimetre per minute'],
  rpm: ['RPM', 'revolutions per minute'],
  '%': ['P1', 'percent'],
  kW: ['KWT', 'kilowatt'],
  deg: ['DD', 'degree [unit of angle]'],
  '°': ['DD', 'degree [unit of angle]'],
};

/** What the library calls private, and uses itself: it alone lets the server's time be told apart from the source's. */
interface Settable {
  _internal_set_dataValue(dataValue: DataValue): void;
}

export class Space {
  readonly #namespace: Namespace;
  readonly #machines: UAObject;
  readonly #objects = new Map<string, UAObject>();
  /** null: the library does not take it. */
  readonly #variables = new Map<string, { readonly node: UAVariable; readonly type: ValueType } | null>();
  readonly #onRefused: (path: string, error: unknown) => void;

  /** `onRefused`: called once for a variable that cannot be shown. */
  constructor(space: AddressSpace, onRefused: (path: string, error: unknown) => void) {
    this.#onRefused = onRefused;
    this.#namespace = space.registerNamespace(NAMESPACE_URI);
    this.#machines = this.#namespace.addFolder(space.rootFolder.objects, {
      browseName: 'Machines',
      nodeId: 's=Machines',
    });
  }

  show(variable: Variable): void {
    const node = this.#variableOf(variable);
    if (node === null) return;
    const dataValue = new DataValue(null);
    const { micros, value, type, quality } = variable;
    dataValue.statusCode = STATUS_CODES[quality];
    if (value !== null) {
      const shown = type === 'time' ? dateOf(Number(value)) : value;
      dataValue.value = new Variant({ dataType: DATA_TYPES[type], value: shown });
    }
    if (micros !== null) {
      // A Date has milliseconds; the rest goes beside it, in trillionths of a second.
      dataValue.sourceTimestamp = dateOf(micros);
      dataValue.sourcePicoseconds = (((micros % 1000) + 1000) % 1000) * 1e6;
    }
    dataValue.serverTimestamp = new Date();
    (node as unknown as Settable)._internal_set_dataValue(dataValue);
  }

  #variableOf(variable: Variable): UAVariable | null {
    const { machine, feature, name } = variable;
    // A signal may be called as the folder is; a sign of percent alone stands in no other path.
    const own = feature === null && name === FEATURES ? `${FEATURES}%` : escaped(name);
    const path = [...[machine, ...(feature === null ? [] : [FEATURES, feature])].map(escaped), own].join('/');
    const known = this.#variables.get(path);
    if (known === null || known?.type === variable.type) return known?.node ?? null;
    // One name that the library refuses must not keep all others from being shown.
    this.#variables.set(path, null);
    try {
      if (known !== undefined) this.#namespace.deleteNode(known.node);
      const node = this.#add(variable, path);
      this.#variables.set(path, { node, type: variable.type });
      return node;
    } catch (error) {
      this.#onRefused(path, error);
      return null;
    }
  }

  #add({ machine, feature, name, label, unit, type }: Variable, path: string): UAVariable {
    const machineObject = this.#objectOf(this.#machines, machine, escaped(machine));
    const features = `${escaped(machine)}/${FEATURES}`;
    const parent =
      feature === null
        ? machineObject
        : this.#objectOf(this.#objectOf(machineObject, FEATURES, features), feature, `${features}/${escaped(feature)}`);
    const added = this.#namespace.addVariable({
      componentOf: parent,
      browseName: name,
      displayName: label,
      nodeId: `s=${path}`,
      dataType: DATA_TYPES[type],
      typeDefinition: unit === '' ? 'BaseDataVariableType' : 'AnalogUnitType',
      accessLevel: 'CurrentRead',
      userAccessLevel: 'CurrentRead',
      minimumSamplingInterval: 0,
    });
    if (unit !== '') this.#addUnit(added, unit);
    return added;
  }

  #addUnit(variable: UAVariable, unit: string): void {
    const [code, description] = Object.hasOwn(UNITS, unit) ? UNITS[unit]! : ['', unit];
    const property = this.#namespace.addVariable({
      propertyOf: variable,
      browseName: { name: 'EngineeringUnits', namespaceIndex: 0 },
      typeDefinition: 'PropertyType',
      dataType: 'EUInformation',
      accessLevel: 'CurrentRead',
      userAccessLevel: 'CurrentRead',
    });
    const value = makeEUInformation(code, unit, description);
    value.namespaceUri = 'http://www.opcfoundation.org/UA/units/un/cefact';
    if (code === '') value.unitId = UNIT_UNKNOWN;
    property.setValueFromSource({ dataType: DataType.ExtensionObject, value });
  }

  #objectOf(parent: UAObject, name: string, path: string): UAObject {
    const known = this.#objects.get(path);
    if (known !== undefined) return known;
    const isFolder = name === FEATURES;
    const added = this.#namespace.addObject({
      ...(parent === this.#machines ? { organizedBy: parent } : { componentOf: parent }),
      browseName: name,
      nodeId: `s=${path}`,
      typeDefinition: isFolder ? 'FolderType' : 'BaseObjectType',
    });
    this.#objects.set(path, added);
    return added;
  }
}

/** In OPC UA time begins with 1601 (OPC 10000-6, 5.2.2.5); the library makes of an earlier one the year 58456. */
export function dateOf(micros: number): Date {
  return new Date(Math.max(Math.floor(micros / 1000), EARLIEST_MS));
}

/** So that two paths are never alike, whatever names have in them. */
function escaped(name: string): string {
  return name.replaceAll('%', '%25').replaceAll('/', '%2F');
}
