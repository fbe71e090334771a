/** The messages that a reading is on plain topics: a name space of the plant, with a topic for each value. Pure. */
import type { OutgoingMessage } from '../../base/mqtt.ts';
import { kindOf, type Reading } from '../../model/reading.ts';
import { microsOf } from '../../model/time.ts';
import type { PlainTarget } from './config.ts';
import { valuesOf } from './values.ts';

const SIGNAL = '{signal}';

export interface PlainParts {
  readonly target: PlainTarget;
  readonly gatewayId: string;
  readonly isLate: (topic: string, micros: number) => boolean;
}

export function messagesOf(reading: Reading, { target, gatewayId, isLate }: PlainParts): OutgoingMessage[] {
  const micros = microsOf(reading.timestamp);
  const words = { gateway_id: gatewayId, machine_id: reading.machine_id };
  const message = (topic: string, content: object, mayBeKept: boolean): OutgoingMessage => {
    const late = isLate(topic, micros);
    const payload = Buffer.from(JSON.stringify(late ? { ...content, historical: true } : content));
    return { topic, payload, qos: 1, retain: mayBeKept && target.retain && !late };
  };
  if (reading.kind === 'event') {
    if (target.eventsTopic === null) return [];
    // An event is no state that holds: who comes later must not take it for news.
    return [message(filled(target.eventsTopic, { ...words, event_type: reading.event_type }), reading, false)];
  }
  if (reading.kind === 'measurement') {
    if (target.measurementsTopic === null) return [];
    const topic = filled(target.measurementsTopic, { ...words, characteristic: reading.characteristic });
    return [message(topic, reading, true)];
  }
  if (target.topic === null) return [];
  const { topic } = target;
  if (!topic.includes(SIGNAL)) return [message(filled(topic, words), reading, true)];
  const { machine_id, timestamp } = reading;
  return valuesOf(reading).map(({ name, value, unit }) => {
    const content = { value, ...(unit !== '' && { unit }), timestamp, kind: kindOf(reading), machine_id };
    return message(filled(topic, { ...words, signal: name }), content, true);
  });
}

/** What separates levels, or stands for several, becomes `_` in a word. */
function filled(template: string, words: { readonly [name: string]: string }): string {
  return template.replaceAll(/\{(\w+)\}/g, (_, name: string) => (words[name] ?? '').replaceAll(/[+#/\0]/g, '_'));
}
