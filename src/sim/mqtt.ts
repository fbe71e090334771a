/**
 * Simulated machines, or a recorded one, that publish at an MQTT broker: each of them one JSON object a second on a topic of
 * its own, or as devices of a Sparkplug B edge node. They connect again when the broker was away; what they say meanwhile is
 * lost. Of a recording it is what holds at that moment, not each change.
 */
import { type Clock, now } from '../base/clock.ts';
import { messageOf, MillwrightError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { type BrokerSettings, connectMqtt, type MqttLink } from '../base/mqtt.ts';
import type { Random } from '../base/random.ts';
import { DATATYPES, valueOf } from '../base/sparkplug/metric.ts';
import { EdgeNode, type MetricValue } from '../base/sparkplug/node.ts';
import { decodePayload } from '../base/sparkplug/payload.ts';
import { REBIRTH, topicOf } from '../base/sparkplug/topics.ts';
import { machineAt, type MachineValues } from './machine.ts';
import type { Saying } from './mtconnect-agent.ts';
import { playRecording, type RecordedAgent, valueSaid } from './recorded-agent.ts';

export interface MqttMachinesOptions {
  readonly broker: BrokerSettings;
  /** Simulated machines, or one that is recorded. */
  readonly machines: number | Recording;
  readonly intervalMs: number;
  /** Before the machine's name; of Sparkplug B the group. */
  readonly place: string;
  readonly isSparkplug: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

interface Recording {
  readonly recorded: RecordedAgent;
  readonly speed: number | 'max';
  readonly loop: boolean;
}

/** What is published of a machine. */
interface Machine {
  readonly name: string;
  readonly metrics: readonly { readonly name: string; readonly unit: string; readonly isText: boolean }[];
  /** By the metrics' names; null: not known. */
  now(): { readonly [name: string]: number | string | null };
}

const AGAIN_MS = 1_000;
/** How far into its cycle each machine is before the next one. */
const PHASE_SECONDS = 17;
const NODE = 'simulator';

/** The metrics and keys, in this order. */
const VALUES: readonly {
  readonly name: string;
  readonly unit: string;
  readonly of: (values: MachineValues) => number | string;
}[] = [
  { name: 'state', unit: '', of: ({ state }) => state },
  { name: 'temperature', unit: '°C', of: ({ temperatureC }) => temperatureC },
  { name: 'spindle_speed', unit: 'rpm', of: ({ spindleSpeedRpm }) => spindleSpeedRpm },
  { name: 'spindle_load', unit: '%', of: ({ spindleLoadPercent }) => spindleLoadPercent },
  { name: 'feed_rate', unit: 'mm/min', of: ({ feedRateMmPerMin }) => feedRateMmPerMin },
  { name: 'x', unit: 'mm', of: ({ xMm }) => xMm },
  { name: 'y', unit: 'mm', of: ({ yMm }) => yMm },
  { name: 'z', unit: 'mm', of: ({ zMm }) => zMm },
  { name: 'power_w', unit: 'W', of: ({ powerKw }) => Math.round(powerKw * 1_000) },
  { name: 'program', unit: '', of: ({ program }) => program },
  { name: 'part_count', unit: '', of: ({ partCount }) => partCount },
];

/** Publishes until aborted. @throws config_invalid when the broker will not let it in */
export async function runMqttMachines(options: MqttMachinesOptions, signal: AbortSignal): Promise<void> {
  const { machines, clock } = options;
  if (typeof machines === 'number') return runMachines(options, simulatedMachines(machines, clock), signal);
  const { machine, observe } = recordedMachine(machines.recorded);
  const end = new AbortController();
  const { recorded, speed, loop } = machines;
  const play = { agent: { observe }, sayings: recorded.sayings, speed, loop, clock };
  const playing = playRecording(play, AbortSignal.any([signal, end.signal]));
  try {
    await runMachines(options, [machine], signal);
  } finally {
    end.abort();
    await playing;
  }
}

async function runMachines(
  options: MqttMachinesOptions,
  machines: readonly Machine[],
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = options;
  const node = new EdgeNode({ group: options.place, node: NODE });
  for (let bdSeq = 0; !signal.aborted; bdSeq = (bdSeq + 1) % 256) {
    try {
      await (options.isSparkplug
        ? publishAsNode(options, { node, bdSeq, machines }, signal)
        : publishPlain(options, machines, signal));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof MillwrightError) || error.code === 'config_invalid') throw error;
      log.warn('the broker is not there; it is tried again', { reason: messageOf(error) });
      await clock.sleep(AGAIN_MS, signal);
    }
  }
}

