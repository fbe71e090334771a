/**
 * Simulated machines that publish at an MQTT broker: each of them one JSON object a second on a topic of its own, or as
 * devices of a Sparkplug B edge node. They connect again when the broker was away; what they say meanwhile is lost.
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

export interface MqttMachinesOptions {
  readonly broker: BrokerSettings;
  readonly machines: number;
  readonly intervalMs: number;
  /** Before the machine's name; of Sparkplug B the group. */
  readonly place: string;
  readonly isSparkplug: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
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
  const { clock, log } = options;
  const startedMs = clock.monotonicMs();
  const node = new EdgeNode({ group: options.place, node: NODE });
  for (let bdSeq = 0; !signal.aborted; bdSeq = (bdSeq + 1) % 256) {
    try {
      await (options.isSparkplug
        ? publishAsNode(options, { node, bdSeq, startedMs }, signal)
        : publishPlain(options, startedMs, signal));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof MillwrightError) || error.code === 'config_invalid') throw error;
      log.warn('the broker is not there; it is tried again', { reason: messageOf(error) });
      await clock.sleep(AGAIN_MS, signal);
    }
  }
}

async function publishPlain(options: MqttMachinesOptions, startedMs: number, signal: AbortSignal): Promise<void> {
  const { clock, place, intervalMs, log } = options;
  const link = await connectMqtt({ ...options, signal });
  log.info('the machines publish', { topic: `${place}/mill-1/telemetry`, broker: link.place });
  try {
    while (!signal.aborted) {
      for (const { name, values } of machinesNow(options, startedMs)) {
        const content = Object.fromEntries(VALUES.map((value) => [value.name, value.of(values)]));
        const payload = Buffer.from(JSON.stringify({ timestamp: now(clock), ...content }));
        await link.publish({ topic: `${place}/${name}/telemetry`, payload, qos: 1, retain: false });
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
  readonly startedMs: number;
}

async function publishAsNode(
  options: MqttMachinesOptions,
  { node, bdSeq, startedMs }: NodeRun,
  signal: AbortSignal,
): Promise<void> {
  const { clock, place, intervalMs, log } = options;
  const nowMs = (): number => Math.floor(clock.nowMicros() / 1_000);
  const link = await connectMqtt({ ...options, signal, will: node.death(bdSeq, nowMs()) });
  try {
    await link.subscribe([{ filter: topicOf('NCMD', { group: place, node: NODE }), qos: 1 }]);
    for (const { name } of machinesNow(options, startedMs)) {
      const definitions = VALUES.map(({ name: metric, unit }) => ({
        name: metric,
        datatype: isText(metric) ? DATATYPES.String : DATATYPES.Double,
        ...(unit !== '' && { unit }),
      }));
      node.define(name, definitions);
    }
    for (const message of node.birth(bdSeq, nowMs())) await link.publish(message);
    for (const { name } of machinesNow(options, startedMs)) await link.publish(node.deviceBirth(name, nowMs()));
    void obey(link, node, nowMs);
    log.info('the edge node is born', { node: `${place}/${NODE}`, broker: link.place });
    while (!signal.aborted) {
      for (const { name, values } of machinesNow(options, startedMs)) {
        const timestampMs = nowMs();
        const data = VALUES.map((value): MetricValue => ({ name: value.name, value: value.of(values), timestampMs }));
        await link.publish(node.data(name, data, timestampMs));
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

function isText(metric: string): boolean {
  return metric === 'state' || metric === 'program';
}

function machinesNow(
  { machines, clock }: MqttMachinesOptions,
  startedMs: number,
): { name: string; values: MachineValues }[] {
  const seconds = (clock.monotonicMs() - startedMs) / 1_000;
  return Array.from({ length: machines }, (_, index) => {
    const values = machineAt({ seed: index + 1, phaseSeconds: index * PHASE_SECONDS }, seconds);
    return { name: `mill-${index + 1}`, values };
  });
}
