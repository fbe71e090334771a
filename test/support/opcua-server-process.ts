/** The process of `opcua-server.ts`: servers with the machine `CNC-001` each, that do what they are told by messages. */
import {
  DataType,
  MessageSecurityMode,
  OPCUACertificateManager,
  OPCUAServer,
  Range,
  SecurityPolicy,
  type StatusCode,
  StatusCodes,
  type UAVariable,
  Variant,
  VariantArrayType,
} from 'node-opcua';
import type { Call, ServerOptions, SetValue } from './opcua-server.ts';

type Calls = { readonly [Name in Exclude<Call['call'], 'start'>]: (args: never) => unknown };

/** By port. */
const servers = new Map<number, Calls>();

async function start(options: ServerOptions): Promise<Calls> {
  const policies = options.policies ?? ['None'];
  const manager = new OPCUACertificateManager({
    rootFolder: options.pki,
    automaticallyAcceptUnknownCertificate: options.trustsAll ?? true,
  });
  await manager.initialize();
  const users = new OPCUACertificateManager({
    rootFolder: `${options.pki}/users`,
    automaticallyAcceptUnknownCertificate: true,
  });
  await users.initialize();

  const server = new OPCUAServer({
    host: '127.0.0.1',
    port: options.port,
    serverCertificateManager: manager,
    userCertificateManager: users,
    securityPolicies: policies.map((policy) => SecurityPolicy[policy]),
    securityModes: [
      ...(policies.includes('None') ? [MessageSecurityMode.None] : []),
      ...(policies.some((policy) => policy !== 'None') ? [MessageSecurityMode.SignAndEncrypt] : []),
    ],
    allowAnonymous: options.anonymous ?? true,
    userManager: { isValidUser: (name: string, password: string) => name === 'operator' && password === 'secret' },
    serverInfo: { applicationUri: 'urn:test:server', productUri: 'urn:test', applicationName: { text: 'test' } },
    serverCapabilities: { minSupportedSampleRate: 0, maxSessions: options.maxSessions ?? 10 },
    maxConnectionsPerEndpoint: options.maxConnections ?? 10,
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  if (space === null) throw new Error('there is no address space');
  const own = space.registerNamespace('urn:test:machine');
  const machines = own.addFolder(space.rootFolder.objects, { browseName: 'Machines', nodeId: 's=Machines' });
  const machine = own.addObject({ organizedBy: machines, browseName: 'CNC-001', nodeId: 's=CNC-001' });
  const spindle = own.addObject({ componentOf: machine, browseName: 'Spindle', nodeId: 's=CNC-001/Spindle' });
  const variables = new Map<string, UAVariable>();

  const add = (parent: typeof machine, name: string, dataType: string, value: object): void => {
    const nodeId = `s=${String(parent.nodeId.value)}/${name}`;
    const node = own.addVariable({
      componentOf: parent,
      browseName: name,
      nodeId,
      dataType,
      minimumSamplingInterval: 0,
    });
    node.setValueFromSource(new Variant(value));
    variables.set(name, node);
  };
  add(spindle, 'Speed', 'Double', { dataType: DataType.Double, value: 0 });
  add(machine, 'Temperature', 'Float', { dataType: DataType.Float, value: 21.5 });
  add(machine, 'State', 'Int32', { dataType: DataType.Int32, value: 0 });
  add(machine, 'Program', 'String', { dataType: DataType.String, value: '' });
  add(machine, 'Counter', 'UInt64', { dataType: DataType.UInt64, arrayType: VariantArrayType.Scalar, value: [0, 0] });
  add(machine, 'Door', 'Boolean', { dataType: DataType.Boolean, value: false });
  add(machine, 'Axes', 'Double', {
    dataType: DataType.Double,
    arrayType: VariantArrayType.Array,
    value: new Float64Array([1, 2, 3]),
  });
  add(machine, 'Limits', 'Range', { dataType: DataType.ExtensionObject, value: new Range({ low: -10, high: 250 }) });
  await server.start();

  return {
    sessions: () => server.engine.currentSessionCount,
    subscriptions: () => server.engine.currentSubscriptionCount,
    set: ({ name, value, type, status = 'Good', sourceMs }: SetValue) => {
      const node = variables.get(name);
      if (node === undefined) throw new Error(`there is no ${name}`);
      const dataType = type ?? node.readValue().value.dataType;
      const isArray = Array.isArray(value) && dataType !== DataType.UInt64;
      const arrayType = isArray ? VariantArrayType.Array : VariantArrayType.Scalar;
      const variant = new Variant({ dataType, arrayType, value });
      const code = (StatusCodes as unknown as { readonly [name: string]: StatusCode })[status];
      node.setValueFromSource(variant, code, new Date(sourceMs ?? Date.now()));
    },
    remove: ({ name }: { name: string }) => {
      const node = variables.get(name);
      if (node !== undefined) own.deleteNode(node);
    },
    closeSessions: () => {
      const engine = server.engine as unknown as { _sessions: { [token: string]: { authenticationToken: never } } };
      for (const { authenticationToken } of Object.values(engine._sessions)) {
        server.engine.closeSession(authenticationToken, true, 'Terminated');
      }
    },
    shutDown: async () => {
      await server.shutdown();
      await Promise.all([manager.dispose(), users.dispose()]);
    },
  };
}

async function answer({ number, port, call, args }: Call): Promise<void> {
  try {
    process.send?.({ number, result: (await perform({ port, call, args })) ?? null });
  } catch (error) {
    process.send?.({ number, error: String(error) });
  }
}

async function perform({ port, call, args }: Omit<Call, 'number'>): Promise<unknown> {
  if (call === 'start') {
    servers.set(port, await start(args as ServerOptions));
    return null;
  }
  return await servers.get(port)?.[call](args as never);
}

process.on('message', (message: Call) => void answer(message));
process.on('disconnect', () => process.exit());