async function publishPlain(
  options: MqttMachinesOptions,
  machines: readonly Machine[],
  signal: AbortSignal,
): Promise<void> {
  const { clock, place, intervalMs, log } = options;
  const link = await connectMqtt({ ...options, signal });
  log.info('the machines publish', { topic: `${place}/${machines[0]?.name}/telemetry`, broker: link.place });
  try {
    while (!signal.aborted) {
      for (const machine of machines) {
        // At the front, and ours though an item may have the same name.
        const time = { timestamp: now(clock) };
        const payload = Buffer.from(JSON.stringify({ ...time, ...machine.now(), ...time }));
        await link.publish({ topic: `${place}/${machine.name}/telemetry`, payload, qos: 1, retain: false });
      }
      await clock.sleep(intervalMs, signal);
    }
  } finally {
    await link.close();
  }
}

interface NodeRun {
  readonly node: EdgeNode;
  readonly bdSeq: number;
  readonly machines: readonly Machine[];
}

async function publishAsNode(
  options: MqttMachinesOptions,
  { node, bdSeq, machines }: NodeRun,
  signal: AbortSignal,
): Promise<void> {
  const { clock, place, intervalMs, log } = options;
  const nowMs = (): number => Math.floor(clock.nowMicros() / 1_000);
  const link = await connectMqtt({ ...options, signal, will: node.death(bdSeq, nowMs()) });
  try {
    await link.subscribe([{ filter: topicOf('NCMD', { group: place, node: NODE }), qos: 1 }]);
    for (const { name, metrics } of machines) {
      const definitions = metrics.map(({ name: metric, unit, isText }) => ({
        name: metric,
        datatype: isText ? DATATYPES.String : DATATYPES.Double,
        ...(unit !== '' && { unit }),
      }));
      node.define(name, definitions);
    }
    for (const message of node.birth(bdSeq, nowMs())) await link.publish(message);
    for (const { name } of machines) await link.publish(node.deviceBirth(name, nowMs()));
    void obey(link, node, nowMs);
    log.info('the edge node is born', { node: `${place}/${NODE}`, broker: link.place });
    while (!signal.aborted) {
      for (const machine of machines) {
        const timestampMs = nowMs();
        const values = Object.entries(machine.now());
        const data = values.map(([name, value]): MetricValue => ({ name, value, timestampMs }));
        await link.publish(node.data(machine.name, data, timestampMs));
      }
      await clock.sleep(intervalMs, signal);
    }
  } finally {
    await link.close(node.death(bdSeq, nowMs()));
  }
}

/** The order to be born again is the only one there is. */
async function obey(link: MqttLink, node: EdgeNode, nowMs: () => number): Promise<void> {
  try {
    for await (const message of link.messages()) {
      link.acknowledge(message);
      if (isRebirthOrder(message.payload)) await Promise.all(node.rebirth(nowMs()).map((birth) => link.publish(birth)));
    }
  } catch {
    // The connection has ended: who publishes will see it for himself.
  }
}

/** Somebody may send rubbish. */
function isRebirthOrder(payload: Uint8Array): boolean {
  try {
    const { metrics } = decodePayload(payload);
    return metrics.some((metric) => metric.name === REBIRTH && valueOf(metric, metric.datatype) === true);
  } catch (error) {
    if (error instanceof MillwrightError) return false;
    throw error;
  }
}

function simulatedMachines(count: number, clock: Clock): Machine[] {
  const startedMs = clock.monotonicMs();
  const metrics = VALUES.map(({ name, unit }) => ({ name, unit, isText: name === 'state' || name === 'program' }));
  return Array.from({ length: count }, (_, index) => ({
    name: `mill-${index + 1}`,
    metrics,
    now: () => {
      const seconds = (clock.monotonicMs() - startedMs) / 1_000;
      const values = machineAt({ seed: index + 1, phaseSeconds: index * PHASE_SECONDS }, seconds);
      return Object.fromEntries(VALUES.map((value) => [value.name, value.of(values)]));
    },
  }));
}

function recordedMachine({ device }: RecordedAgent): { machine: Machine; observe: (saying: Saying) => void } {
  const items = new Map(device.items.map((item) => [item.id, item]));
  const values = new Map<string, number | string | null>(device.items.map(({ id }) => [id, null]));
  const metrics = device.items.map(({ id, category, units = '' }) => {
    return { name: id, unit: units, isText: category !== 'SAMPLE' };
  });
  return {
    // A file's name may hold what no level of a topic may.
    machine: { name: device.name.replaceAll(/[/+#]/g, '_'), metrics, now: () => Object.fromEntries(values) },
    observe: (saying) => {
      const item = items.get(saying.item);
      if (item !== undefined) values.set(item.id, valueSaid(saying, item.category));
    },
  };
}
