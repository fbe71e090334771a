/** A folder of OPC UA certificates, as the library keeps it: `own`, `trusted`, `issuers`, `rejected`. Loads the library. */
import { OPCUACertificateManager } from 'node-opcua';
import { Rejected } from './opcua-certificates.ts';

export interface StoreOptions {
  readonly rootFolder: string;
  /** Whether it follows what a person changes in the folder; else `reloadCertificates` has to be called. */
  readonly isWatched: boolean;
  readonly onRejected: (rejected: Rejected) => Promise<void>;
}

/**
 * The library tells nobody when it refuses a certificate, and keeps all that it has refused: here each is told, and only
 * the newest are kept.
 */
export function certificateStore({ rootFolder, isWatched, onRejected }: StoreOptions): OPCUACertificateManager {
  const manager = new OPCUACertificateManager({ rootFolder, disableFileWatchers: !isWatched });
  const rejected = new Rejected(rootFolder);
  const reject = manager.rejectCertificate.bind(manager);
  manager.rejectCertificate = async (certificate: Buffer): Promise<void> => {
    await reject(certificate);
    await rejected.prune();
    await onRejected(rejected);
  };
  return manager;
}
