/** `millwright probe …`: what the command line does to look into a machine before there is a configuration. */
import { systemClock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import { processLogger } from '../base/logger.ts';
import { runProcess } from '../base/process.ts';
import { BROKER_DEFAULTS, connectMqtt, type IncomingMessage } from '../base/mqtt.ts';
import { isBroker, isTopicFilter } from '../base/mqtt-config.ts';
import { NoAnswer } from '../drivers/modbus/bus.ts';
import { createBus } from '../drivers/modbus/buses.ts';
import type { BusSettings } from '../drivers/modbus/options.ts';
import type { FunctionCode } from '../drivers/modbus/pdu.ts';
import { describeProbed, type Found, probe, scanUnits } from '../drivers/modbus/probe.ts';
import * as codec from '../base/sparkplug/payload.ts';
import { rebirthOrder } from '../drivers/mqtt/host-session.ts';
import { describeBroker, unbornNodes } from '../drivers/mqtt/probe.ts';
import { Agent } from '../drivers/mtconnect/agent.ts';
import { describeAgent } from '../drivers/mtconnect/probe.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const TIMEOUT_MS = 1_000;
/** A scan waits less long for each of many that are not there. */
const SCAN_TIMEOUT_MS = 300;
/** What a serial line can have. */
const UNITS_ALL = { first: 1, last: 247 } as const;
const ADDRESSES = 65_536;

export interface ModbusProbeOptions {
  readonly port: number;
  readonly framing: 'tcp' | 'rtu';
  readonly serial?: string;
  readonly baudRate: number;
  readonly parity: 'none' | 'even' | 'odd';
  readonly stopBits: 1 | 2;
  readonly unit: number;
  readonly function: FunctionCode;
  readonly register: number;
  readonly count: number;
  readonly base: 0 | 1;
  /** In milliseconds. */
  readonly timeout?: number;
  readonly scan: boolean;
  readonly units?: { readonly first: number; readonly last: number };
}

export async function modbus(host: string | undefined, options: ModbusProbeOptions): Promise<void> {
  const { register, count, base, unit, scan } = options;
  const address = register - base;
  if (address < 0 || address + count > ADDRESSES) {
    throw new MillwrightError(
      'config_invalid',
      `--register: there is no ${register + count - 1}, numbered from ${base}`,
    );
  }
  const settings = busSettings(host, options);
  await runProcess(processLogger('warn', true), async (signal) => {
    const bus = createBus(settings, systemClock);
    const timeoutMs = options.timeout ?? (scan ? SCAN_TIMEOUT_MS : TIMEOUT_MS);
    const request = { function: options.function, address, count: scan ? 1 : count };
    const common = { bus, request, base, timeoutMs, signal };
    try {
      if (scan) await scanAll(common, options.units ?? UNITS_ALL);
      else process.stdout.write(describeProbed(await probe({ ...common, unit }), { ...common, unit }));
    } catch (error) {
      // Ctrl-C gives the request up.
      if (signal.aborted) return;
      if (!(error instanceof NoAnswer)) throw error;
      const hint = '--scan shows which units there are; a longer --timeout may help';
      throw new MillwrightError(error.code, `${error.message}; ${hint}`);
    } finally {
      await bus.close();
    }
  });
}

function busSettings(host: string | undefined, options: ModbusProbeOptions): BusSettings {
  const { port, framing, serial, baudRate, parity, stopBits } = options;
  if ((host === undefined) === (serial === undefined)) {
    throw new MillwrightError('config_invalid', 'give a host, or --serial with a device such as /dev/ttyUSB0');
  }
  if (serial !== undefined) return { kind: 'serial', path: serial, baudRate, parity, stopBits };
  return { kind: 'tcp', host: host ?? '', port, framing, connectTimeoutMs: CONNECT_TIMEOUT_MS, parallel: 1 };
}

type ScanOptions = Omit<Parameters<typeof scanUnits>[0], 'firstUnit' | 'lastUnit'>;

async function scanAll(options: ScanOptions, { first, last }: { first: number; last: number }): Promise<void> {
  const all: Found[] = [];
  const progress = (text: string): void => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  };
  await scanUnits(
    { ...options, firstUnit: first, lastUnit: last },
    {
      asked: (unit) => progress(`unit ${unit} of ${last}`),
      found: (one) => {
        all.push(one);
        progress('');
        process.stdout.write(`unit ${one.unit}: ${one.text}\n`);
      },
    },
  );
  progress('');
  if (options.signal.aborted) return;
  if (all.length === 0) {
    process.stdout.write(
      `no unit from ${first} to ${last} at ${options.bus.place} answers within ${options.timeoutMs} ms\n`,
    );
  } else if (all.length > 1 && all.length === last - first + 1) {
    process.stdout.write('all of them answer: the device does not look at the unit id\n');
  }
}

