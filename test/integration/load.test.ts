/** `millwright load` and `millwright publish` against a running system, as a person uses them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { DeadLetter } from '../../src/model/api.ts';
import type { LoadReport } from '../../src/load/load.ts';
import { type NatsServer, startNats } from '../support/nats-server.ts';
import { CLI, Command, freePort, makeFolder, startSystem, type System, waitUntil } from '../support/system.ts';

let system: System;
let nats: NatsServer;
let folder: string;
before(async () => {
  nats = await startNats();
  system = await startSystem({ hub: { nats: { url: nats.url, ack_wait: '2s' } } });
  folder = await makeFolder();
  process.env['MILLWRIGHT_HUB'] = system.url;
});
after(async () => {
  await system.stop();
  await nats.stop();
  await rm(folder, { recursive: true, force: true });
});

const ways: readonly { readonly name: string; readonly url: () => string }[] = [
  { name: 'http', url: () => system.url },
  { name: 'nats', url: () => nats.edgeUrl },
];

for (const way of ways) {
  describe(`over ${way.name}`, () => {
    before(() => {
      process.env['MILLWRIGHT_URL'] = way.url();
    });

    test('stress: 5 machines × 20 and a malformed message', async () => {
      const name = `STRESS-${way.name}`;
      const { code, report } = await load('--run', name, '--machines', '5', '--count', '20', '--malformed', '1');
      assert.equal(code, 0, JSON.stringify(report));
      assert.equal(report.exact, true);
      assert.deepEqual(report.readings, { sent: 100, stored: 100, missing: 0, doubled: 0, foreign: 0, uncounted: 0 });
      assert.deepEqual(report.messages, { sent: 101, malformed: 1, acknowledged: 101, duplicates: 0, repeated: 0 });
      for (let machine = 1; machine <= 5; machine += 1) {
        const rows = await system.get<{ active_program_line: number }[]>(`/api/v1/machines/${name}-00${machine}/data`);
        assert.deepEqual(
          rows.map((row) => row.active_program_line),
          Array.from({ length: 20 }, (_, index) => index),
        );
      }
      assert.deepEqual(await system.get(`/api/v1/machines/${name}-MALFORMED/data`), []);
      const letters = (await system.get<DeadLetter[]>('/api/v1/dead-letters')).filter(({ gateway_id: gateway }) => {
        return gateway?.startsWith(`${name}-`);
      });
      assert.deepEqual(
        letters.map(({ reason }) => reason),
        ['temperature is a number, found "not-a-float"'],
      );
    });

    test('the commands of docs/load.md do as they say', async () => {
      const commands = await documented();
      assert.ok(commands.length >= 6, commands.join('\n'));
      for (const command of commands) {
        const { code, said } = await inShell(command);
        assert.equal(code, 0, `${command}: ${said}`);
        if (command.includes(' load ')) assert.match(said, /verdict +exact: everything that was sent is stored once/);
        else assert.match(said, /^(stored|acknowledged by)/);
      }
    });

    test('a hub that is killed meanwhile costs time, and nothing else', async () => {
      const arguments_ = ['--run', `KILL-${way.name}`, '--count', '300', '--rate', '1000', '--malformed', '5'];
      const loading = load(...arguments_, '--batch', '4');
      await waitUntil('the first rows', async () => {
        const rows = await system.rows(`select from sensor_data where machine_id = 'KILL-${way.name}-001' limit 1`);
        return rows.length > 0 ? true : undefined;
      });
      await system.hub.end('SIGKILL');
      await system.startHub();
      const { code, report } = await loading;
      assert.equal(code, 0, JSON.stringify(report));
      assert.equal(report.readings.stored, 3_000);
      assert.equal(report.dead_letters?.found, 5);
    });

    test('publish says what became of a reading', async () => {
      const machine = `PUBLISH-${way.name}`;
      const reading = ['publish', '--machine', machine, '--temperature', '45.5', '--machine-state', 'running'];
      const arrived =
        way.name === 'http' ? /^stored: 1 reading is/ : /^acknowledged by stream CNC_DATA as sequence \d+/;
      const first = await run(...reading, '--id', machine, '--timestamp', '2026-01-01T08:00:00Z');
      assert.equal(first.code, 0, first.said);
      assert.match(first.said, arrived);
      const again = await run(...reading, '--id', machine, '--timestamp', '2026-01-01T08:00:00Z');
      assert.equal(again.code, 0);
      assert.match(again.said, /^duplicate/);
      const json = await run('publish', '--json', `{"machine_id":"${machine}","spindle_speed":1200,"note":"by hand"}`);
      assert.match(json.said, arrived);
      const input = await withInput(
        `{"temperature":20,"timestamp":"2026-01-01T09:00:00Z"}`,
        'publish',
        '--machine',
        machine,
      );
      assert.match(input.said, arrived);
      const refused = await run('publish', '--machine', machine, '--temperature', 'not-a-float');
      assert.equal(refused.code, 3);
      assert.match(refused.said, /dead letter.*temperature is a number, found "not-a-float"/);
      const rows = await waitUntil('three rows', async () => {
        const found = await system.get<{ [key: string]: unknown }[]>(`/api/v1/machines/${machine}/data`);
        return found.length >= 3 ? found : undefined;
      });
      assert.equal(rows.length, 3);
      assert.equal(rows[0]?.['machine_state'], 'running');
      assert.equal(rows[1]?.['temperature'], 20);
      assert.equal(rows[2]?.['note'], 'by hand');
    });
  });
}

describe('what is not exact', () => {
  before(() => {
    process.env['MILLWRIGHT_URL'] = system.url;
  });

  test('a database that loses and doubles rows is found out', async () => {
    await system.rows(`create function spoil() returns trigger language plpgsql as $$ begin
        if new.active_program_line = 5 then return null; end if;
        if new.active_program_line = 7 and pg_trigger_depth() = 1 then
          insert into sensor_data (time, machine_id, active_program_line)
            values (new.time, new.machine_id, 7), (new.time + '1 ms', new.machine_id, 7);
        end if;
        return new;
      end $$`);
    await system.rows(`create trigger spoil before insert on sensor_data for each row
      when (new.machine_id = 'SPOILT-002') execute function spoil()`);
    const file = path.join(folder, 'spoilt.md');
    const { code, said } = await run(
      ...['load', '--run', 'SPOILT', '--machines', '3', '--count', '10', '--patience', '1s', '--report', file],
    );
    assert.equal(code, 1, said);
    assert.match(said, /stored +29 readings, 1 missing, 1 doubled, 1 that were not sent/);
    assert.match(said, /SPOILT-002: 1 missing \(numbers 5\), 1 doubled, 1 that were not sent/);
    assert.match(said, /ended early +nothing moved for 1 s/);
    assert.match(said, /verdict +NOT EXACT/);
    const page = await readFile(file, 'utf8');
    assert.match(page, /^# Load: SPOILT$/m);
    assert.match(page, /^\| SPOILT-002 \| 10 \| 9 \| 1 \| 1 \| 1 \| 20/m);
    await system.rows('drop trigger spoil on sensor_data');
  });

  test('Ctrl-C ends the publishing; what was sent until then is checked', async () => {
    const command = new Command(['load', '--run', 'STOPPED', '--duration', '1h', '--rate', '200', '--json']);
    await waitUntil('the first rows', async () => {
      const rows = await system.rows(`select from sensor_data where machine_id = 'STOPPED-001' limit 1`);
      return rows.length > 0 ? true : undefined;
    });
    assert.equal(await command.end('SIGINT'), 0, command.said);
    const report = reportIn(command.said);
    assert.equal(report.exact, true);
    assert.ok(report.readings.sent > 0);
    assert.match(report.ended_early ?? '', /publishing was stopped/);
    assert.ok((report.latency.acknowledged?.count ?? 0) > 0);
    assert.ok((report.latency.visible?.count ?? 0) > 0);
  });

  test('a hub that takes nothing more is given up after a time without progress', async () => {
    const loading = load('--run', 'GONE', '--count', '100000', '--rate', '500', '--patience', '1s');
    await waitUntil('the first rows', async () => {
      const rows = await system.rows(`select from sensor_data where machine_id = 'GONE-001' limit 1`);
      return rows.length > 0 ? true : undefined;
    });
    await system.hub.end('SIGKILL');
    const { code, report } = await loading;
    assert.equal(code, 1);
    assert.equal(report.exact, false);
    assert.match(report.trouble ?? '', /cannot be reached/);
    assert.ok(report.readings.uncounted > 0);
    await system.startHub();
  });

  test('what cannot begin says why', async () => {
    const nobody = `127.0.0.1:${await freePort()}`;
    const one = ['--machine', 'M', '--temperature', '20'];
    const cases: [string[], number, RegExp][] = [
      [['publish', '--machine', 'M'], 2, /give a reading: --machine NAME with --temperature/],
      [['load', '--run', 'STRESS-http'], 2, /the hub has a machine STRESS-http-001 already; give another name.*--run/],
      [['load', '--run', 'two words'], 2, /--run: found "two words"; allowed: up to 64 letters/],
      [['load', '--count', '1', '--duration', '1s'], 2, /give --count or --duration, not both/],
      [['load', '--malformed', '501'], 2, /--malformed: found 501; at most 500/],
      [['load', '--machines', '9999999999'], 2, /--machines: found 9999999999; at most 100000/],
      [['load', '--hub', nobody], 2, /--hub: found ".*"; allowed: the address of a hub/],
      [['load', '--rate', 'fast'], 2, /a rate is a number of readings a second, or "max"/],
      [['load', '--url', `nats://${nobody}`], 1, new RegExp(`NATS at ${nobody}`)],
      [['load', '--hub', `http://${nobody}`], 1, new RegExp(`http://${nobody} cannot be reached.*ECONNREFUSED`)],
      [['load', '--url', 'mqtt://broker'], 2, /--url: found "mqtt:\/\/broker"; allowed: nats:\/\/host:4222/],
      [['publish', '--url', `nats://${nobody}`, ...one], 1, /^not published: NATS at/],
      [['publish', '--url', `http://${nobody}`, ...one], 1, /^not published: .*ECONNREFUSED/],
      [['publish', '--url', 'amqp://broker', ...one], 2, /^not published: --url: found/],
    ];
    for (const [args, expectedCode, pattern] of cases) {
      const { code, said } = await run(...args);
      assert.match(said, pattern);
      assert.equal(code, expectedCode, said);
    }
  });
});

async function run(...args: string[]): Promise<{ code: number | null; said: string }> {
  const command = new Command(args);
  const code = await command.exited();
  return { code, said: command.said };
}

async function withInput(input: string, ...args: string[]): Promise<{ said: string }> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(input);
  let said = '';
  for await (const piece of child.stdout as AsyncIterable<Buffer>) said += piece.toString();
  return { said };
}

async function load(...args: string[]): Promise<{ code: number | null; report: LoadReport }> {
  const { code, said } = await run('load', '--json', ...args);
  return { code, report: reportIn(said) };
}

/** It is one line of what was said; progress stands before it. */
function reportIn(said: string): LoadReport {
  const line = said.split('\n').find((one) => one.startsWith('{"settings"'));
  assert.ok(line !== undefined, said);
  return JSON.parse(line) as LoadReport;
}

/** The commands of docs/load.md, as they stand there. */
async function documented(): Promise<string[]> {
  const page = await readFile(new URL('../../docs/load.md', import.meta.url), 'utf8');
  const lines = page.split('\n').filter((line) => /^ {4}(millwright|cat) /.test(line));
  return lines.map((line) => line.trim());
}

/** In a shell that knows `millwright`, with a `reading.json` at hand. */
async function inShell(line: string): Promise<{ code: number | null; said: string }> {
  await writeFile(path.join(folder, 'millwright'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`, {
    mode: 0o755,
  });
  await writeFile(path.join(folder, 'reading.json'), '{"temperature":20}');
  const env = { ...process.env, PATH: `${folder}:${process.env['PATH']}` };
  const shell = spawn('/bin/sh', ['-c', `${line} 2>&1`], { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(shell, 'exit');
  let said = '';
  for await (const piece of shell.stdout as AsyncIterable<Buffer>) said += piece.toString();
  await ended;
  return { code: shell.exitCode, said };
}
