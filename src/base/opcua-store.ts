/** A folder of OPC UA certificates, as the library keeps it: `own`, `trusted`, `issuers`, `rejected`. Loads the library. */
import { OPCUACertificateManager } from 'node-opcua';
import { Rejected } from './opcua-certificates.ts';

/**
 * The library tells nobody when it refuses a certificate, and keeps all that it has refused: here each is told, and only
 * the newest are kept.
 */
export function certificateStore(
  rootFolder: string,
  onRejected: (rejected: Rejected) => Promise<void>,
): OPCUACertificateManager {
  const manager = new OPCUACertificateManager({ rootFolder });
  const rejected = new Rejected(rootFolder);
  const reject = manager.rejectCertificate.bind(manager);
  manager.rejectCertificate = async (certificate: Buffer): Promise<void> => {
    await reject(certificate);
    await rejected.prune();
    await onRejected(rejected);
  };
  return manager;
}
