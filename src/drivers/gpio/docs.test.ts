/** The example of docs/drivers/gpio.md, with pins in memory; and its table of states. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { until } from '../../../test/support/until.ts';
import { readEdgeConfig } from '../../edge/config.ts';
import { Gateway, Running } from '../../ports/driver.test-support.ts';
import { GpioDriver } from './driver.ts';
import type { GpioOptions } from './options.ts';
import { MemoryPins } from './pins.test-support.ts';

const PAGE = readFileSync(new URL('../../../docs/drivers/gpio.md', import.meta.url), 'utf8');

async function optionsOf(text: string): Promise<GpioOptions> {
  const { settings } = await readEdgeConfig({
    file: 'gpio.md',
    text: `agent: { machine_id: PI }\n${text}`,
    environment: {},
  });
  return settings.sensors[0]?.options as GpioOptions;
}

test('the example reads what it says it does', async (context) => {
  const options = await optionsOf(/```yaml\n([^`]*)```/.exec(PAGE)?.[1] ?? '');
  // Optocouplers that pull to ground: all are dark, and the door is closed.
  const pins = new MemoryPins(true, true, true, true, true);
  const gateway = new Gateway({ machineId: 'LATHE-7' });
  const running = new Running(new GpioDriver({ ...options, blinkMs: 200 }, pins.open), { gateway });
  context.after(() => running.stop());
  const states = (): unknown[] =>
    gateway.events.flatMap(({ state, text }) => (state === undefined ? [] : [[state, text]]));
  await until(() => states().length === 1);
  pins.set(2, false);
  await until(() => states().length === 2);
  pins.set(0, false);
  await until(() => states().length === 3);
  assert.deepEqual(states(), [
    ['idle', 'no lamp is lit'],
    ['running', 'green on'],
    ['alarm', 'red on or blinking, green on'],
  ]);
  pins.set(3, false);
  pins.set(4, false);
  await until(
    () =>
      gateway.samples.some((one) => one['part_count'] === 1) &&
      gateway.samples.some((one) => one['door_open'] === true),
  );
});

test('the table of states is what the defaults are', async () => {
  const { meanings, none } = await optionsOf('sensors: [{ name: a, type: gpio, lines: [{ line: 1, input: a }] }]');
  const rows = [...PAGE.matchAll(/^\| `(\w+)` \| (?:`(\w+)`|nothing) \|/gm)].map(([, colour, state]) => [
    colour,
    state ?? null,
  ]);
  assert.deepEqual(
    rows,
    meanings.map(({ colour, on }) => [colour, on]),
  );
  assert.match(PAGE, new RegExp(`none that means something \\| \`${none}\``));
});
