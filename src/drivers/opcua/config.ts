/** The `opcua` driver's part of a sensor in the configuration: from what a person writes to {@link OpcuaOptions}. */
import { z } from 'zod';
import { choice, duration, filePath, flag, integer, name, number, scalar, section, text } from '../../base/config.ts';
import { POLICIES } from '../../base/opcua-policies.ts';
import { isSignalKey, NAME_LENGTH_MAX } from '../../model/reading.ts';
import { MACHINE_STATES, SIGNAL_NAMES, signalNamed } from '../../model/signals.ts';
import { parseNodeName } from './names.ts';
import type { FieldSettings, Identity, NodeSettings, OpcuaOptions } from './options.ts';

/** Nodes of one sensor. */
const NODES_MAX = 2_000;
const FACTOR = { min: -1e15, max: 1e15 };
const INTERVAL = { minMs: 10, maxMs: 86_400_000 };

const extraName = scalar('a name of your own; standard signals go under signal', (value) => {
  const own = String(value);
  const isOwn = isSignalKey(own) && signalNamed(own) === undefined && own !== '__proto__';
  return isOwn && own !== '' && own.length <= NAME_LENGTH_MAX && own.isWellFormed() ? own : undefined;
});

const nodeName = scalar(
  'a node id such as ns=2;s=Spindle/Speed or nsu=urn:maker;s=Speed, or a path such as Objects/Machines/CNC-001/Speed',
  (value) => (parseNodeName(String(value)) === undefined ? undefined : String(value)),
);

const nodeSchema = section({
  node: nodeName.describe('Node id, with the index or the URI of its namespace; or the path to it by browse names'),
  signal: choice(SIGNAL_NAMES).optional().describe('Standard signal that it fills'),
  extra: extraName.optional().describe('Or a name of your own under which it is kept'),
  index: integer({ min: 0, max: 1_000_000 }).optional().describe('Element of an array, from 0'),
  field: text('a field of the structure, such as Position.Value')
    .optional()
    .describe('Field of a structure; points lead to fields within it, and to elements of arrays: Axes.0.Load'),
  scale: number(FACTOR).prefault(1).describe('The value is multiplied by this …'),
  offset: number(FACTOR).prefault(0).describe('… and this is added'),
  states: z
    .record(z.string(), choice(MACHINE_STATES), { error: () => 'allowed: a section of "value: state" lines' })
    .optional()
    .describe('For signal: machine_state, the state for each value of the node'),
  sampling_interval: duration(INTERVAL).optional().describe('Default: that of the sensor'),
});

type WrittenNode = z.output<typeof nodeSchema>;

const written = section({
  url: scalar('an address such as opc.tcp://192.168.10.9:4840', (value) => {
    const address = URL.parse(String(value));
    return address?.protocol === 'opc.tcp:' && address.hostname !== '' ? String(value) : undefined;
  }).describe('Address of the server'),
  policy: choice([...POLICIES, 'None'])
    .optional()
    .describe('Security policy. Default: the first of these that the server offers, but None only when it stands here'),
  mode: choice(['SignAndEncrypt', 'Sign'])
    .prefault('SignAndEncrypt')
    .describe('Sign: everybody on the network can read along'),
  user: name().optional().describe('User who logs in'),
  password: text().optional().describe('The password of the user'),
  password_file: filePath().optional().describe('Or a file whose first line is the password'),
  user_certificate: filePath().optional().describe('Instead of a user: PEM file of the certificate that logs in'),
  user_key: filePath().optional().describe('PEM file of its private key'),
  anonymous: flag().prefault(false).describe('true: without logging in'),
  pki_folder: text('a path')
    .optional()
    .describe("Folder of certificates; default: drivers/opcua/pki in the folder of the edge's log, for all sensors"),
  publishing_interval: duration({ minMs: 10, maxMs: 60_000 })
    .prefault('500ms')
    .describe('The server tells what has changed so often'),
  sampling_interval: duration(INTERVAL).prefault('100ms').describe('The server looks at each node so often'),
  queue_size: integer({ min: 1, max: 10_000 })
    .prefault(20)
    .describe('Values of one node that the server keeps between two messages'),
  session_timeout: duration({ minMs: 10_000, maxMs: 3_600_000 })
    .prefault('30s')
    .describe('After which the server closes the session of an edge that it does not hear any more'),
  timeout: duration({ minMs: 1_000, maxMs: 60_000 }).prefault('5s').describe('Longest wait for an answer'),
  clock_difference_max: duration({ minMs: 1_000, maxMs: 86_400_000 })
    .prefault('1m')
    .describe("The server's clock may differ so much from the gateway's; beyond it the gateway's time is used"),
  nodes: z
    .array(nodeSchema, { error: () => 'allowed: a list of nodes' })
    .min(1, 'allowed: one node at least')
    .max(NODES_MAX, `allowed: ${NODES_MAX} nodes`)
    .describe('What is read'),
});

