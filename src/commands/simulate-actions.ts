/** `millwright simulate …`: what the command line does to stand in for machines and for a MES. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { aborted, systemClock } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import { processLogger } from '../base/logger.ts';
import { nodeFiles } from '../base/node-files.ts';
import { EXIT_FAILED, runProcess } from '../base/process.ts';
import { seededRandom } from '../base/random.ts';
import { CMM_DEFAULTS, isMaterial, MATERIALS, runCmm } from '../sim/cmm.ts';
import { checkMes, describeCheck, isWhole } from '../sim/mes-check.ts';
import { startMes } from '../sim/mes.ts';
import { startModbusMachines } from '../sim/modbus.ts';
import { BROKER_DEFAULTS } from '../base/mqtt.ts';
import { isBroker } from '../base/mqtt-config.ts';
import { runMqttMachines } from '../sim/mqtt.ts';
import { MtconnectAgent } from '../sim/mtconnect-agent.ts';
import { machineDevices, playMachines } from '../sim/machine-agent.ts';
import { runOpcuaMachines } from '../sim/opcua.ts';
import { playRecording, type RecordedAgent, recordedAgent } from '../sim/recorded-agent.ts';
import { playShdr } from '../sim/shdr-player.ts';

/** From a measurement to the hub and to the MES, while neither is behind. */
const UNDER_WAY_MICROS = 3_000_000;

export interface ShdrArguments {
  readonly file: string;
  readonly host: string;
  readonly port: number;
  readonly speed: number | 'max';
  readonly loop: boolean;
  readonly rebase: boolean;
  readonly maxGap?: number;
  readonly close: boolean;
}

export async function shdr({ close, maxGap, ...rest }: ShdrArguments): Promise<void> {
  const log = processLogger('info');
  await runProcess(log, async (signal) => {
    const common = { hold: !close, start: 'shared', gapMsMax: maxGap ?? null } as const;
    const player = await playShdr({ ...rest, ...common, clock: systemClock, log }, signal);
    const stopped = aborted(signal);
    await (close ? Promise.race([stopped, player.finished]) : stopped);
    await player.close();
  });
}

export interface ModbusArguments {
  readonly host: string;
  readonly port: number;
  readonly machines: number;
}

export async function modbus(options: ModbusArguments): Promise<void> {
  const log = processLogger('info');
  await runProcess(log, async (signal) => {
    const machines = await startModbusMachines({ ...options, clock: systemClock, log });
    await aborted(signal);
    await machines.close();
  });
}

export interface MesArguments {
  readonly host: string;
  readonly port: number;
  readonly state?: string;
  readonly delay: number;
  readonly fail: number;
  readonly busy: number;
  readonly retryAfter: number;
  readonly drop: number;
  readonly refuseEvery: number;
  readonly refuseWhere?: { readonly field: string; readonly value: string };
  readonly seed?: number;
}

export async function mes(options: MesArguments): Promise<void> {
  const { host, port, seed = Date.now() % 1_000_000 } = options;
  const log = processLogger('info');
  const faults = {
    down: false,
    delay_ms: options.delay,
    fail: options.fail,
    busy: options.busy,
    retry_after_s: options.retryAfter,
    drop: options.drop,
    refuse_every: options.refuseEvery,
    refuse_where: options.refuseWhere ?? null,
  };
  await runProcess(log, async (signal) => {
    const parts = { clock: systemClock, random: seededRandom(seed), log };
    const standIn = await startMes({ host, port, faults, stateFile: options.state ?? null, ...parts });
    log.info('faults are drawn', { seed });
    await aborted(signal);
    await standIn.close();
  });
}

export async function mesCheck({ mes: mesUrl, hub: hubUrl }: { mes: string; hub: string }): Promise<void> {
  const untilMicros = systemClock.nowMicros() - UNDER_WAY_MICROS;
  const check = await checkMes({ mesUrl, hubUrl, untilMicros });
  process.stdout.write(describeCheck(check));
  if (!isWhole(check)) process.exitCode = EXIT_FAILED;
}

export interface CmmArguments {
  readonly out: string;
  readonly interval: number;
  readonly count?: number;
  readonly keep: number;
  readonly material: string;
  readonly nominal: number;
  readonly feature: readonly { readonly name: string; readonly nominalMm: number }[];
  readonly tolerance?: number;
  readonly drift: number;
  readonly toolWear: number;
  readonly noise: number;
  readonly serialNumbers: boolean;
  readonly seed?: number;
  readonly faults: boolean;
}

