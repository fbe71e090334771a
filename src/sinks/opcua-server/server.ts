/**
 * The server itself: makes its certificate once, listens, lets in whom the configuration and the folder of trusted
 * certificates let in, and tells what is wrong in sentences. What keeps it from serving is tried again for ever.
 */
import {
  type AddressSpace,
  MessageSecurityMode,
  type OPCUACertificateManager,
  OPCUAServer,
  SecurityPolicy,
} from 'node-opcua';
import { Backoff } from '../../base/backoff.ts';
import { aborted, type Clock } from '../../base/clock.ts';
import { MillwrightError, messageOf } from '../../base/errors.ts';
import type { LogFields, LogLevel } from '../../base/logger.ts';
import { type Rejected, timeTrouble } from '../../base/opcua-certificates.ts';
import { certificateStore } from '../../base/opcua-store.ts';
import type { Random } from '../../base/random.ts';
import { VERSION } from '../../base/version.ts';
import type { Trouble } from '../../ports/sink.ts';
import { checkAddress } from './address.ts';
import type { OpcuaServerOptions } from './config.ts';
import { Logins } from './logins.ts';
import { Space } from './space.ts';
import type { Variable } from './values.ts';

const fs: typeof import('node:fs') = process.getBuiltinModule('node:fs');

const RETRY_LIMITS = { firstMs: 1_000, maxMs: 30_000 } as const;
/** How often the certificate's time is looked at: the clock of this machine may have been put right meanwhile. */
const LOOK_MS = 3_600_000;
/** What is wrong with it is told again after so many looks. */
const LOOKS_TO_TELL = 24;
/** Connections that are not yet, or no longer, a session. */
const SPARE_CONNECTIONS = 10;
/** Of what a client may ask in one request. */
const NODES_PER_REQUEST_MAX = 10_000;

export interface OpcuaServerParts {
  readonly options: OpcuaServerOptions;
  readonly gatewayId: string;
  /** Of the sink. */
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  /** All that is shown, for a server that begins. */
  readonly variables: () => Iterable<Variable>;
  readonly log: (level: LogLevel, message: string, fields?: LogFields) => void;
  readonly onTrouble: (trouble: Trouble | null) => void;
}

export class OpcuaServer {
  readonly #parts: OpcuaServerParts;
  readonly #backoff: Backoff;
  readonly #pkiFolder: string;
  readonly #logins: Logins;
  #space: Space | undefined;

  constructor(parts: OpcuaServerParts) {
    const { clock, log } = parts;
    this.#parts = parts;
    this.#logins = new Logins({ users: parts.options.users, clock, log });
    this.#backoff = new Backoff(RETRY_LIMITS, parts.random);
    this.#pkiFolder = parts.options.pkiFolder ?? `${parts.folder}/pki`;
  }

  show(variable: Variable): void {
    this.#space?.show(variable);
  }

  /** Until aborted; then the sessions are closed. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, onTrouble } = this.#parts;
    let told = '';
    while (!signal.aborted) {
      try {
        await this.#serve(signal);
      } catch (error) {
        const reason = messageOf(error);
        onTrouble({ message: reason, isServing: false });
        if (reason !== told) log('warn', 'the OPC UA server cannot serve now; it is tried again', { reason });
        told = reason;
        await clock.sleep(this.#backoff.nextMs(), signal);
      }
    }
  }

  /** Until aborted. @throws when it cannot begin */
  async #serve(signal: AbortSignal): Promise<void> {
    const { options, log, variables } = this.#parts;
    await checkAddress(options);
    const managers = await this.#openStores();
    const server = new OPCUAServer({
      ...this.#endpoint(),
      ...this.#identity(),
      ...managers,
      userManager: {
        isValidUserAsync: (name, password, done) => void this.#logIn({ name, password }, done),
      },
    });
    try {
      await server.initialize();
      const space: AddressSpace | null = server.engine.addressSpace;
      if (space === null) throw new MillwrightError('internal', 'the server has no address space');
      const shown = new Space(space, (variable, error) =>
        log('warn', 'a variable cannot be shown', { variable, error }),
      );
      for (const variable of variables()) shown.show(variable);
      this.#space = shown;
      await server.start();
      this.#backoff.reset();
      log('info', 'the OPC UA server serves', { url: server.getEndpointUrl(), certificates: this.#pkiFolder });
      await this.#watchCertificate(server.certificateFile, signal);
    } finally {
      this.#space = undefined;
      await server.shutdown(0);
      await Promise.all([managers.serverCertificateManager.dispose(), managers.userCertificateManager.dispose()]);
    }
  }

  #endpoint(): ConstructorParameters<typeof OPCUAServer>[0] {
    const { host, port, hostnames, policies, allowNone, anonymous, sessionsMax } = this.#parts.options;
    return {
      host,
      port,
      alternateHostname: [...hostnames],
      securityPolicies: [
        ...policies.map((policy) => SecurityPolicy[policy]),
        ...(allowNone ? [SecurityPolicy.None] : []),
      ],
      securityModes: [MessageSecurityMode.SignAndEncrypt, ...(allowNone ? [MessageSecurityMode.None] : [])],
      allowAnonymous: anonymous,
      maxConnectionsPerEndpoint: sessionsMax + SPARE_CONNECTIONS,
      serverCapabilities: {
        maxSessions: sessionsMax,
        // A client that asks for the fastest rate there is gets each value, also those that came together in a batch.
        minSupportedSampleRate: 0,
        operationLimits: {
          maxNodesPerRead: NODES_PER_REQUEST_MAX,
          maxNodesPerBrowse: NODES_PER_REQUEST_MAX,
          maxNodesPerRegisterNodes: NODES_PER_REQUEST_MAX,
          maxNodesPerTranslateBrowsePathsToNodeIds: NODES_PER_REQUEST_MAX,
          maxMonitoredItemsPerCall: NODES_PER_REQUEST_MAX,
        },
      },
      isAuditing: false,
    };
  }