type Written = z.output<typeof written>;

/** Output: {@link OpcuaOptions}. */
export const schema: z.ZodType<OpcuaOptions, unknown> = written
  .superRefine((options, context) => {
    for (const { path, message } of [...loginFaults(options), ...nodeFaults(options)]) {
      context.addIssue({ code: 'custom', path, message: `allowed: ${message}` });
    }
  })
  .transform(
    (options): OpcuaOptions => ({
      url: options.url,
      security: { policy: options.policy ?? 'strongest', mode: options.mode },
      identity: identityOf(options),
      pkiFolder: options.pki_folder ?? null,
      publishingIntervalMs: options.publishing_interval,
      queueSize: options.queue_size,
      sessionTimeoutMs: options.session_timeout,
      timeoutMs: options.timeout,
      clockDifferenceMsMax: options.clock_difference_max,
      nodes: nodesOf(options),
    }),
  );

function identityOf({ user, password, password_file, user_certificate, user_key }: Written): Identity {
  if (user_certificate !== undefined) {
    return { kind: 'certificate', certificateFile: user_certificate, keyFile: user_key ?? '' };
  }
  if (user === undefined) return { kind: 'anonymous' };
  if (password_file !== undefined) return { kind: 'password_file', user, file: password_file };
  return { kind: 'password', user, password: password ?? '' };
}

/** What is wanted of one node, perhaps several parts of its value, is monitored once. */
function nodesOf({ nodes, sampling_interval }: Written): NodeSettings[] {
  const byNode = new Map<string, { node: string; samplingIntervalMs: number; fields: FieldSettings[] }>();
  for (const one of nodes) {
    const samplingIntervalMs = one.sampling_interval ?? sampling_interval;
    const known = byNode.get(one.node);
    if (known === undefined) {
      byNode.set(one.node, { node: one.node, samplingIntervalMs, fields: [fieldOf(one)] });
    } else {
      known.fields.push(fieldOf(one));
      known.samplingIntervalMs = Math.min(known.samplingIntervalMs, samplingIntervalMs);
    }
  }
  return [...byNode.values()];
}

function fieldOf({ signal, extra, index, field, scale, offset, states }: WrittenNode): FieldSettings {
  return {
    name: signal ?? extra ?? '',
    type: signalNamed(signal ?? '')?.type ?? 'auto',
    index: index ?? null,
    path: field?.split('.') ?? [],
    scale,
    offset,
    states: states ?? null,
  };
}

interface Fault {
  readonly path: (string | number)[];
  readonly message: string;
}

function loginFaults(options: Written): Fault[] {
  const { user, password, password_file, user_certificate, user_key, anonymous } = options;
  const ways = [user !== undefined, user_certificate !== undefined, anonymous].filter(Boolean).length;
  if (ways !== 1) return [{ path: ['user'], message: 'one of user, user_certificate and anonymous: true' }];
  const passwords = [password, password_file].filter((one) => one !== undefined).length;
  if (passwords !== (user === undefined ? 0 : 1)) {
    return [{ path: ['password'], message: 'with user one of password and password_file, else none' }];
  }
  if ((user_certificate === undefined) !== (user_key === undefined)) {
    return [{ path: ['user_key'], message: 'with user_certificate, and only there' }];
  }
  return [];
}

function nodeFaults({ nodes }: Written): Fault[] {
  const faults: Fault[] = [];
  const names = new Set<string>();
  for (const [index, { signal, extra, states, scale, offset }] of nodes.entries()) {
    const fault = (key: string, message: string): void => void faults.push({ path: ['nodes', index, key], message });
    const own = signal ?? extra ?? '';
    if ((signal === undefined) === (extra === undefined)) fault('signal', 'one of signal and extra');
    else if (names.has(own)) fault(signal === undefined ? 'extra' : 'signal', 'a name that is not taken yet');
    names.add(own);
    if ((signal === 'machine_state') !== (states !== undefined)) {
      fault('states', 'with signal: machine_state, and only there');
    }
    if (states !== undefined && (scale !== 1 || offset !== 0))
      fault('scale', 'none: states are told by the value itself');
  }
  return faults;
}
