/** The example of docs/drivers/opcua.md, against the simulated machine. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { freePort, waitUntil } from '../../../test/support/system.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { runOpcuaMachines } from '../../sim/opcua.ts';
import { comes, folderFor, newest, read } from './driver.test-support.ts';

const PAGE = new URL('../../../docs/drivers/opcua.md', import.meta.url);

test('the example reads what it says it does', async (context) => {
  const example = /```yaml\n([^`]*)```/.exec(readFileSync(PAGE, 'utf8'))?.[1] ?? '';
  const { name: _name, type, machine_id: _machine, url: _url, ...config } = parse(example).sensors[0];
  assert.equal(type, 'opcua');
  assert.equal(config.user, 'millwright');
  const { user: _user, password_file: _file, ...own } = config;
  const folder = await folderFor(context);
  const port = await freePort();
  const stop = new AbortController();
  const options = { host: '127.0.0.1', port, machines: 1, pkiFolder: path.join(folder, 'server') };
  const serving = runOpcuaMachines({ ...options, clock: systemClock, log: silentLogger }, stop.signal);
  context.after(async () => {
    stop.abort();
    await serving;
  });
  const pki = path.join(folder, 'client');
  const reader = read(context, { url: `opc.tcp://127.0.0.1:${port}`, pki, policy: 'None', ...own });
  await comes(reader, 'server_product', 'NodeOPCUA-Server');
  for (const name of ['spindle_speed', 'temperature', 'machine_state', 'program', 'part_count']) {
    await waitUntil(name, () => newest(reader, name) !== undefined || undefined);
  }
  const [state] = reader.gateway.events.filter(({ event_type }) => event_type === 'state');
  assert.match(state?.text ?? '', /^Objects\/Machines\/CNC-001\/Monitoring\/State is \d$/);
  assert.equal(reader.gateway.problems.size, 0);
});
