/** The keys by which a configuration names an MQTT broker and how to log in there: the same for driver and sink. */
import { z } from 'zod';
import { duration, filePath, scalar, text } from './config.ts';
import { tlsFilesOf } from './http-config.ts';
import type { BrokerSettings } from './mqtt.ts';

type Text = ReturnType<typeof text>;
type Optional = z.ZodOptional<Text>;
type Duration = z.ZodPrefault<ReturnType<typeof duration>>;

/** To be spread into a section. */
export const brokerKeys: {
  readonly url: Text;
  readonly client_id: Optional;
  readonly user: Optional;
  readonly password: Optional;
  readonly protocol: z.ZodPrefault<ReturnType<typeof scalar<4 | 5>>>;
  readonly keep_alive: Duration;
  readonly timeout: Duration;
  readonly tls_ca_file: Optional;
  readonly tls_cert_file: Optional;
  readonly tls_key_file: Optional;
} = {
  url: scalar('an address such as mqtt://host:1883 or mqtts://host:8883', (value) => {
    return isBroker(String(value)) ? String(value) : undefined;
  }).describe('Address of the broker'),
  client_id: scalar('text of 1 to 128 characters', (value) => {
    return /^[^\0+#/]{1,128}$/.test(String(value)) ? String(value) : undefined;
  })
    .optional()
    .describe(
      'Name at the broker, unique there: it closes the connection of another with the same. Default: by chance',
    ),
  user: text().optional().describe('User'),
  password: text().optional().describe('Password'),
  protocol: scalar<4 | 5>('5 or 3.1.1', (value) => {
    return String(value) === '5' ? 5 : String(value) === '3.1.1' ? 4 : undefined;
  })
    .prefault('5')
    .describe('Version of MQTT'),
  keep_alive: duration({ minMs: 1_000, maxMs: 600_000 })
    .prefault('15s')
    .describe('A broker that is silent for one and a half times as long is given up; it does the same with us'),
  timeout: duration({ minMs: 100, maxMs: 600_000 }).prefault('10s').describe('How long the broker may take to answer'),
  tls_ca_file: filePath().optional().describe("PEM file of the authority that signed the broker's certificate"),
  tls_cert_file: filePath().optional().describe('PEM file of our own certificate, where the broker asks for one'),
  tls_key_file: filePath().optional().describe('PEM file of its key'),
};

type BrokerKeys = z.output<z.ZodObject<typeof brokerKeys>>;

export function brokerOf(keys: BrokerKeys): BrokerSettings {
  return {
    url: keys.url,
    clientId: keys.client_id ?? null,
    user: keys.user ?? null,
    password: keys.password ?? null,
    protocolVersion: keys.protocol,
    keepAliveMs: keys.keep_alive,
    timeoutMs: keys.timeout,
    tls: tlsFilesOf(keys),
  };
}

export function isBroker(address: string): boolean {
  const url = URL.parse(address);
  if (url === null || !/^mqtts?:$/.test(url.protocol) || url.hostname === '') return false;
  // A password in it would be shown by the logs.
  return [url.search, url.hash, url.username, url.password].every((part) => part === '') && /^\/?$/.test(url.pathname);
}

/** A topic to publish to, without what stands for several. */
export function isTopic(topic: string): boolean {
  return topic !== '' && !/[+#\0]/.test(topic) && topic.isWellFormed() && Buffer.byteLength(topic) <= 65_535;
}

/** MQTT 5, 4.7: `+` stands for one level, `#` for all that follow, each alone in its level. */
export function isTopicFilter(filter: string): boolean {
  const levels = filter.split('/');
  const areWhole = levels.every(
    (level, index) => !/[+#]/.test(level) || level === '+' || (level === '#' && index === levels.length - 1),
  );
  return filter !== '' && !filter.includes('\0') && filter.isWellFormed() && filter.length <= 1_024 && areWhole;
}
