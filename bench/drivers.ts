/**
 * `node bench/drivers.ts [SECONDS]`: what an edge costs whose driver reads much. `modbus`: 8 units behind one host, 125
 * registers each at 10 Hz, so 10,000 registers a second, every one of them a value in the log.
 *
 * The edge is a child process with nothing else in it, as `millwright edge` runs it; the units are pymodbus, in a process
 * of its own. The rate is that of the values in the log.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeFiles } from '../src/base/node-files.ts';
import { EDGE_NODE_FLAGS } from '../src/edge/flags.ts';
import { readEdgeConfig } from '../src/edge/config.ts';
import { exportedText } from '../src/log/export.ts';
import { parseRange } from '../src/log/range.ts';
import { type ServedRegister, startModbusServer } from '../test/support/modbus.ts';
import { stringify } from 'yaml';
import { cpuSeconds, statusKb } from './process.support.ts';

const UNITS = 8;
const REGISTERS = 125;
const SAMPLING_HZ = 10;
/** Of what there would be without a late tick: the units share the machine, and a tick that is late is skipped. */
const SHARE_MIN = 0.98;
const CPU_PERCENT_MAX = 100;
const WARM_UP_SECONDS = 5;

const seconds = Number(process.argv[2] ?? 30);
const folder = mkdtempSync(join(tmpdir(), 'millwright-bench-'));
try {
  const whole = await bench('uint16', 1);
  const pairs = await bench('float32', 2);
  if (!whole || !pairs) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** @returns whether it is within the limits */
async function bench(type: string, width: number): Promise<boolean> {
  const count = Math.floor(REGISTERS / width);
  const addresses = Array.from({ length: count }, (_, index) => index * width);
  const served = addresses.map((address): ServedRegister => ({ function: 3, address, type, value: address + 0.5 }));
  const units = Object.fromEntries(unitIds().map((unit) => [unit, served.map((one) => whole(one))]));
  const server = await startModbusServer({ units });
  const registers = addresses.map((address) => ({ extra: `value_${address}`, address, type }));
  const settings = await settingsFor(server.port, registers, join(folder, type));
  const settingsFile = join(folder, `${type}.json`);
  writeFileSync(settingsFile, JSON.stringify(settings));
  const main = new URL('../dist/edge/main.js', import.meta.url);
  if (!existsSync(main)) throw new Error('dist/ is not there: npm run bench -- drivers builds it');
  const args = [...EDGE_NODE_FLAGS, main.pathname, settingsFile];
  const edge = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const exited = new Promise((resolve) => edge.on('exit', resolve));
  const pid = edge.pid ?? 0;
  await sleep(WARM_UP_SECONDS * 1000);
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  const cpuBefore = cpuSeconds(pid);
  const startedMs = performance.now();
  const from = new Date().toISOString();
  const rssMb: number[] = [];
  while (performance.now() - startedMs < seconds * 1000) {
    await sleep(500);
    rssMb.push(statusKb(pid, 'VmRSS') / 1024);
  }
  const tookSeconds = (performance.now() - startedMs) / 1000;
  const cpuPercent = ((cpuSeconds(pid) - cpuBefore) / tookSeconds) * 100;
  const peakMb = statusKb(pid, 'VmHWM') / 1024;
  const to = new Date().toISOString();
  edge.kill('SIGTERM');
  await exited;
  await server.stop();
  const values = await valuesInLog(join(folder, type), from, to);
  const registersPerSecond = (values * width) / tookSeconds;
  const median = rssMb.sort((a, b) => a - b)[Math.floor(rssMb.length / 2)] ?? 0;
  print(`modbus, ${UNITS} units with ${count} values of type ${type} each, ${SAMPLING_HZ} Hz, ${seconds} s`);
  print(`  registers in the log  ${registersPerSecond.toFixed(0)} a second (${values} values)`);
  print(`  processor             ${cpuPercent.toFixed(1)} % of one core (limit ${CPU_PERCENT_MAX})`);
  print(`  resident memory       ${median.toFixed(1)} MB median, ${peakMb.toFixed(1)} MB peak`);
  const registersMin = UNITS * count * width * SAMPLING_HZ * SHARE_MIN;
  const isMet = registersPerSecond >= registersMin && cpuPercent <= CPU_PERCENT_MAX;
  if (!isMet) print(`  NOT MET: at least ${registersMin.toFixed(0)} registers a second are wanted`);
  return isMet;
}

function unitIds(): number[] {
  return Array.from({ length: UNITS }, (_, index) => index + 1);
}

function whole(one: ServedRegister): ServedRegister {
  return one.type === 'uint16' ? { ...one, value: Math.floor(Number(one.value)) } : one;
}

async function settingsFor(port: number, registers: readonly object[], logFolder: string): Promise<unknown> {
  const config = {
    agent: { machine_id: 'bench', log_level: 'warn' },
    sensors: unitIds().map((unit) => {
      return {
        name: `unit-${unit}`,
        type: 'modbus',
        machine_id: `M-${unit}`,
        unit_id: unit,
        host: '127.0.0.1',
        port,
        registers,
      };
    }),
    buffering: { folder: logFolder, segment_size: '256MB', warm_buffer: { size: '1GB' } },
    status: { port: 0 },
  };
  const { settings } = await readEdgeConfig({ file: 'bench.yaml', text: stringify(config), environment: {} });
  return settings;
}

async function valuesInLog(logFolder: string, from: string, to: string): Promise<number> {
  let values = 0;
  const text = exportedText({
    files: nodeFiles,
    folder: logFolder,
    format: 'ndjson',
    range: parseRange({ from, to }),
    identity: null,
    onFault: (sequence, reason) => {
      throw new Error(`batch ${sequence}: ${reason}`);
    },
  });
  for await (const part of text) values += part.split('"value_').length - 1;
  return values;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
