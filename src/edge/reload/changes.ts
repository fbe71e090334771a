/** What a configuration changes against the one in force. Pure. */
import { SINKS } from '../../sinks/registry.ts';
import type { EdgeSettings } from '../settings.ts';

const { isDeepStrictEqual } = process.getBuiltinModule('node:util');

/** Whether nothing has changed in a slice of the settings. */
export function isSame(before: unknown, after: unknown): boolean {
  return isDeepStrictEqual(before, after);
}

/** What the log, the status page and the process are opened with, by key of the configuration. */
const AT_START: { readonly [key: string]: (settings: EdgeSettings) => unknown } = {
  'agent.gateway_id': ({ gatewayId }) => gatewayId,
  'buffering.folder': ({ log }) => log.folder,
  'buffering.hot_buffer.capacity': ({ log }) => log.hotBytesMax,
  'buffering.sync': ({ log }) => log.sync.kind,
  'buffering.sync_interval': ({ log }) => log.sync.intervalMs,
  'status.host': ({ status }) => status.host,
  'status.port': ({ status }) => status.port,
};

export interface Reloaded {
  /** What can be in force without a restart. */
  readonly settings: EdgeSettings;
  /** Keys that are changed, and obeyed only after a restart. */
  readonly needsRestart: readonly string[];
}

/** @param atStart what the edge was started with */
export function reloaded(atStart: EdgeSettings, after: EdgeSettings): Reloaded {
  const needsRestart = Object.entries(AT_START)
    .filter(([, valueOf]) => !isSame(valueOf(atStart), valueOf(after)))
    .map(([key]) => key);
  // It works, but slowly: the process runs without the compilers (`flags.ts`).
  if (serves(after) && !serves(atStart)) needsRestart.push('sinks (opcua_server: slow until then)');
  const { folder, hotBytesMax, sync } = atStart.log;
  const { gatewayId, status } = atStart;
  return { settings: { ...after, gatewayId, log: { ...after.log, folder, hotBytesMax, sync }, status }, needsRestart };
}

function serves({ sinks }: EdgeSettings): boolean {
  return sinks.some(({ type }) => SINKS[type]?.isServing === true);
}
