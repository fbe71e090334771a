/** Looking into a server before there is a configuration: its endpoints, what it has, and a map to be pasted. Loads the library. */
import {
  AttributeIds,
  type ClientSession,
  DataType,
  type DataValue,
  type EndpointDescription,
  NodeClass,
  promoteOpaqueStructure,
  UserTokenType,
} from 'node-opcua';
import { MillwrightError } from '../../base/errors.ts';
import type { JsonValue } from '../../model/reading.ts';
import { signalNamed } from '../../model/signals.ts';
import { timestampOf } from '../../model/time.ts';
import { endpointText } from './connection.ts';
import { faultOf, type FaultParts } from './faults.ts';
import { stepText } from './names.ts';
import { childrenOf, NodeFinder } from './nodes.ts';
import { show } from './values.ts';
import { jsonOfVariant, timesOf } from './variants.ts';

const { X509Certificate } = process.getBuiltinModule('node:crypto');

/** Nodes that are shown, and how deep below the one that was asked for. */
const NODES_MAX = 500;
const DEPTH_MAX = 8;

export interface ProbedNode {
  readonly path: string;
  readonly nodeId: string;
  readonly depth: number;
  readonly name: string;
  /** Undefined for what is no variable. */
  readonly variable?: {
    readonly type: string;
    readonly value: JsonValue;
    readonly status: string;
    readonly time: string;
  };
}

export function describeEndpoints(url: string, endpoints: readonly EndpointDescription[]): string {
  const [first] = endpoints;
  const name = first?.server.applicationName?.text ?? '';
  const lines = [`${url}: ${name} (${first?.server.applicationUri ?? ''})`, '', 'endpoints'];
  for (const endpoint of endpoints) {
    const logins = (endpoint.userIdentityTokens ?? []).map(({ tokenType }) => UserTokenType[tokenType]);
    lines.push(`  ${endpointText(endpoint)}; log in by ${[...new Set(logins)].join(', ') || 'nothing'}`);
  }
  const certificate = endpoints.find(({ serverCertificate }) => serverCertificate?.length > 0)?.serverCertificate;
  if (certificate !== undefined) {
    const { fingerprint, subject, validFrom, validTo } = new X509Certificate(certificate);
    const thumbprint = fingerprint.replaceAll(':', '').toLowerCase();
    lines.push('', `certificate ${subject.replaceAll('\n', ', ')}`, `  thumbprint ${thumbprint}`);
    lines.push(`  valid from ${validFrom} to ${validTo}`);
  }
  return `${lines.join('\n')}\n`;
}

/** What is below a node, with its values now. @throws not_found, connection_failed, config_invalid */
export async function probeNodes(session: ClientSession, from: string, parts: FaultParts): Promise<ProbedNode[]> {
  try {
    return await nodesBelow(session, from);
  } catch (error) {
    throw faultOf(error, parts, 'reading');
  }
}

async function nodesBelow(session: ClientSession, from: string): Promise<ProbedNode[]> {
  const finder = new NodeFinder(session, await session.readNamespaceArray());
  const found = await finder.find(from);
  if ('fault' in found) throw new MillwrightError('not_found', `${from}: ${found.fault}`);
  const nodes: ProbedNode[] = [];
  const seen = new Set<string>();
  const walk = async (nodeId: string, path: string, depth: number): Promise<void> => {
    for (const { nodeId: id, browseName, nodeClass } of await childrenOf(session, nodeId)) {
      const text = id.toString();
      // What belongs to every server and to no machine.
      if (seen.has(text) || nodes.length >= NODES_MAX || (text === 'ns=0;i=2253' && from === 'Objects')) continue;
      seen.add(text);
      const name = browseName.name ?? '';
      const own = `${path}/${stepText(name)}`;
      const variable = nodeClass === NodeClass.Variable ? await variableOf(session, text) : undefined;
      nodes.push({ path: own, nodeId: text, depth, name, ...(variable === undefined ? {} : { variable }) });
      if (depth < DEPTH_MAX) await walk(text, own, depth + 1);
    }
  };
  await walk(found.nodeId, from.replace(/\/+$/, ''), 0);
  return nodes;
}

async function variableOf(session: ClientSession, nodeId: string): Promise<ProbedNode['variable']> {
  const dataValue: DataValue = await session.read({ nodeId, attributeId: AttributeIds.Value });
  await promoteOpaqueStructure(session, [dataValue]);
  const { value, statusCode } = dataValue;
  const { sourceMicros } = timesOf(dataValue);
  const isList = Array.isArray(value.value) || ArrayBuffer.isView(value.value);
  return {
    type: `${DataType[value.dataType]}${isList && value.dataType !== DataType.Int64 && value.dataType !== DataType.UInt64 ? '[]' : ''}`,
    value: jsonOfVariant(value),
    status: statusCode.name,
    time: sourceMicros === null ? '' : timestampOf(sourceMicros),
  };
}

