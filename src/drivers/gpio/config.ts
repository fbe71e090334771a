/** The `gpio` driver's part of a sensor in the configuration: from what a person writes to {@link GpioOptions}. */
import { z } from 'zod';
import { choice, duration, flag, name, section, text } from '../../base/config.ts';
import { isSignalKey } from '../../model/reading.ts';
import { MACHINE_STATES, type MachineState, signalNamed } from '../../model/signals.ts';
import type { Claim } from '../../ports/driver.ts';
import { BIASES, type Colour, COLOURS, type GpioOptions, type LampMeaning, type LineSettings } from './options.ts';

/** Lines of one source; the tools take no more at once. */
export const LINES_MAX = 64;

const DEFAULT_MEANINGS: { readonly [Name in Colour]: MachineState | null } = {
  red: 'alarm',
  amber: 'hold',
  blue: 'setup',
  green: 'running',
  white: null,
};

const bias = () => choice(BIASES);
const debounce = () => duration({ minMs: 0, maxMs: 60_000 });
/** A colour, steady or blinking. */
const meaning = () => choice([...MACHINE_STATES, 'nothing']).optional();

const lineSchema = section({
  line: text('an offset on the chip such as 17, or a name such as GPIO17').describe('Which line of the chip'),
  input: name().optional().describe('A switch: name under which it is kept as true or false'),
  lamp: choice(COLOURS).optional().describe('Or a lamp of the stack light: its colour'),
  part_counter: name().optional().describe('Or a signal for each part: name under which their number is kept'),
  name: name().optional().describe('With lamp: name under which it is kept; default: lamp_ and the colour'),
  min_interval: duration({ minMs: 0, maxMs: 86_400_000 })
    .optional()
    .describe('With part_counter: a part that comes sooner after another is none; default: 0s'),
  active_low: flag().optional().describe('Active is the low level; default: that of the sensor'),
  bias: bias().optional().describe('Resistor at the input; default: that of the sensor'),
  debounce: debounce().optional().describe('How long a level must stand; default: that of the sensor'),
});

const written = section({
  chip: text('a GPIO chip')
    .prefault('gpiochip0')
    .describe('By its name, path or number, or by its label, as gpiodetect tells it'),
  lines: z
    .array(lineSchema, { error: () => 'allowed: a list of lines' })
    .min(1, 'allowed: one line at least')
    .max(LINES_MAX, `allowed: ${LINES_MAX} lines`)
    .describe('Inputs that are read'),
  active_low: flag().prefault(false).describe('Active is the low level, as with a contact to ground and pull_up'),
  bias: bias().prefault('as_is').describe("The chip's own resistor at the inputs"),
  debounce: debounce().prefault('20ms').describe('How long a level must stand before it counts'),
  blink: duration({ minMs: 200, maxMs: 60_000 })
    .prefault('3s')
    .describe('A lamp that goes on twice within this time is blinking'),
  check_interval: duration({ minMs: 1_000, maxMs: 86_400_000 })
    .prefault('5m')
    .describe('Time between two looks whether all edges were told'),
  states: section({
    ...Object.fromEntries(
      COLOURS.flatMap((colour) => [
        [colour, meaning().describe(`Default: ${DEFAULT_MEANINGS[colour] ?? 'nothing'}`)],
        [`${colour}_blinking`, meaning().describe(`Default: as ${colour}`)],
      ]),
    ),
    none: choice(MACHINE_STATES).prefault('idle').describe('When no lamp is lit that means something'),
  })
    .prefault({})
    .describe("What the lamps mean for the machine's state"),
  priority: z
    .array(choice(COLOURS), { error: () => 'allowed: a list of colours' })
    .prefault([...COLOURS])
    .describe('Of several lamps that are lit the first in this list counts'),
  tools: text('a folder').optional().describe("Folder of libgpiod's tools; default: where the system finds them"),
});

type Written = z.output<typeof written>;

