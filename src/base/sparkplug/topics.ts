/** Topics of Sparkplug B (Sparkplug 3.0, 4): `spBv1.0/{group}/{type}/{node}[/{device}]`, `spBv1.0/STATE/{host}`. Pure. */

export const NAMESPACE = 'spBv1.0';

export const MESSAGE_TYPES = ['NBIRTH', 'NDEATH', 'DBIRTH', 'DDEATH', 'NDATA', 'DDATA', 'NCMD', 'DCMD'] as const;
export type MessageType = (typeof MESSAGE_TYPES)[number];

/** An edge node. */
export interface NodeId {
  readonly group: string;
  readonly node: string;
}

export interface SparkplugTopic extends NodeId {
  readonly type: MessageType;
  /** null: of the node itself. */
  readonly device: string | null;
}

/** Metrics that every node has. */
export const BD_SEQ = 'bdSeq';
export const REBIRTH = 'Node Control/Rebirth';

export function topicOf(type: MessageType, { group, node }: NodeId, device: string | null = null): string {
  return `${NAMESPACE}/${group}/${type}/${node}${device === null ? '' : `/${device}`}`;
}

export function stateTopicOf(hostId: string): string {
  return `${NAMESPACE}/STATE/${hostId}`;
}

/** Undefined for a topic that is none, `STATE` included. */
export function parseTopic(topic: string): SparkplugTopic | undefined {
  const [namespace, group = '', word, node = '', device, ...rest] = topic.split('/');
  const type = MESSAGE_TYPES.find((known) => known === word);
  if (namespace !== NAMESPACE || type === undefined || group === '' || node === '' || rest.length > 0) return undefined;
  if (type.startsWith('D') !== (device !== undefined) || device === '') return undefined;
  return { type, group, node, device: device ?? null };
}

/** An id must not have what separates topics, or stands for several. */
export function isId(text: string): boolean {
  return text !== '' && !/[+#/\0]/.test(text) && text.isWellFormed();
}

/** What a host application says of itself. */
export interface HostState {
  readonly online: boolean;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
}

export function encodeHostState(state: HostState): Uint8Array {
  return Buffer.from(JSON.stringify({ online: state.online, timestamp: state.timestamp }));
}

/** Undefined for what is none. Never throws. */
export function decodeHostState(payload: Uint8Array): HostState | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(payload).toString('utf8'));
    if (typeof value !== 'object' || value === null) return undefined;
    const { online, timestamp } = value as Record<string, unknown>;
    return typeof online === 'boolean' && typeof timestamp === 'number' ? { online, timestamp } : undefined;
  } catch {
    return undefined;
  }
}
