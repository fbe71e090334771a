/**
 * A bus in memory, with chips that have the registers of their data sheets and do with them what those say.
 *
 * A write sets the chip's register pointer with its first byte, and writes what follows; a read begins at the pointer.
 */
import { MillwrightError } from '../../base/errors.ts';
import { ADDRESSES, type ChipName } from './options.ts';
import { type I2cPort, type Message, MESSAGES_MAX } from './port.ts';

/** What i2ctransfer says of a Raspberry Pi's bus. */
export const NOT_ACKNOWLEDGED = 'Sending messages failed: Remote I/O error';
export const STUCK = 'Sending messages failed: Connection timed out';

export interface SimulatedChip {
  write(register: number, bytes: readonly number[]): void;
  read(register: number, length: number): readonly number[];
}

export class SimulatedBus implements I2cPort {
  readonly chips: Map<number, SimulatedChip> = new Map<number, SimulatedChip>();
  /** Transfers that are to fail from now on, in order: why, or null for one that does not. */
  readonly faults: (string | null)[] = [];
  /** Why every transfer fails; null: they do not. */
  fault: string | null = null;
  transfers = 0;
  readonly #pointers = new Map<number, number>();

  /** At the first address that the chip can have, unless another is given. */
  add<Chip extends SimulatedChip>(name: ChipName, chip: Chip, address: number = ADDRESSES[name][0]): Chip {
    this.chips.set(address, chip);
    return chip;
  }

