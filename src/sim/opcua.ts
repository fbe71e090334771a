/**
 * Simulated machines behind an OPC UA server, named as OPC 40501-1 (machine tools) names things where it does. That
 * specification has no spindle speed, load or position: those stand beside, in a namespace of our own.
 *
 *     Objects/Machines/CNC-001/Identification   Manufacturer, SerialNumber
 *                              Monitoring       State, Spindle/{Speed, Load}, Axes/{X, Y, Z}, FeedRate, Temperature,
 *                                               TotalPower, ProgramLine
 *                              Production       ActiveProgram/Name, PartCount
 *                              Notification     AlarmCode, AlarmText
 *
 * `State`: 0 offline, 1 idle, 2 running, 3 hold, 4 alarm, 5 setup. A recorded adapter log (SHDR) is shown as a machine
 * instead whose `Monitoring` has a variable for each of its items.
 */
import { aborted, type Clock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { MachineState } from '../model/signals.ts';
import { machineAt, type MachineValues } from './machine.ts';
import type { Saying } from './mtconnect-agent.ts';
import { playRecording, type RecordedAgent, valueSaid } from './recorded-agent.ts';

type Library = typeof import('node-opcua');
type Server = import('node-opcua').OPCUAServer;
type Variable = import('node-opcua').UAVariable;
type Folder = import('node-opcua').UAObject;

export const SIMULATOR_NAMESPACE = 'urn:millwright:simulator';

/** Values change so often. */
const STEP_MS = 100;
/** How far into its cycle each machine is before the next one. */
const PHASE_SECONDS = 17;
const SESSIONS_MAX = 50;

const STATE_NUMBERS: Readonly<Record<MachineState, number>> = {
  offline: 0,
  idle: 1,
  running: 2,
  hold: 3,
  alarm: 4,
  setup: 5,
};

export interface OpcuaMachinesOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Of certificates; made when it is not there. */
  readonly pkiFolder: string;
  /** Simulated machines, or one that is recorded. */
  readonly machines:
    | number
    | { readonly recorded: RecordedAgent; readonly speed: number | 'max'; readonly loop: boolean };
  readonly clock: Clock;
  readonly log: Logger;
}

/** Until aborted. @throws port_unavailable */
export async function runOpcuaMachines(options: OpcuaMachinesOptions, signal: AbortSignal): Promise<void> {
  const library = await import('node-opcua');
  const server = await startServer(library, options);
  try {
    const shop = new Shop(library, server);
    const { machines, clock, log } = options;
    log.info('the OPC UA server answers', { url: server.getEndpointUrl(), certificates: options.pkiFolder });
    if (typeof machines !== 'number') {
      await playMachine(shop, machines, clock, signal);
      return;
    }
    const shown = Array.from({ length: machines }, (_, index) => new SimulatedMachine(shop, index));
    const startedMs = clock.monotonicMs();
    while (!signal.aborted) {
      const seconds = (clock.monotonicMs() - startedMs) / 1000;
      for (const machine of shown) machine.show(seconds);
      await clock.sleep(STEP_MS, signal);
    }
  } finally {
    await server.shutdown(0);
  }
}

async function startServer(library: Library, { host, port, pkiFolder }: OpcuaMachinesOptions): Promise<Server> {
  const { MessageSecurityMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy } = library;
  // It has nothing to hide, and nothing can be written: whoever comes is let in.
  const storeIn = (rootFolder: string): import('node-opcua').OPCUACertificateManager => {
    return new OPCUACertificateManager({ rootFolder, automaticallyAcceptUnknownCertificate: true });
  };
  const serverCertificateManager = storeIn(pkiFolder);
  const userCertificateManager = storeIn(`${pkiFolder}/users`);
  await serverCertificateManager.initialize();
  await userCertificateManager.initialize();
  const server = new OPCUAServer({
    host,
    port,
    serverCertificateManager,
    userCertificateManager,
    securityPolicies: [SecurityPolicy.None, SecurityPolicy.Basic256Sha256, SecurityPolicy.Aes256_Sha256_RsaPss],
    securityModes: [MessageSecurityMode.None, MessageSecurityMode.SignAndEncrypt],
    allowAnonymous: true,
    serverInfo: {
      applicationUri: SIMULATOR_NAMESPACE,
      productUri: 'urn:millwright',
      applicationName: { text: 'Millwright simulator' },
    },
    serverCapabilities: { maxSessions: SESSIONS_MAX, minSupportedSampleRate: 0 },
  });
  try {
    await server.initialize();
    await server.start();
    return server;
  } catch (cause) {
    await server.shutdown(0);
    throw new MillwrightError('port_unavailable', `port ${port} of ${host} cannot be used`, { cause });
  }
}

/** null: not known. */
type Value = number | string | null;

/** The address space, as far as machines are in it. */
class Shop {
  readonly #library: Library;
  readonly #namespace: import('node-opcua').Namespace;
  readonly #machines: Folder;

