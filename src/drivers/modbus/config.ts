/**
 * The `modbus` driver's part of a sensor in the configuration: from what a person writes to {@link ModbusOptions}.
 * Profiles of devices are files in `profiles/`, written with the same keys.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import {
  checkConfig,
  choice,
  duration,
  integer,
  number,
  parseConfig,
  port,
  scalar,
  section,
  text,
} from '../../base/config.ts';
import { UNIT_SCALES } from '../../base/signal-units.ts';
import { isSignalKey, NAME_LENGTH_MAX } from '../../model/reading.ts';
import { MACHINE_STATES, SIGNAL_NAMES, signalNamed } from '../../model/signals.ts';
import type { BusSettings, FieldSettings, ModbusOptions } from './options.ts';
import { ADDRESS_MAX, type FunctionCode, isBits, REGISTERS_MAX } from './pdu.ts';
import { widthOf } from './plan.ts';
import { REGISTER_TYPES, WORD_ORDERS } from './values.ts';

/** Registers of one sensor. */
const FIELDS_MAX = 2_000;
const FACTOR = { min: -1e15, max: 1e15 };
const TCP_TIMEOUT_MS = 1_000;
const SERIAL_TIMEOUT_MS = 300;

const PROFILES = new URL('./profiles/', import.meta.url);

/** Names for `profile`. */
export const PROFILE_NAMES: readonly string[] = readdirSync(PROFILES)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.slice(0, -'.yaml'.length))
  .sort();

const extraName = scalar('a name of your own; standard signals go under signal', (value) => {
  const name = String(value);
  const isOwn = isSignalKey(name) && signalNamed(name) === undefined && name !== '__proto__';
  return isOwn && name !== '' && name.length <= NAME_LENGTH_MAX && name.isWellFormed() ? name : undefined;
});

function functionCode(): ReturnType<typeof scalar<FunctionCode>> {
  return scalar('1 coils, 2 discrete inputs, 3 holding registers, 4 input registers', (value) => {
    const code = Number(value);
    return code === 1 || code === 2 || code === 3 || code === 4 ? code : undefined;
  });
}

function addressBase(): ReturnType<typeof scalar<0 | 1>> {
  return scalar('0 or 1', (value) => (Number(value) === 0 ? 0 : Number(value) === 1 ? 1 : undefined));
}

const registerSchema = section({
  signal: choice(SIGNAL_NAMES).optional().describe('Standard signal that it fills'),
  extra: extraName.optional().describe('Or a name of your own under which it is kept'),
  address: integer({ min: 0, max: ADDRESS_MAX + 1 }).describe('Number of the first register, or of the bit'),
  function: functionCode().optional().describe('Where it is; default: that of the sensor'),
  type: choice(REGISTER_TYPES).optional().describe('Of a register that is a number'),
  bit: integer({ min: 0, max: 15 }).optional().describe('Instead of type: one bit of a register, 0 the least'),
  order: choice(WORD_ORDERS).optional().describe('Of its bytes; default: that of the sensor'),
  scale: number(FACTOR).prefault(1).describe('The value is multiplied by this …'),
  offset: number(FACTOR).prefault(0).describe('… and this is added'),
  unit: text('a unit')
    .optional()
    .describe('Unit after scale and offset. A standard signal is converted to its own unit; else it is for people'),
  states: z
    .record(z.string(), choice(MACHINE_STATES), { error: () => 'allowed: a section of "value: state" lines' })
    .optional()
    .describe('For signal: machine_state, the state for each value; true and false for a bit'),
  interval: duration({ minMs: 1, maxMs: 86_400_000 })
    .optional()
    .describe('It is read so often; default: with every sample'),
});

type WrittenRegister = z.output<typeof registerSchema>;

const profileSchema = section({
  function: functionCode(),
  order: choice(WORD_ORDERS),
  address_base: addressBase(),
  registers: z.array(registerSchema),
});

type Profile = z.output<typeof profileSchema>;

