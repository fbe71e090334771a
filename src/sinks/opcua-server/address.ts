import { MillwrightError } from '../../base/errors.ts';
import type { OpcuaServerOptions } from './config.ts';

/** The server's own, in its folder. */
export const OWN_CERTIFICATE = 'own/certs/certificate.pem';

const net: typeof import('node:net') = process.getBuiltinModule('node:net');

/** The library tells a port that is taken late, and not always; so it is tried before. */
export async function checkAddress({ host, port }: OpcuaServerOptions): Promise<void> {
  const probe = net.createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once('error', reject);
      probe.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (cause) {
    const message = `port ${port} of ${host} cannot be used for OPC UA; set host and port of the sink`;
    throw new MillwrightError('port_unavailable', message, { cause });
  }
  await new Promise((resolve) => probe.close(resolve));
}