export async function cmm(options: CmmArguments): Promise<void> {
  const { material, serialNumbers, faults } = options;
  if (!isMaterial(material)) {
    const known = Object.keys(MATERIALS).join(', ');
    throw new MillwrightError('config_invalid', `--material: found "${material}"; allowed: ${known}`);
  }
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 31);
  const log = processLogger('info');
  await runProcess(log, async (signal) => {
    log.info('the measuring machine runs', { folder: options.out, seed, interval_ms: options.interval, material });
    const run = {
      ...CMM_DEFAULTS,
      folder: options.out,
      material,
      features: options.feature.length > 0 ? options.feature : [{ name: '', nominalMm: options.nominal }],
      toleranceMm: options.tolerance ?? null,
      driftCPerHour: options.drift,
      toolWearMm: options.toolWear,
      noiseMm: options.noise,
      serialNumbers,
      seed,
      intervalMs: options.interval,
      count: options.count ?? null,
      keep: options.keep === 0 ? null : options.keep,
      faults,
    };
    const done = await runCmm({ ...run, files: nodeFiles, clock: systemClock, log }, signal);
    log.info('the measuring machine has stopped', { files: done.files, rows: done.rows, ...(faults && done.faults) });
  });
}

export interface MtconnectArguments {
  /** Left out: simulated machines. */
  readonly file?: string;
  readonly machines: number;
  readonly device?: string;
  readonly host: string;
  readonly port: number;
  readonly speed: number | 'max';
  readonly loop: boolean;
  readonly buffer: number;
}

/** Time between two looks at a simulated machine. */
const MACHINE_INTERVAL_MS = 100;

export async function mtconnect(options: MtconnectArguments): Promise<void> {
  const { file, machines, host, port, buffer, speed, loop } = options;
  const log = processLogger('info');
  const recording = file === undefined ? undefined : await recordingOf(file, options.device);
  const devices = recording === undefined ? machineDevices(machines) : [recording.device];
  const agent = new MtconnectAgent({
    devices,
    bufferSize: buffer,
    instanceId: Math.floor(systemClock.nowMicros() / 1e6),
    version: '2.0',
    multipart: 'mixed',
    isBoundaryQuoted: false,
    clock: systemClock,
  });
  const listening = await agent.listen(host, port);
  await runProcess(log, async (signal) => {
    log.info('the agent answers', {
      url: `http://${host}:${listening}`,
      device: devices.map(({ name }) => name).join(', '),
      items: devices.reduce((sum, { items }) => sum + items.length, 0),
    });
    if (recording === undefined) {
      await playMachines({ agent, machines, intervalMs: MACHINE_INTERVAL_MS, clock: systemClock }, signal);
    } else {
      const { sayings } = recording;
      const said = await playRecording({ agent, sayings, speed, loop, clock: systemClock }, signal);
      if (!signal.aborted) log.info('the recording has ended; the agent still answers', { observations: said });
    }
    await aborted(signal);
    await agent.close();
  });
}

async function recordingOf(file: string, device: string | undefined): Promise<RecordedAgent> {
  const recording = recordedAgent(await textOf(file), device ?? path.parse(file).name);
  if (recording.sayings.length > 0) return recording;
  throw new MillwrightError('config_invalid', `${file} holds no line of an adapter`);
}

export interface OpcuaArguments {
  readonly host: string;
  readonly port: number;
  readonly machines: number;
  readonly pki: string;
  readonly file?: string;
  readonly speed: number | 'max';
  readonly loop: boolean;
}

export async function opcua({ file, machines, pki, speed, loop, ...address }: OpcuaArguments): Promise<void> {
  const log = processLogger('info');
  const shown = file === undefined ? machines : { recorded: await recordingOf(file, undefined), speed, loop };
  await runProcess(log, async (signal) => {
    await runOpcuaMachines({ ...address, pkiFolder: pki, machines: shown, clock: systemClock, log }, signal);
  });
}

export interface MqttArguments {
  readonly machines: number;
  readonly file?: string;
  readonly speed: number | 'max';
  readonly loop: boolean;
  readonly interval: number;
  readonly place: string;
  readonly sparkplug: boolean;
  readonly user?: string;
  readonly password?: string;
}

export async function mqtt(url: string, options: MqttArguments): Promise<void> {
  const { machines, file, speed, loop, interval, place, sparkplug, user, password } = options;
  if (!isBroker(url))
    throw new MillwrightError('config_invalid', `${url} is no broker; allowed: mqtt://host:1883, or mqtts`);
  const log = processLogger('info');
  const shown = file === undefined ? machines : { recorded: await recordingOf(file, undefined), speed, loop };
  await runProcess(log, (signal) => {
    const broker = { ...BROKER_DEFAULTS, url, user: user ?? null, password: password ?? null };
    const parts = { clock: systemClock, random: Math.random, log };
    const own = { broker, machines: shown, intervalMs: interval, place, isSparkplug: sparkplug };
    return runMqttMachines({ ...own, ...parts }, signal);
  });
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new MillwrightError('config_invalid', `cannot read ${file}: ${messageOf(cause)}`);
  }
}