/** Output: {@link GpioOptions}. */
export const schema: z.ZodType<GpioOptions, unknown> = written
  .superRefine((options, context) => {
    for (const { path, message } of faultsOf(options)) {
      context.addIssue({ code: 'custom', path, message: `allowed: ${message}` });
    }
  })
  .transform(
    (options): GpioOptions => ({
      chip: options.chip,
      lines: options.lines.map((line) => lineOf(line, options)),
      blinkMs: options.blink,
      meanings: options.priority.map((colour) => meaningOf(colour, options.states)),
      none: options.states.none,
      checkMs: options.check_interval,
      tools: options.tools ?? null,
    }),
  );

/** As far as they are written alike: a label is not known to be a chip's name, nor a line's name to be its offset. */
export function claims({ chip, lines }: GpioOptions): Claim[] {
  const name = chip.replace(/^(\/dev\/)?(gpiochip)?(?=\d+$)/, 'gpiochip');
  return lines.map(({ line }, index) => ({ path: ['lines', index, 'line'], what: `line ${plain(line)} of ${name}` }));
}

/** 017 is the offset 17 too. */
function plain(line: string): string {
  return /^\d+$/.test(line) ? String(Number(line)) : line;
}

type WrittenLine = Written['lines'][number];

function lineOf(line: WrittenLine, options: Written): LineSettings {
  return {
    line: line.line,
    name: nameOf(line),
    bias: line.bias ?? options.bias,
    isActiveLow: line.active_low ?? options.active_low,
    debounceMs: line.debounce ?? options.debounce,
    use: useOf(line),
  };
}

function useOf({ lamp, part_counter, min_interval }: WrittenLine): LineSettings['use'] {
  if (lamp !== undefined) return { kind: 'lamp', colour: lamp };
  return part_counter === undefined ? { kind: 'input' } : { kind: 'part_counter', minIntervalMs: min_interval ?? 0 };
}

function nameOf({ input, lamp, part_counter, name }: WrittenLine): string {
  return name ?? input ?? part_counter ?? `lamp_${lamp}`;
}

function meaningOf(
  colour: Colour,
  states: { readonly [key: string]: MachineState | 'nothing' | undefined },
): LampMeaning {
  const stateOf = (key: string, otherwise: MachineState | null): MachineState | null => {
    const written = states[key] ?? otherwise;
    return written === 'nothing' ? null : written;
  };
  const on = stateOf(colour, DEFAULT_MEANINGS[colour]);
  return { colour, on, blinking: stateOf(`${colour}_blinking`, on) };
}

interface Fault {
  readonly path: (string | number)[];
  readonly message: string;
}

function faultsOf({ lines, priority }: Written): Fault[] {
  const faults: Fault[] = [];
  const taken = { names: new Set<string>(), colours: new Set<string>(), lines: new Set<string>() };
  for (const [index, line] of lines.entries()) {
    const fault = (key: string, message: string): void => void faults.push({ path: ['lines', index, key], message });
    const { input, lamp, part_counter, name: own, min_interval } = line;
    const isOne = [input, lamp, part_counter].filter((one) => one !== undefined).length === 1;
    if (!isOne) fault('input', 'one of input, lamp, part_counter');
    if (own !== undefined && lamp === undefined) fault('name', 'with lamp, and only there');
    if (min_interval !== undefined && part_counter === undefined)
      fault('min_interval', 'with part_counter, and only there');
    const key = input !== undefined ? 'input' : part_counter !== undefined ? 'part_counter' : 'name';
    const name = nameOf(line);
    if (!isSignalKey(name) || signalNamed(name) !== undefined || name === '__proto__') fault(key, 'a name of your own');
    if (isOne && taken.names.has(name)) fault(key, 'a name that is not taken yet');
    if (lamp !== undefined && taken.colours.has(lamp)) fault('lamp', 'each colour once');
    if (taken.lines.has(plain(line.line))) fault('line', 'each line once');
    taken.names.add(name);
    if (lamp !== undefined) taken.colours.add(lamp);
    taken.lines.add(plain(line.line));
  }
  if (new Set(priority).size < priority.length) faults.push({ path: ['priority'], message: 'each colour once' });
  const unranked = [...taken.colours].filter((colour) => !priority.includes(colour as Colour));
  if (unranked.length > 0)
    faults.push({ path: ['priority'], message: `all colours of the lamps, ${unranked.join(', ')} too` });
  return faults;
}
