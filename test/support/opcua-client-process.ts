/** An OPC UA client as a process of its own, steered by messages of `opcua-client.ts`; of another maker than the sink. */
import {
  AttributeIds,
  ClientMonitoredItemGroup,
  type ClientSession,
  ClientSubscription,
  DataType,
  type DataValue,
  MessageSecurityMode,
  OPCUACertificateManager,
  OPCUAClient,
  SecurityPolicy,
  TimestampsToReturn,
  UserTokenType,
} from 'node-opcua';
import type { ConnectOptions, Notification, Request, Shown } from './opcua-client.ts';

let client: OPCUAClient | undefined;
let session: ClientSession | undefined;
let subscription: ClientSubscription | undefined;

process.on('message', (request: Request) => {
  answer(request).then(
    (result) => process.send?.({ number: request.number, result }),
    (error: unknown) => process.send?.({ number: request.number, error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());

async function answer({ call, args }: Request): Promise<unknown> {
  switch (call) {
    case 'connect':
      return await connect(args as unknown as ConnectOptions);
    case 'browse':
      return await browse(String(args['node']));
    case 'read':
      return shown(
        String(args['node']),
        await open().read(
          { nodeId: String(args['node']), attributeId: Number(args['attribute'] ?? AttributeIds.Value) },
          0,
        ),
      );
    case 'write':
      return await write(String(args['node']), Number(args['value']));
    case 'subscribe':
      return await subscribe(args as unknown as { nodes: readonly string[]; intervalMs: number; quiet?: boolean });
    case 'close':
      await session?.close(true);
      await client?.disconnect();
      return null;
    default:
      throw new Error(`what is ${String(call)}?`);
  }
}

/** What it was connected to before is left. */
async function connect({ url, pki, policy, user, password }: ConnectOptions): Promise<null> {
  await client?.disconnect();
  const security =
    policy === undefined
      ? {}
      : { securityMode: MessageSecurityMode.SignAndEncrypt, securityPolicy: SecurityPolicy[policy] };
  client = OPCUAClient.create({
    endpointMustExist: false,
    applicationName: 'Stand-in SCADA',
    applicationUri: 'urn:scada:test',
    connectionStrategy: { maxRetry: 0, initialDelay: 100, maxDelay: 200 },
    clientCertificateManager: new OPCUACertificateManager({
      rootFolder: pki,
      automaticallyAcceptUnknownCertificate: true,
    }),
    ...security,
  });
  await client.connect(url);
  session = await client.createSession(
    user === undefined
      ? { type: UserTokenType.Anonymous }
      : { type: UserTokenType.UserName, userName: user, password: password ?? '' },
  );
  return null;
}

function open(): ClientSession {
  if (session === undefined) throw new Error('not connected');
  return session;
}

/** Names below the node, with what they are. */
async function browse(node: string): Promise<{ name: string; node: string; type: string }[]> {
  const { references } = await open().browse(node);
  return (references ?? []).map(({ browseName, nodeId, typeDefinition }) => {
    return { name: browseName.name ?? '', node: nodeId.toString(), type: typeDefinition.toString() };
  });
}

async function write(node: string, value: number): Promise<string> {
  const nodeId = node;
  const status = await open().write({
    nodeId,
    attributeId: AttributeIds.Value,
    value: { value: { dataType: DataType.Double, value } },
  });
  return status.name;
}

async function subscribe({
  nodes,
  intervalMs,
  quiet,
}: {
  nodes: readonly string[];
  intervalMs: number;
  quiet?: boolean;
}): Promise<null> {
  subscription = await open().createSubscription2({
    requestedPublishingInterval: intervalMs,
    requestedLifetimeCount: 10_000,
    requestedMaxKeepAliveCount: 20,
    maxNotificationsPerPublish: 0,
    publishingEnabled: true,
    priority: 1,
  });
  const counts = { received: 0, latenciesMs: [] as number[] };
  const group = ClientMonitoredItemGroup.create(
    subscription,
    nodes.map((nodeId) => ({ nodeId, attributeId: AttributeIds.Value })),
    { samplingInterval: 0, queueSize: 20, discardOldest: true },
    TimestampsToReturn.Both,
  );
  group.on('changed', (_item, value, index) => {
    const receivedMs = performance.timeOrigin + performance.now();
    if (quiet === true) {
      counts.received += 1;
      counts.latenciesMs.push(receivedMs - sourceMs(value));
    } else {
      const notification: Notification = { ...shown(nodes[index] ?? '', value), receivedMs };
      process.send?.({ notification });
    }
  });
  if (quiet === true) {
    setInterval(() => {
      process.send?.({ counts });
      counts.received = 0;
      counts.latenciesMs = [];
    }, 1_000);
  }
  await new Promise((resolve) => group.once('initialized', resolve as () => void));
  return null;
}

function sourceMs({ sourceTimestamp, sourcePicoseconds }: DataValue): number {
  return (sourceTimestamp?.getTime() ?? Number.NaN) + (sourcePicoseconds ?? 0) / 1e9;
}

function shown(node: string, data: DataValue): Shown {
  const { value, statusCode, serverTimestamp, sourceTimestamp } = data;
  const plain: unknown = value.value;
  return {
    node,
    value: plain instanceof Date ? plain.toISOString() : JSON.parse(JSON.stringify(plain ?? null)),
    status: statusCode.name,
    sourceMs: sourceTimestamp === null ? null : sourceMs(data),
    serverMs: serverTimestamp?.getTime() ?? null,
  };
}