  #identity(): ConstructorParameters<typeof OPCUAServer>[0] {
    const { gatewayId } = this.#parts;
    return {
      serverInfo: {
        // It stands in the certificate too, so nothing that may change is in it, such as the name of this machine.
        applicationUri: `urn:millwright:edge:${encodeURIComponent(gatewayId)}`,
        productUri: 'urn:millwright',
        applicationName: { text: `Millwright ${gatewayId}` },
      },
      buildInfo: { productName: 'Millwright', manufacturerName: 'Millwright', softwareVersion: VERSION },
    };
  }

  async #openStores(): Promise<{
    serverCertificateManager: OPCUACertificateManager;
    userCertificateManager: OPCUACertificateManager;
  }> {
    try {
      fs.mkdirSync(this.#pkiFolder, { recursive: true, mode: 0o700 });
      const serverCertificateManager = this.#storeIn(this.#pkiFolder, 'client');
      const userCertificateManager = this.#storeIn(`${this.#pkiFolder}/users`, 'user');
      await serverCertificateManager.initialize();
      await userCertificateManager.initialize();
      return { serverCertificateManager, userCertificateManager };
    } catch (cause) {
      throw new MillwrightError('storage_failed', `the folder of certificates ${this.#pkiFolder} cannot be used`, {
        cause,
      });
    }
  }

  #storeIn(rootFolder: string, who: 'client' | 'user'): OPCUACertificateManager {
    return certificateStore({
      rootFolder,
      isWatched: true,
      onRejected: (rejected) => this.#tellRejected(rejected, { who, to: `${rootFolder}/trusted/certs/` }),
    });
  }

  async #logIn(
    { name, password }: { readonly name: string; readonly password: string },
    done: (error: Error | null, isAuthorized?: boolean) => void,
  ): Promise<void> {
    done(null, await this.#logins.isAllowed(name, password));
  }

  async #tellRejected(rejected: Rejected, { who, to }: { who: string; to: string }): Promise<void> {
    const { log, clock } = this.#parts;
    const message = `an OPC UA ${who} was refused, because its certificate is not trusted; to trust it, move the file`;
    for (const file of await rejected.untold(clock.monotonicMs())) {
      log('warn', message, { file: `${rejected.folder}/${file}`, to });
    }
  }

  async #watchCertificate(file: string, signal: AbortSignal): Promise<void> {
    const { clock, log, onTrouble } = this.#parts;
    let told = '';
    for (let looks = 0; !signal.aborted; looks += 1) {
      const trouble = timeTrouble(fs.readFileSync(file, 'utf8'), clock.nowMicros() / 1000);
      if (trouble === undefined) onTrouble(null);
      else {
        const message = `the certificate of the OPC UA server, ${file}, ${trouble.when}; docs/sinks/opcua-server.md tells how to renew it`;
        onTrouble({ message, isServing: true });
        if (message !== told || looks % LOOKS_TO_TELL === 0) log(trouble.isValid ? 'warn' : 'error', message);
        told = message;
      }
      const nap = clock.sleep(LOOK_MS, signal);
      await Promise.race([nap, aborted(signal)]);
    }
  }
}