const written = section({
  host: text('a name or an address').optional().describe('Device or gateway over TCP'),
  port: port().prefault(502).describe('Its port'),
  framing: choice(['tcp', 'rtu'])
    .prefault('tcp')
    .describe('tcp: Modbus TCP. rtu: frames of the serial line within TCP, as plain serial servers give them'),
  connect_timeout: duration({ minMs: 100, maxMs: 600_000 }).prefault('10s').describe('Longest wait for the connection'),
  parallel: integer({ min: 1, max: 16 })
    .prefault(4)
    .describe('Units behind one host that may be asked at the same time, where sensors share it'),
  serial: section({
    path: text('a device such as /dev/ttyUSB0').describe('Serial line; best by its name in /dev/serial/by-id'),
    baud_rate: integer({ min: 300, max: 4_000_000 }).prefault(19_200).describe('Bits in a second'),
    parity: choice(['none', 'even', 'odd']).prefault('even').describe('Parity bit'),
    stop_bits: integer({ min: 1, max: 2 }).prefault(1).describe('Stop bits; with parity none often 2'),
  })
    .optional()
    .describe('Instead of host: RTU on a serial line'),
  unit_id: integer({ min: 0, max: 255 }).prefault(1).describe('Unit (slave address) that is read'),
  timeout: duration({ minMs: 10, maxMs: 60_000 })
    .optional()
    .describe('Longest wait for an answer; default: 1s, on a serial line 300ms'),
  profile: choice(PROFILE_NAMES as [string, ...string[]])
    .optional()
    .describe('Known device whose registers are read'),
  function: functionCode().optional().describe('Of registers that say none; default: that of the profile, or 3'),
  order: choice(WORD_ORDERS)
    .optional()
    .describe('Of the bytes of registers that say none; default: that of the profile, or ABCD'),
  address_base: addressBase()
    .optional()
    .describe('Whether numbers of registers begin with 0 or 1; default: that of the profile, or 0'),
  max_gap: integer({ min: 0, max: REGISTERS_MAX })
    .prefault(10)
    .describe('Registers that nobody wants, which are read along to save a request'),
  max_registers: integer({ min: 1, max: REGISTERS_MAX }).prefault(REGISTERS_MAX).describe('Registers in one request'),
  registers: z
    .array(registerSchema, { error: () => 'allowed: a list of registers' })
    .max(FIELDS_MAX, `allowed: ${FIELDS_MAX} registers`)
    .prefault([])
    .describe('What is read, besides the profile; one of the same name replaces that of the profile'),
});

type Written = z.output<typeof written>;

/** Output: {@link ModbusOptions}. */
export const schema: z.ZodType<ModbusOptions, unknown> = written
  .superRefine((options, context) => {
    for (const { path, message } of faultsOf(options)) {
      context.addIssue({ code: 'custom', path, message: `allowed: ${message}` });
    }
  })
  .transform((options): ModbusOptions => {
    const bus = busOf(options);
    return {
      bus,
      unit: options.unit_id,
      timeoutMs: options.timeout ?? (bus.kind === 'serial' ? SERIAL_TIMEOUT_MS : TCP_TIMEOUT_MS),
      fields: fieldsOf(options),
      gapMax: options.max_gap,
      registersMax: options.max_registers,
      addressBase: options.address_base ?? profileOf(options)?.address_base ?? 0,
    };
  });

function busOf({ host, port, framing, connect_timeout, parallel, serial }: Written): BusSettings {
  if (serial === undefined) {
    return { kind: 'tcp', host: host ?? '', port, framing, connectTimeoutMs: connect_timeout, parallel };
  }
  return {
    kind: 'serial',
    path: serial.path,
    baudRate: serial.baud_rate,
    parity: serial.parity,
    stopBits: serial.stop_bits === 2 ? 2 : 1,
  };
}

/** @throws config_invalid when a file of ours is wrong */
function profileOf({ profile }: Written): Profile | undefined {
  if (profile === undefined) return undefined;
  const file = `${profile}.yaml`;
  const document = parseConfig({ file, text: readFileSync(new URL(file, PROFILES), 'utf8'), environment: {} });
  return checkConfig(document, profileSchema);
}

function fieldsOf(options: Written): FieldSettings[] {
  const profile = profileOf(options);
  const code = options.function ?? profile?.function ?? 3;
  const order = options.order ?? profile?.order ?? 'ABCD';
  const own = { code, order, base: options.address_base ?? profile?.address_base ?? 0 };
  const fields = new Map<string, FieldSettings>();
  for (const register of profile?.registers ?? []) {
    const defaults = { code: profile?.function ?? code, order, base: profile?.address_base ?? 0 };
    fields.set(nameOf(register), fieldOf(register, defaults));
  }
  for (const register of options.registers) fields.set(nameOf(register), fieldOf(register, own));
  return [...fields.values()];
}