export interface MtconnectProbeOptions {
  /** Name or uuid. */
  readonly device?: string;
  readonly token?: string;
  /** In milliseconds. */
  readonly timeout: number;
}

export async function mtconnect(url: string, { device, token, timeout }: MtconnectProbeOptions): Promise<void> {
  const address = URL.parse(url.includes('://') ? url : `http://${url}`);
  if (address === null || !/^https?:$/.test(address.protocol)) {
    throw new MillwrightError('config_invalid', `${url} is no address; allowed: http://host:5000, or https`);
  }
  const tls = { caFile: null, certFile: null, keyFile: null };
  const base = address.href.replace(/\/+$/, '');
  await runProcess(processLogger('warn', true), async (signal) => {
    const agent = new Agent({ url: base, token: token ?? null, tls, timeoutMs: timeout }, systemClock);
    try {
      const probe = await agent.probe(signal);
      const names = probe.devices.map(({ name }) => name).join(', ');
      if (device !== undefined && !probe.devices.some(({ name, uuid }) => name === device || uuid === device)) {
        throw new MillwrightError('not_found', `${base} has no device ${device}; it has ${names}`);
      }
      const current = await agent.current(null, signal);
      process.stdout.write(describeAgent({ url: base, probe, current }, device ?? null));
    } catch (error) {
      // Ctrl-C gives the request up.
      if (!signal.aborted) throw error;
    } finally {
      agent.close();
    }
  });
}

export interface MqttProbeOptions {
  readonly topic: string;
  /** In milliseconds. */
  readonly time: number;
  /** Whether nodes of Sparkplug B are asked to tell all anew. */
  readonly rebirth: boolean;
  readonly user?: string;
  readonly password?: string;
}

/** Messages that are remembered; who has more has seen enough. */
const MESSAGES_MAX = 10_000;
const MESSAGE_BYTES_MAX: number = 64 * 1024 * 1024;

export async function mqtt(address: string, { topic, time, rebirth, user, password }: MqttProbeOptions): Promise<void> {
  const url = address.includes('://') ? address : `mqtt://${address}`;
  if (!isBroker(url))
    throw new MillwrightError('config_invalid', `${url} is no broker; allowed: mqtt://host:1883, or mqtts`);
  if (!isTopicFilter(topic)) throw new MillwrightError('config_invalid', `--topic: ${topic} is no topic filter`);
  await runProcess(processLogger('warn', true), async (signal) => {
    const broker = { ...BROKER_DEFAULTS, url, user: user ?? null, password: password ?? null };
    const link = await connectMqtt({ broker, clock: systemClock, random: Math.random, signal });
    const messages: IncomingMessage[] = [];
    let bytes = 0;
    try {
      await link.subscribe([{ filter: topic, qos: 0 }]);
      const listening = (async (): Promise<void> => {
        for await (const message of link.messages()) {
          messages.push(message);
          bytes += message.payload.length;
          if (messages.length >= MESSAGES_MAX || bytes >= MESSAGE_BYTES_MAX) return;
        }
      })();
      await Promise.race([listening, systemClock.sleep(time / 2, signal)]);
      if (rebirth) {
        for (const node of unbornNodes(messages)) await link.publish(rebirthOrder(codec, node, Date.now()));
      }
      await Promise.race([listening, systemClock.sleep(time / 2, signal)]);
      await link.close();
      await listening.catch(() => {});
    } finally {
      await link.close();
    }
    process.stdout.write(describeBroker({ url, filter: topic, seconds: time / 1_000, messages }));
  });
}
