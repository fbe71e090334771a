/** The driver's configuration after reading: complete, checked, plain JSON. `config.ts` makes it from YAML. */
import type { BrokerSettings, Quality } from '../../base/mqtt.ts';
import type { EventType } from '../../model/reading.ts';
import type { MachineState } from '../../model/signals.ts';

export interface MqttOptions {
  readonly broker: BrokerSettings;
  readonly source: PlainOptions | SparkplugOptions;
}

/** What becomes of a value. */
export type Target =
  | {
      readonly kind: 'field';
      readonly name: string;
      /** `auto`: as it comes. */
      readonly type: 'number' | 'integer' | 'text' | 'auto';
      /** value · scale + offset, of numbers. */
      readonly scale: number;
      readonly offset: number;
    }
  /** By the raw word in small letters; a word that is itself a state need not stand there. */
  | { readonly kind: 'state'; readonly states: { readonly [word: string]: MachineState } }
  | { readonly kind: 'event'; readonly eventType: Extract<EventType, 'message' | 'condition' | 'program' | 'part'> };

/** By a path in the payload, a name from the topic, or the name of a metric. */
export type TargetMap = { readonly [name: string]: Target };

export const TIME_FORMATS = ['auto', 'iso', 'unix_s', 'unix_ms', 'unix_us', 'unix_ns'] as const;
export type TimeFormat = (typeof TIME_FORMATS)[number];

export interface TopicOptions {
  readonly filter: string;
  /** With `{2}` for the second level of the topic and `{last}` for the last; null: the sensor's own. */
  readonly machine: string | null;
  /** Set where a message is one value, of this name. */
  readonly name: string | null;
  /** Of such a message, where the value stands in it; null: the payload is the value. */
  readonly value: string | null;
  readonly map: TargetMap;
  readonly extra: 'all' | readonly string[];
  readonly timestamp: { readonly path: string; readonly format: TimeFormat } | null;
}

export interface PlainOptions {
  readonly kind: 'plain';
  readonly topics: readonly TopicOptions[];
  readonly qos: Quality;
  /** The broker keeps what comes while we are away, for so long; 0: nothing. */
  readonly sessionExpiryMs: number;
  /** `timed`: retained messages that say their own time. */
  readonly retained: 'timed' | 'all' | 'none';
}

export interface SparkplugOptions {
  readonly kind: 'sparkplug';
  readonly hostId: string;
  /** null: all. */
  readonly groups: readonly string[] | null;
  readonly machine: string;
  readonly nodeMachine: string;
  /** By `group/node` or `group/node/device`. */
  readonly machines: { readonly [place: string]: string };
  readonly map: TargetMap;
  readonly extra: 'all' | readonly string[];
  readonly rebirthIntervalMs: number;
}
