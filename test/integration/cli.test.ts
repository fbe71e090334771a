/** The command line as a person meets it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { MachineNow } from '../../src/model/api.ts';
import { isPassword } from '../../src/sinks/opcua-server/passwords.ts';
import { CLI, Command, freePort, makeFolder, waitUntil } from '../support/system.ts';

let folder: string;
before(async () => {
  folder = await makeFolder();
});
after(() => rm(folder, { recursive: true, force: true }));

async function run(...args: string[]): Promise<{ code: number | null; said: string }> {
  const command = new Command(args);
  const code = await command.exited();
  return { code, said: command.said };
}

test('every command has a help text with its options', async () => {
  const expected: [string[], RegExp][] = [
    [[], /up .*edge .*hub .*check .*simulate .*log /s],
    [['up'], /--data.*--port.*--config.*--no-simulate/s],
    [['edge'], /--config <file>/],
    [['hub'], /--config <file>/],
    [['check'], /<file>.*--live.*--timeout.*--json/s],
    [['simulate', 'shdr'], /--file.*--port.*--speed.*--loop/s],
    [['simulate', 'mes'], /--port.*--state.*--delay.*--refuse-where/s],
    [['simulate', 'mes-check'], /--mes.*--hub/s],
    [['simulate', 'cmm'], /--out.*--interval.*--count.*--material.*--tolerance.*--seed.*--faults/s],
    [['simulate', 'modbus'], /--host.*--port.*--machines/s],
    [['probe', 'modbus'], /\[host\].*--serial.*--unit.*--function.*--register.*--count.*--scan/s],
    [['log', 'inspect'], /<dir>.*--json/s],
    [['log', 'export'], /<dir>.*--format.*ndjson.*csv.*--from.*--to.*--output.*--identity/s],
    [['log', 'replay'], /<dir>.*--sink.*--from.*--to/s],
    [['log', 'repair'], /<dir>/],
    [['dead-letters', 'replay'], /<dir>.*--sink/s],
    [['publish'], /--json.*--machine.*--id.*--temperature.*--url.*MILLWRIGHT_URL.*--password/s],
    [['load'], /--hub.*--publishers.*--machines.*--rate.*--batch.*--malformed.*--no-check.*--report.*--url/s],
  ];
  for (const [args, pattern] of expected) {
    const { code, said } = await run(...args, '--help');
    assert.equal(code, 0);
    assert.match(said, pattern);
  }
});

test('check accepts the two files that users have, with one warning for each key that does nothing', async () => {
  const edge = await run('check', 'test/data/config/edge-config.yaml');
  assert.equal(edge.code, 0, edge.said);
  for (const feature of ['nats.max_reconnects:', 'buffering.cold_buffer.path:']) {
    assert.equal(edge.said.split(`yaml: ${feature}`).length - 1, 1, `one warning for ${feature}\n${edge.said}`);
  }
  assert.equal(edge.said.split('warning').length - 1, 2, edge.said);
  const hub = await run('check', 'test/data/config/backend-config.yaml');
  assert.equal(hub.code, 0, hub.said);
  assert.doesNotMatch(hub.said, /warning/);
});

test('check accepts every example and stops at a mistake with file and line', async () => {
  for (const example of (await readdir('config')).filter((name) => name.endsWith('.yaml'))) {
    const { code, said } = await run('check', path.join('config', example));
    assert.equal(code, 0, said);
  }
  const file = path.join(folder, 'wrong.yaml');
  await writeFile(file, 'agent:\n  machine_id: A\n  sampling_rate: quick\n');
  const { code, said } = await run('check', file);
  assert.equal(code, 2);
  assert.match(said, /wrong\.yaml:3: agent\.sampling_rate: found "quick"; allowed: a duration/);
  assert.match((await run('check', path.join(folder, 'none.yaml'))).said, /cannot read .*none\.yaml/);
});

test('a mistake at the start is one clear sentence', async () => {
  const port = await freePort();
  const busy = createServer().listen(port, '127.0.0.1');
  await once(busy, 'listening');
  const taken = await run('up', '--data', path.join(folder, 'a'), '--port', String(port));
  assert.match(taken.said, new RegExp(`port ${port} is in use by another program; choose another with --port`));
  assert.equal(taken.code, 2);
  busy.close();

  await writeFile(path.join(folder, 'file'), '');
  const unwritable = await run('up', '--data', path.join(folder, 'file', 'data'), '--port', String(port));
  assert.match(unwritable.said, /the data folder .* cannot be written \(ENOTDIR\); choose another with --data/);
  assert.equal(unwritable.code, 2);

  const wrong = await run('up', '--port', 'web');
  assert.match(wrong.said, /a port is a whole number from 0 to 65535/);
});

test('up serves live machines, keeps its data over a restart, and ends on Ctrl-C', async () => {
  const data = path.join(folder, 'shop');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const fleet = async (): Promise<MachineNow[]> => (await (await fetch(`${url}/api/v1/fleet`)).json()) as MachineNow[];
  const countRows = async (): Promise<number> => {
    const end = '2100-01-01T00:00:00Z';
    const answer = await fetch(`${url}/api/v1/machines/CNC-001/data?start_time=2000-01-01T00:00:00Z&end_time=${end}`);
    return ((await answer.json()) as unknown[]).length;
  };

  const first = new Command(['up', '--data', data, '--port', String(port)]);
  await waitUntil('the address', () => (first.said.includes(`Millwright is running:  ${url}`) ? true : undefined));
  const live = await waitUntil('three live machines', async () => {
    const machines = await fleet();
    return machines.filter((machine) => machine.state !== null).length === 3 ? machines : undefined;
  });
  assert.deepEqual(live.map((machine) => machine.id).toSorted(), ['CMM-001', 'CNC-001', 'CNC-002', 'CNC-003']);
  const page = await fetch(url);
  assert.match(await page.text(), /<title>[^<]*Millwright/);

  const postmaster = await readFile(path.join(data, 'database', 'cluster', 'postmaster.pid'), 'utf8');
  process.kill(Number(postmaster.split('\n')[0]), 'SIGKILL');
  await waitUntil('the word that the database is started again', () => {
    return first.said.includes('it is started again') ? true : undefined;
  });

  const second = await run('up', '--data', data, '--port', String(await freePort()));
  assert.match(second.said, /the data folder .* is in use by process \d+/);

  const atFailure = await waitUntil('the rows after the database has come back', countRows);
  const before = await waitUntil('further rows', async () => {
    const rows = await countRows();
    return rows > atFailure + 20 ? rows : undefined;
  });
  // As npm does it: the terminal's own Ctrl-C, and npm's word for it.
  process.kill(first.pid, 'SIGINT');
  await waitUntil('the first to be heard', () => (first.said.includes('stopping') ? true : undefined));
  assert.equal(await first.end('SIGINT'), 0, first.said);
  await assert.rejects(
    access(path.join(data, 'database', 'cluster', 'postmaster.pid')),
    'the database was left running',
  );
  await assert.rejects(fetch(url));

  const again = new Command(['up', '--data', data, '--port', String(port), '--no-simulate']);
  await waitUntil('the address', () => (again.said.includes(`Millwright is running`) ? true : undefined));
  assert.ok((await countRows()) >= before);
  assert.equal(await again.end('SIGTERM'), 0, again.said);
});

test('impatience ends up at once, and still leaves no database behind', async () => {
  const data = path.join(folder, 'hasty');
  const command = new Command(['up', '--data', data, '--port', String(await freePort()), '--no-simulate']);
  await waitUntil('the address', () => (command.said.includes('Millwright is running') ? true : undefined));
  const hub = Number(/(\d+)/.exec(execFileSync('pgrep', ['-f', `hub --config ${data}`], { encoding: 'utf8' }))?.[1]);
  process.kill(hub, 'SIGSTOP'); // A hub that hangs is what makes a person impatient.
  const impatience = setInterval(() => process.kill(command.pid, 'SIGINT'), 300);
  const code = await command.exited().finally(() => clearInterval(impatience));
  process.kill(hub, 'SIGKILL');
  assert.equal(code, 1, command.said);
  await waitUntil('the database to end', async () => {
    const left = await access(path.join(data, 'database', 'cluster', 'postmaster.pid')).then(
      () => true,
      () => false,
    );
    return left ? undefined : true;
  });
});

test('a database that is damaged is told, and nothing is deleted', async () => {
  const data = path.join(folder, 'shop');
  const control = path.join(data, 'database', 'cluster', 'global', 'pg_control');
  const bytes = await readFile(control);
  await writeFile(control, Buffer.alloc(bytes.length, 7));
  const { code, said } = await run('up', '--data', data, '--port', String(await freePort()));
  assert.notEqual(code, 0);
  assert.match(said, /database server stopped.*are damaged, restore them from a copy, or move the folder away/);
  assert.equal((await readFile(path.join(data, 'database', 'cluster', 'PG_VERSION'), 'utf8')).trim(), '18');
});

test('a simulated measuring machine leaves its files, and ends when it is told to', async () => {
  const out = path.join(folder, 'cmm');
  const command = new Command(['simulate', 'cmm', '--out', out, '--interval', '20ms', '--seed', '5', '--keep', '3']);
  await waitUntil('some files', async () => {
    return (await readdir(out).catch((): string[] => [])).some((name) => name.includes('_000005')) ? true : undefined;
  });
  assert.equal(await command.end('SIGINT'), 0, command.said);
  assert.match(command.said, /seed.*5.*measured a part.*has stopped/s);
  assert.equal((await readdir(out)).length, 3);
  const counted = await run('simulate', 'cmm', '--out', path.join(folder, 'two'), '--interval', '1ms', '--count', '2');
  assert.deepEqual([counted.code, (await readdir(path.join(folder, 'two'))).length], [0, 2]);
  const wrong = await run('simulate', 'cmm', '--out', out, '--material', 'cheese');
  assert.equal(wrong.code, 2);
  assert.match(wrong.said, /--material: found "cheese"; allowed: aluminium-6061/);
});

test('hash-password prints what stands for a password, and nothing of it', async () => {
  const hash = execFileSync(process.execPath, [CLI, 'hash-password'], { input: 'open sesame\n', encoding: 'utf8' });
  assert.equal(await isPassword('open sesame', hash.trim()), true);
  const { code, said } = await run('hash-password');
  assert.deepEqual([code, /no password came on the standard input/.test(said)], [2, true], said);
});

test('dead letters are listed, exported, and replayed when the sink is there', async () => {
  const log = path.join(folder, 'refused');
  assert.deepEqual(await run('dead-letters', 'list', log), { code: 2, said: `there are no dead letters in ${log}\n` });
  const letter = {
    time: '2026-01-01T08:00:00.000000Z',
    reason: 'bad frame',
    gateway_id: 'gw',
    epoch: 'e',
    sequence: 7,
  };
  const payload = Buffer.from('{"machine_id":"CNC-1","timestamp":"2026-01-01T08:00:00.000000Z"}');
  await mkdir(path.join(log, 'dead-letters'), { recursive: true });
  const line = JSON.stringify({ ...letter, readings: 1, payload_base64: payload.toString('base64') });
  await writeFile(path.join(log, 'dead-letters', 'hub.ndjson'), `${line}\n`);
  const list = await run('dead-letters', 'list', log);
  assert.equal(list.code, 0);
  assert.match(list.said, /hub +7 +1 {2}bad frame\n$/);
  const exported = await run('dead-letters', 'export', log, '--sink', 'hub');
  assert.equal(JSON.parse(exported.said).reading.machine_id, 'CNC-1');
  const without = await run('dead-letters', 'replay', log);
  assert.notEqual(without.code, 0);
  assert.match(without.said, /cannot read .*settings\.json/);
  const url = `http://127.0.0.1:${await freePort()}`;
  const options = { url, timeoutMs: 1000, token: null, tlsCaFile: null };
  const settings = { gatewayId: 'gw', sinks: [{ name: 'hub', type: 'hub', options }] };
  await writeFile(path.join(log, 'settings.json'), JSON.stringify(settings));
  const refused = await run('dead-letters', 'replay', log);
  assert.notEqual(refused.code, 0);
  assert.match(refused.said, /cannot be reached/);
  assert.match((await run('dead-letters', 'list', log)).said, /bad frame/, 'it stays');
});