  async transfer(address: number, messages: readonly Message[]): Promise<readonly Buffer[]> {
    this.transfers += 1;
    if (messages.length > MESSAGES_MAX) throw new Error(`${messages.length} messages in a transfer`);
    const chip = this.chips.get(address);
    const why = this.faults.shift() ?? this.fault ?? (chip === undefined ? NOT_ACKNOWLEDGED : null);
    if (why !== null || chip === undefined) throw new MillwrightError('connection_failed', `i2ctransfer: ${why}`);
    const read: Buffer[] = [];
    for (const message of messages) {
      if ('read' in message) {
        read.push(Buffer.from(chip.read(this.#pointers.get(address) ?? 0, message.read)));
        continue;
      }
      const [register = 0, ...bytes] = message.write;
      this.#pointers.set(address, register);
      if (bytes.length > 0) chip.write(register, bytes);
    }
    return read;
  }
}

/** Registers of two bytes each, the more significant first, as three of the chips have them. */
export class WordChip implements SimulatedChip {
  readonly registers: Map<number, number>;

  constructor(registers: { readonly [register: number]: number }) {
    this.registers = new Map(Object.entries(registers).map(([register, value]) => [Number(register), value]));
  }

  write(register: number, [high = 0, low = 0]: readonly number[]): void {
    this.registers.set(register, (high << 8) | low);
  }

  read(register: number, length: number): readonly number[] {
    const value = this.registers.get(register) ?? 0;
    return [value >> 8, value & 0xff].slice(0, length);
  }
}

/** After power-on: no conversion is done until `convert` is called. */
export class Tmp117 extends WordChip {
  constructor() {
    super({ 0x00: 0x8000, 0x01: 0x0220, 0x0f: 0x1117 });
  }

  convert(register: number): void {
    this.registers.set(0x00, register);
  }
}

export class Mcp9808 extends WordChip {
  constructor(temperature = 0) {
    super({ 0x01: 0, 0x04: 0, 0x05: temperature, 0x06: 0x0054, 0x07: 0x0400, 0x08: 0x0300 });
  }

  /** 0 °C until the next conversion. */
  powerCut(): void {
    this.registers.set(0x04, 0).set(0x05, 0);
  }
}

/** Its power register follows the other two, as the data sheet has it (8.5.1, equations 4 and 5). */
export class Ina219 extends WordChip {
  constructor() {
    super({});
    this.#reset();
  }

  /** As a fault of the supply does it, too. */
  #reset(): void {
    this.registers.clear();
    this.registers.set(0x00, 0x399f);
  }

  powerCut(): void {
    this.#reset();
  }

  /** A conversion counts as ready until its power is read. */
  override read(register: number, length: number): readonly number[] {
    const bytes = super.read(register, length);
    if (register === 0x03) this.registers.set(0x02, (this.registers.get(0x02) ?? 0) & ~0x02);
    return bytes;
  }

  override write(register: number, bytes: readonly number[]): void {
    if (register === 0x00 && ((bytes[0] ?? 0) & 0x80) !== 0) return this.#reset();
    if (register === 0x05) return super.write(register, [bytes[0] ?? 0, (bytes[1] ?? 0) & 0xfe]);
    super.write(register, bytes);
  }

  /** A conversion: the registers of both voltages, and what follows from them. */
  convert({ shunt, bus, isTooLarge = false }: { shunt: number; bus: number; isTooLarge?: boolean }): void {
    const calibration = this.registers.get(0x05) ?? 0;
    const current = Math.trunc((shunt * calibration) / 4096);
    this.registers.set(0x01, shunt & 0xffff);
    this.registers.set(0x02, (bus & 0xfff8) | 0x02 | (isTooLarge ? 1 : 0));
    this.registers.set(0x04, current & 0xffff);
    this.registers.set(0x03, Math.trunc((Math.abs(current) * (bus >> 3)) / 5000));
  }
}

/** Registers of one byte each, read in a row. */
export class ByteChip implements SimulatedChip {
  readonly memory: Buffer = Buffer.alloc(256);

  write(register: number, bytes: readonly number[]): void {
    for (const [index, byte] of bytes.entries()) this.memory[register + index] = byte;
  }

  read(register: number, length: number): readonly number[] {
    return [...this.memory.subarray(register, register + length)];
  }
}

/** Sleeps until it is told to measure once; then it is busy while its status is read `busyReads` times. */
export class Bme280 extends ByteChip {
  busyReads = 1;
  #busy = 0;

  constructor(calibration: { readonly first: Buffer; readonly humidity: Buffer }, data: Buffer) {
    super();
    this.memory[0xd0] = 0x60;
    calibration.first.copy(this.memory, 0x88);
    calibration.humidity.copy(this.memory, 0xe1);
    Buffer.from([0x80, 0, 0, 0x80, 0, 0, 0x80, 0]).copy(this.memory, 0xf7);
    this.#data = data;
  }

  readonly #data: Buffer;

  override write(register: number, bytes: readonly number[]): void {
    super.write(register, bytes);
    if (register !== 0xf4 || ((bytes[0] ?? 0) & 0b11) === 0) return;
    this.#busy = this.busyReads;
    this.#data.copy(this.memory, 0xf7);
    // Humidity is measured only where its own register says so.
    if ((this.memory[0xf2] ?? 0) === 0) this.memory.writeUInt16BE(0x8000, 0xfd);
  }

  override read(register: number, length: number): readonly number[] {
    if (register === 0xf3) {
      const isBusy = this.#busy > 0;
      this.#busy -= 1;
      return [isBusy ? 0b1000 : 0];
    }
    return super.read(register, length);
  }
}

/** Keeps the last 32 readings while it measures; each that is read is gone. */
export class Adxl345 extends ByteChip {
  readonly fifo: (readonly [number, number, number])[] = [];

  constructor() {
    super();
    this.memory[0x00] = 0xe5;
  }

  /** In bits of each axis. */
  take(...readings: (readonly [number, number, number])[]): void {
    if (this.memory[0x2d] !== 0x08 || this.memory[0x38] !== 0x80) return;
    this.fifo.push(...readings);
    this.fifo.splice(0, this.fifo.length - 32);
  }

  powerCut(): void {
    this.memory.fill(0, 0x1d);
    this.fifo.length = 0;
  }

  override read(register: number, length: number): readonly number[] {
    if (register === 0x39) return [this.fifo.length];
    if (register !== 0x32) return super.read(register, length);
    const data = Buffer.alloc(6);
    for (const [axis, value] of (this.fifo.shift() ?? [0, 0, 0]).entries()) data.writeInt16LE(value, axis * 2);
    return [...data.subarray(0, length)];
  }
}

/** Calibration of the worked example of Bosch BST-BMP280-DS001, 3.12; humidity as in a chip of ours. */
export function exampleCalibration(): { readonly first: Buffer; readonly humidity: Buffer } {
  const first = Buffer.alloc(26);
  first.writeUInt16LE(27504, 0);
  first.writeInt16LE(26435, 2);
  first.writeInt16LE(-1000, 4);
  first.writeUInt16LE(36477, 6);
  for (const [index, value] of [-10685, 3024, 2855, 140, -7, 15500, -14600, 6000].entries()) {
    first.writeInt16LE(value, 8 + index * 2);
  }
  first.writeUInt8(75, 25);
  const humidity = Buffer.alloc(7);
  humidity.writeInt16LE(362, 0);
  humidity.writeUInt8(0, 2);
  // H4 = 315, H5 = 50: each of twelve bits, four of them in the byte between.
  humidity.writeInt8(315 >> 4, 3);
  humidity.writeUInt8((315 & 0x0f) | ((50 & 0x0f) << 4), 4);
  humidity.writeInt8(50 >> 4, 5);
  humidity.writeInt8(30, 6);
  return { first, humidity };
}

/** 0xF7 to 0xFE. */
export function rawData(raw: { pressure: number; temperature: number; humidity: number }): Buffer {
  const bits20 = (value: number): number[] => [value >> 12, (value >> 4) & 0xff, (value & 0x0f) << 4];
  return Buffer.from([...bits20(raw.pressure), ...bits20(raw.temperature), raw.humidity >> 8, raw.humidity & 0xff]);
}