  constructor(library: Library, server: Server) {
    const space = server.engine.addressSpace;
    if (space === null) throw new MillwrightError('internal', 'the server has no address space');
    this.#library = library;
    this.#namespace = space.registerNamespace(SIMULATOR_NAMESPACE);
    const { objects } = space.rootFolder;
    this.#machines = this.#namespace.addFolder(objects, { browseName: 'Machines', nodeId: 's=Machines' });
  }

  machine(name: string): Folder {
    return this.#namespace.addObject({ organizedBy: this.#machines, browseName: name, nodeId: `s=${name}` });
  }

  folder(parent: Folder, name: string): Folder {
    return this.#namespace.addObject({ componentOf: parent, browseName: name, nodeId: below(parent, name) });
  }

  variable(parent: Folder, name: string, first: number | string): (value: Value) => void {
    const { DataType, StatusCodes } = this.#library;
    const isInteger = /^(State|ProgramLine|PartCount)$/.test(name);
    const dataType = typeof first === 'string' ? DataType.String : isInteger ? DataType.Int32 : DataType.Double;
    const node: Variable = this.#namespace.addVariable({
      componentOf: parent,
      browseName: name,
      nodeId: below(parent, name),
      dataType,
      accessLevel: 'CurrentRead',
      userAccessLevel: 'CurrentRead',
      minimumSamplingInterval: 0,
    });
    let shown: Value | undefined;
    const show = (value: Value): void => {
      if (value === shown) return;
      shown = value;
      if (value !== null) node.setValueFromSource({ dataType, value });
      else node.setValueFromSource({ dataType: DataType.Null }, StatusCodes.BadDataUnavailable);
    };
    show(first);
    return show;
  }
}

function below(parent: Folder, name: string): string {
  return `s=${String(parent.nodeId.value)}/${name}`;
}

class SimulatedMachine {
  readonly #seed: number;
  readonly #show: readonly ((values: MachineValues) => void)[];

  constructor(shop: Shop, index: number) {
    this.#seed = index;
    const number = String(index + 1).padStart(3, '0');
    const machine = shop.machine(`CNC-${number}`);
    const identification = shop.folder(machine, 'Identification');
    shop.variable(identification, 'Manufacturer', 'Millwright');
    shop.variable(identification, 'SerialNumber', `SIM-${number}`);
    const monitoring = shop.folder(machine, 'Monitoring');
    const spindle = shop.folder(monitoring, 'Spindle');
    const axes = shop.folder(monitoring, 'Axes');
    const production = shop.folder(machine, 'Production');
    const program = shop.folder(production, 'ActiveProgram');
    const notification = shop.folder(machine, 'Notification');
    const rows: readonly (readonly [Folder, string, (values: MachineValues) => number | string])[] = [
      [monitoring, 'State', ({ state }) => STATE_NUMBERS[state]],
      [spindle, 'Speed', ({ spindleSpeedRpm }) => spindleSpeedRpm],
      [spindle, 'Load', ({ spindleLoadPercent }) => spindleLoadPercent],
      [axes, 'X', ({ xMm }) => xMm],
      [axes, 'Y', ({ yMm }) => yMm],
      [axes, 'Z', ({ zMm }) => zMm],
      [monitoring, 'FeedRate', ({ feedRateMmPerMin }) => feedRateMmPerMin],
      [monitoring, 'Temperature', ({ temperatureC }) => temperatureC],
      [monitoring, 'TotalPower', ({ powerKw }) => powerKw],
      [monitoring, 'ProgramLine', ({ programLine }) => programLine],
      [program, 'Name', (values) => values.program],
      [production, 'PartCount', ({ partCount }) => partCount],
      [notification, 'AlarmCode', ({ alarm }) => alarm?.code ?? ''],
      [notification, 'AlarmText', ({ alarm }) => alarm?.text ?? ''],
    ];
    const first = this.#valuesAt(0);
    this.#show = rows.map(([folder, name, of]) => {
      const show = shop.variable(folder, name, of(first));
      return (values) => show(of(values));
    });
  }

  show(seconds: number): void {
    const values = this.#valuesAt(seconds);
    for (const show of this.#show) show(values);
  }

  #valuesAt(seconds: number): MachineValues {
    return machineAt({ seed: this.#seed, phaseSeconds: this.#seed * PHASE_SECONDS }, seconds);
  }
}

async function playMachine(
  shop: Shop,
  { recorded, speed, loop }: Exclude<OpcuaMachinesOptions['machines'], number>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const { device, sayings } = recorded;
  const monitoring = shop.folder(shop.machine(device.name), 'Monitoring');
  const shown = new Map(
    device.items.map(({ id, name, category }) => {
      const show = shop.variable(monitoring, name === '' ? id : name, category === 'SAMPLE' ? 0 : '');
      show(null);
      return [id, (saying: Saying) => show(valueSaid(saying, category))] as const;
    }),
  );
  const observe = (saying: Saying): void => shown.get(saying.item)?.(saying);
  await playRecording({ agent: { observe }, sayings, speed, loop, clock }, signal);
  if (!signal.aborted) await aborted(signal);
}
