/** What a sink of type `mqtt` may be told. */
import { z } from 'zod';
import { flag, name, scalar, section } from '../../base/config.ts';
import type { BrokerSettings } from '../../base/mqtt.ts';
import { brokerKeys, brokerOf, isTopic } from '../../base/mqtt-config.ts';
import { isId } from '../../base/sparkplug/topics.ts';

function topicTemplate(words: readonly string[]): ReturnType<typeof scalar<string>> {
  const known = new RegExp(`\\{(?:${words.join('|')})\\}`, 'g');
  const allowed = `a topic without + and #, in which may stand ${words.map((word) => `{${word}}`).join(', ')}`;
  return scalar(allowed, (value) => {
    const template = String(value);
    const rest = template.replaceAll(known, 'x');
    return isTopic(rest) && !/[{}]/.test(rest) ? template : undefined;
  });
}

const idText = scalar('text without /, + and #', (value) => (isId(String(value)) ? String(value) : undefined));

const written = section({
  ...brokerKeys,
  topic: topicTemplate(['gateway_id', 'machine_id', 'signal'])
    .optional()
    .describe('Where samples go, such as acme/plant-1/milling/{machine_id}/{signal}. Without {signal}: whole samples'),
  events_topic: topicTemplate(['gateway_id', 'machine_id', 'event_type'])
    .optional()
    .describe('Where events go. Left out: they are not published'),
  measurements_topic: topicTemplate(['gateway_id', 'machine_id', 'characteristic'])
    .optional()
    .describe('Where measurements go. Left out: they are not published'),
  retain: flag()
    .prefault(false)
    .describe('Whether the broker keeps the newest value of each topic for who subscribes later. Never what is late'),
  sparkplug: section({
    group: idText.describe('Group of the edge node'),
    node: idText.optional().describe('Name of the edge node, unique in the group; default: the gateway id'),
    primary_host: idText
      .optional()
      .describe('Host application without which nothing is sent: while it is offline, readings wait in the log'),
  })
    .optional()
    .describe('Sparkplug B, instead of topics: each machine is a device'),
  machines: z
    .array(name(), { error: () => 'allowed: a list of names of machines' })
    .optional()
    .describe('Whose readings are published; default: all'),
}).superRefine(({ topic, events_topic, measurements_topic, retain, sparkplug }, context) => {
  const isPlain = [topic, events_topic, measurements_topic].some((one) => one !== undefined);
  if (isPlain === (sparkplug !== undefined)) {
    const message = 'allowed: either topic, events_topic and measurements_topic, or sparkplug';
    context.addIssue({ code: 'custom', path: [], message });
  }
  if (retain && sparkplug !== undefined) {
    context.addIssue({ code: 'custom', path: ['retain'], message: 'allowed with topics: Sparkplug B retains nothing' });
  }
});

/** As the schema leaves it. */
export interface MqttSinkOptions {
  readonly broker: BrokerSettings;
  /** null: all. */
  readonly machines: readonly string[] | null;
  readonly target: PlainTarget | SparkplugTarget;
}

export interface PlainTarget {
  readonly kind: 'plain';
  readonly topic: string | null;
  readonly eventsTopic: string | null;
  readonly measurementsTopic: string | null;
  readonly retain: boolean;
}

export interface SparkplugTarget {
  readonly kind: 'sparkplug';
  readonly group: string;
  /** null: the gateway id. */
  readonly node: string | null;
  readonly primaryHost: string | null;
}

export const schema: z.ZodType<MqttSinkOptions> = written.transform((keys): MqttSinkOptions => {
  const { topic, events_topic, measurements_topic, retain, sparkplug } = keys;
  return {
    broker: brokerOf(keys),
    machines: keys.machines ?? null,
    target:
      sparkplug === undefined
        ? {
            kind: 'plain',
            topic: topic ?? null,
            eventsTopic: events_topic ?? null,
            measurementsTopic: measurements_topic ?? null,
            retain,
          }
        : {
            kind: 'sparkplug',
            group: sparkplug.group,
            node: sparkplug.node ?? null,
            primaryHost: sparkplug.primary_host ?? null,
          },
  };
});
