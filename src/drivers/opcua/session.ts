/**
 * One run against a server, from connecting to closing: a session, one subscription in it, and a monitored item for each
 * node. The server tells what changes; each message of it becomes one sample for each time in it.
 *
 *     connect ─▶ server's clock ─▶ subscription ─▶ items ─▶ publish, publish, … ─▶ close the session
 *
 * Owns the order of a run, its end, and that no session is left at the server. What happens in between has parts of its own:
 *
 *     connection.ts    from an address to a session        subscription.ts   the server's messages
 *     monitoring.ts    which nodes are monitored           readings.ts       what they say becomes samples and events
 *     server-clock.ts  whether its times may be used       watch.ts          whether it has frozen
 */
import { aborted } from '../../base/clock.ts';
import { NAME_LENGTH_MAX } from '../../model/reading.ts';
import type { CertificateFolder } from './certificates.ts';
import { closeConnection, connect, type Connection, leftoverOf, type SessionMemory } from './connection.ts';
import { closed, faultOf } from './faults.ts';
import { Monitoring } from './monitoring.ts';
import type { OpcuaOptions } from './options.ts';
import { Readings } from './readings.ts';
import { itemsOf, type Run, type SessionContext } from './run.ts';
import { ServerClock } from './server-clock.ts';
import { Subscription } from './subscription.ts';
import { Watch } from './watch.ts';

/** Of our own certificate. */
const LOOK_AT_CERTIFICATE_MS = 3_600_000;

export interface SessionParts {
  readonly options: OpcuaOptions;
  readonly certificates: CertificateFolder;
  readonly memory: SessionMemory;
  readonly context: SessionContext;
}

/** Resolves when aborted, with the session closed; rejects for every other end. */
export async function readServer(parts: SessionParts, signal: AbortSignal): Promise<void> {
  const { options, certificates, memory, context } = parts;
  const sessionName = `Millwright ${context.machineId}`.slice(0, NAME_LENGTH_MAX);
  let opened: Connection;
  try {
    opened = await connect({ options, certificates, clock: context.clock, sessionName, signal }, memory);
  } catch (error) {
    if (signal.aborted) return;
    throw error;
  }
  try {
    await readSession(parts, opened, aborted(signal));
  } finally {
    const leftover = leftoverOf(opened.session);
    const isClosed = await closeConnection(opened, context.clock);
    if (!isClosed) memory.leftover = leftover;
  }
}

/** Resolves when stopped; rejects for every other end. */
async function readSession(parts: SessionParts, connection: Connection, stopped: Promise<void>): Promise<void> {
  const { options, certificates, memory, context } = parts;
  const { client, session } = connection;
  const ended = new AbortController();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const fail = (error: unknown): void => {
    if (!ended.signal.aborted) failed.reject(faultOf(error, parts, 'reading'));
  };
  const run: Run = { options, connection, context, ended: ended.signal, fail };
  const items = itemsOf(options.nodes);
  const clock = new ServerClock(run);
  const subscription = new Subscription(run);
  const watch = new Watch(run, clock, subscription);
  const readings = new Readings(run, { items, clock, memory, subscription, watch });
  const begin = async (): Promise<void> => {
    client.on('close', () => fail(closed(options.url, 'connection')));
    session.on('session_closed', () => fail(closed(options.url, 'session')));
    clock.judge(await clock.ask(), context.clock.nowMicros());
    const namespaces = await session.readNamespaceArray();
    await subscription.open({
      heard: () => watch.heard(),
      changed: (changes, gatewayMicros) => readings.take(changes, gatewayMicros),
    });
    const monitoring = new Monitoring(run, { items, clock, subscription, namespaces });
    const { isTimeMonitored } = await monitoring.begin();
    tellConnected(run);
    void watch.keep(isTimeMonitored);
    void monitoring.keep();
    void watchCertificate(run, certificates);
  };
  try {
    await Promise.race([begin(), failed.promise, stopped]);
    await Promise.race([failed.promise, stopped]);
  } catch (error) {
    readings.lose();
    throw faultOf(error, parts, 'reading');
  } finally {
    ended.abort();
  }
}

function tellConnected({ connection, context, options }: Run): void {
  context.connected();
  const timeoutMs = connection.session.timeout;
  if (timeoutMs > options.sessionTimeoutMs) {
    const text = 'the server keeps the session of an edge that was killed for longer than it was asked to';
    context.log.warn(text, { asked_ms: options.sessionTimeoutMs, kept_ms: timeoutMs });
  }
}

async function watchCertificate({ context, ended }: Run, certificates: CertificateFolder): Promise<void> {
  while (!ended.aborted) {
    context.problem('certificate', certificates.ownTrouble(context.clock));
    await context.clock.sleep(LOOK_AT_CERTIFICATE_MS, ended);
  }
}