interface Defaults {
  readonly code: FunctionCode;
  readonly order: FieldSettings['order'];
  readonly base: 0 | 1;
}

function nameOf({ signal, extra }: WrittenRegister): string {
  return signal ?? extra ?? '';
}

function fieldOf(register: WrittenRegister, defaults: Defaults): FieldSettings {
  const name = nameOf(register);
  const unit = UNIT_SCALES[name]?.[register.unit ?? ''] ?? { scale: 1 };
  return {
    name,
    function: register.function ?? defaults.code,
    address: register.address - defaults.base,
    type: register.type ?? 'bit',
    order: register.order ?? defaults.order,
    bit: register.bit ?? null,
    scale: register.scale * unit.scale,
    offset: register.offset * unit.scale + (unit.offset ?? 0),
    isInteger: signalNamed(name)?.type === 'integer',
    states: register.states ?? null,
    intervalMs: register.interval ?? null,
  };
}

interface Fault {
  readonly path: (string | number)[];
  readonly message: string;
}

function faultsOf(options: Written): Fault[] {
  const faults: Fault[] = [];
  if ((options.host === undefined) === (options.serial === undefined)) {
    faults.push({ path: ['host'], message: 'one of host and serial' });
  }
  const isLine = options.serial !== undefined || options.framing === 'rtu';
  if (isLine && options.unit_id === 0) {
    faults.push({ path: ['unit_id'], message: '1 to 255 on a serial line: 0 is for all units, and none answers' });
  }
  if (options.registers.length === 0 && options.profile === undefined) {
    faults.push({ path: ['registers'], message: 'one register at least, or a profile' });
  }
  const code = options.function ?? profileOf(options)?.function ?? 3;
  const base = options.address_base ?? profileOf(options)?.address_base ?? 0;
  const names = new Set<string>();
  for (const [index, register] of options.registers.entries()) {
    const fault = (key: string, message: string): void =>
      void faults.push({ path: ['registers', index, key], message });
    const name = nameOf(register);
    if ((register.signal === undefined) === (register.extra === undefined)) fault('signal', 'one of signal and extra');
    else if (names.has(name)) fault(register.signal === undefined ? 'extra' : 'signal', 'a name that is not taken yet');
    names.add(name);
    const bits = isBits(register.function ?? code);
    if (bits && register.type !== undefined) fault('type', 'none: functions 1 and 2 read single bits');
    if (bits && register.bit !== undefined) fault('bit', 'none: functions 1 and 2 read single bits');
    if (!bits && (register.type === undefined) === (register.bit === undefined)) {
      fault('type', `a type (${REGISTER_TYPES.join(', ')}), or bit for one bit of the register`);
    }
    if (register.address < base) fault('address', 'a number from 1 on, by address_base');
    const field = fieldOf(register, { code, order: 'ABCD', base });
    if (field.address + widthOf(field) - 1 > ADDRESS_MAX) fault('address', 'registers up to 65535, numbered from 0');
    if (widthOf(field) > options.max_registers) fault('type', `a type of ${options.max_registers} registers`);
    faults.push(...meaningFaults(register, ['registers', index]));
  }
  return faults;
}

/** What a register means for a signal of that kind. */
function meaningFaults(register: WrittenRegister, at: (string | number)[]): Fault[] {
  const faults: Fault[] = [];
  const { signal, states, unit } = register;
  const isState = signal === 'machine_state';
  if (isState !== (states !== undefined)) {
    faults.push({ path: [...at, 'states'], message: 'with signal: machine_state, and only there' });
  }
  const isNumber = signal !== undefined && !isState;
  if (isNumber && register.type === undefined) {
    faults.push({ path: [...at, 'signal'], message: 'an extra, as a bit is no number' });
  }
  const units = UNIT_SCALES[signal ?? ''];
  if (signal !== undefined && unit !== undefined && units?.[unit] === undefined) {
    const known = Object.keys(units ?? {}).join(', ');
    faults.push({ path: [...at, 'unit'], message: `${known === '' ? 'none' : known}, for ${signal}` });
  }
  return faults;
}