export function describeNodes(from: string, nodes: readonly ProbedNode[]): string {
  const lines = [`below ${from}`];
  for (const { depth, name, nodeId, variable } of nodes) {
    const value =
      variable === undefined ? '' : `  ${show(variable.value)}  ${variable.type}  ${variable.status}  ${variable.time}`;
    lines.push(`${'  '.repeat(depth + 1)}${name}  ${nodeId}${value}`.trimEnd());
  }
  if (nodes.length === 0) lines.push('  nothing');
  if (nodes.length >= NODES_MAX)
    lines.push(`  … only the first ${NODES_MAX}; --browse with a longer path shows others`);
  return `${lines.join('\n')}\n`;
}

/** Browse names, alone or with the folder's before, that say a standard signal; the first that fits fills it. */
const SIGNAL_NAMES: readonly (readonly [RegExp, string])[] = [
  [/^spindle(speed|rpm|speedactual|actualspeed|speedrpm)$|^actualspindlespeed$/, 'spindle_speed'],
  [/^spindleload(percent)?$/, 'spindle_load_percent'],
  [/^(temperature|spindletemperature)(c)?$/, 'temperature'],
  [/^x(pos|position|axis|positionmm|posmm)$|^axes?x$/, 'x_pos_mm'],
  [/^y(pos|position|axis|positionmm|posmm)$|^axes?y$/, 'y_pos_mm'],
  [/^z(pos|position|axis|positionmm|posmm)$|^axes?z$/, 'z_pos_mm'],
  [/^(actual)?feedrate(actual|mmmin)?$/, 'feed_rate_actual'],
  [/^(activeprogramline|programline|linenumber)$/, 'active_program_line'],
  [/^totalpower(kw)?$/, 'total_power_kw'],
];
const NAME_CHARS = 128;

/** A sensor that reads these nodes, as YAML. */
export function configurationOf(
  nodes: readonly ProbedNode[],
  keys: { readonly url: string; readonly policy: string; readonly login: readonly string[] },
): string {
  const lines = ['sensors:', '  - name: machine', '    type: opcua', `    url: ${JSON.stringify(keys.url)}`];
  if (keys.policy === 'None') lines.push('    policy: None');
  lines.push(...keys.login.map((line) => `    ${line}`), '    nodes:');
  const taken = new Set<string>();
  for (const { path, name, variable } of nodes) {
    if (variable === undefined || typeof variable.value === 'object') continue;
    const names = [name, `${path.split('/').at(-2) ?? ''}${name}`].map(plainOf);
    const signal = SIGNAL_NAMES.find(
      ([pattern, one]) => names.some((own) => pattern.test(own)) && !taken.has(one),
    )?.[1];
    const isNumber = typeof variable.value === 'number';
    const target = signal !== undefined && isNumber ? `signal: ${signal}` : `extra: ${ownName(name, path, taken)}`;
    taken.add(target.slice(target.indexOf(' ') + 1));
    lines.push(`      - { node: ${JSON.stringify(path)}, ${target} }  # ${variable.type}`);
  }
  if (taken.size === 0) lines.push('      []  # there is no variable with a single value');
  lines.push(
    '    # signals are guessed by the names: compare their units, and set scale and offset where they are others',
  );
  lines.push('    # the state of the machine, from the node that says it:');
  lines.push('    #  - { node: …, signal: machine_state, states: { "0": idle, "1": running } }');
  return `${lines.join('\n')}\n`;
}

/** In small letters with lines between the words; with the names of the folders before it where it would be taken. */
function ownName(name: string, path: string, taken: ReadonlySet<string>): string {
  const steps = path.split('/').slice(1, -1).map(wordsOf);
  let own = wordsOf(name);
  while ((taken.has(own) || signalNamed(own) !== undefined || RESERVED.has(own)) && steps.length > 0) {
    own = `${steps.pop()}_${own}`;
  }
  return (taken.has(own) || signalNamed(own) !== undefined || RESERVED.has(own) ? `${own}_${taken.size}` : own).slice(
    0,
    NAME_CHARS,
  );
}

const RESERVED: ReadonlySet<string> = new Set([
  '',
  'kind',
  'timestamp',
  'machine_id',
  'gateway_time',
  'clock_quality',
  'sampling_factor',
]);

/** In small letters and without signs. */
function plainOf(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z\d]/g, '');
}

function wordsOf(name: string): string {
  return name
    .replaceAll(/([a-z\d])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replaceAll(/[^a-z\d]+/g, '_')
    .replaceAll(/^_+|_+$/g, '');
}
