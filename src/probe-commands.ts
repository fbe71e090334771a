/** `millwright probe …`: what the command line does to look into a machine before there is a configuration. */
import { systemClock } from './base/clock.ts';
import { MillwrightError } from './base/errors.ts';
import { processLogger } from './base/logger.ts';
import { runProcess } from './base/process.ts';
import { Agent } from './drivers/mtconnect/agent.ts';
import { describeAgent } from './drivers/mtconnect/probe.ts';

export interface MtconnectProbeOptions {
  /** Name or uuid. */
  readonly device?: string;
  readonly token?: string;
  /** In milliseconds. */
  readonly timeout: number;
}

export async function mtconnect(url: string, { device, token, timeout }: MtconnectProbeOptions): Promise<void> {
  const address = URL.parse(url.includes('://') ? url : `http://${url}`);
  if (address === null || !/^https?:$/.test(address.protocol)) {
    throw new MillwrightError('config_invalid', `${url} is no address; allowed: http://host:5000, or https`);
  }
  const tls = { caFile: null, certFile: null, keyFile: null };
  const base = address.href.replace(/\/+$/, '');
  await runProcess(processLogger('warn', true), async (signal) => {
    const agent = new Agent({ url: base, token: token ?? null, tls, timeoutMs: timeout }, systemClock);
    try {
      const probe = await agent.probe(signal);
      const names = probe.devices.map(({ name }) => name).join(', ');
      if (device !== undefined && !probe.devices.some(({ name, uuid }) => name === device || uuid === device)) {
        throw new MillwrightError('not_found', `${base} has no device ${device}; it has ${names}`);
      }
      const current = await agent.current(null, signal);
      process.stdout.write(describeAgent({ url: base, probe, current }, device ?? null));
    } catch (error) {
      // Ctrl-C gives the request up.
      if (!signal.aborted) throw error;
    } finally {
      agent.close();
    }
  });
}
