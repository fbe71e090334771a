/**
 * The client's folder of certificates: its own, made once and kept for good, and those of servers that are trusted or were
 * refused. One folder serves all sensors of an edge: a server trusts this gateway once. Loads the library.
 */
import type { OPCUACertificateManager, StatusCode } from 'node-opcua';
import type { Clock } from '../../base/clock.ts';
import { MillwrightError, messageOf } from '../../base/errors.ts';
import { timeTrouble } from '../../base/opcua-certificates.ts';
import { certificateStore } from '../../base/opcua-store.ts';
import { trustedOfApplication } from '../../base/opcua-trust.ts';
import { lineOf } from './faults.ts';

const fs: typeof import('node:fs') = process.getBuiltinModule('node:fs');
const { createPrivateKey, X509Certificate } = process.getBuiltinModule('node:crypto');
const { hostname } = process.getBuiltinModule('node:os');

type X509 = import('node:crypto').X509Certificate;

/** To renew it, every server has to be told; the day of its end is told long before. */
const VALID_DAYS = 3_650;
const NAME_LENGTH_MAX = 64;

export class CertificateFolder {
  readonly folder: string;
  #opening: Promise<OPCUACertificateManager> | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  get ownFile(): string {
    return `${this.folder}/own/certs/certificate.pem`;
  }

  /** Makes what is missing. @throws storage_failed */
  open(): Promise<OPCUACertificateManager> {
    this.#opening ??= this.#open();
    this.#opening.catch(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async close(): Promise<void> {
    const opened = await this.#opening?.catch(() => undefined);
    this.#opening = undefined;
    if (opened === undefined) return;
    // Clients that are still being closed have not given it back; nothing of theirs is needed.
    opened.referenceCounter = 0;
    await opened.dispose();
  }

  /** The URI that stands in our own certificate: servers compare it with what the client says it is. @throws storage_failed */
  applicationUri(): string {
    const { subjectAltName = '' } = this.#own();
    return /(?:^|, )URI:([^,]+)/.exec(subjectAltName)?.[1] ?? '';
  }

  /** What is wrong with the time of our own certificate, or soon will be; null: nothing. */
  ownTrouble(clock: Clock): string | null {
    let trouble: ReturnType<typeof timeTrouble>;
    try {
      trouble = timeTrouble(this.#own().toString(), clock.nowMicros() / 1000);
    } catch (error) {
      return messageOf(error);
    }
    if (trouble === undefined) return null;
    return `the certificate of this gateway, ${this.ownFile}, ${trouble.when}; docs/drivers/opcua.md tells how to renew it`;
  }

  /** Resolves when the certificate is trusted. @throws config_invalid with what a person has to do; storage_failed */
  async check(der: Buffer, url: string, applicationUri: string): Promise<void> {
    const manager = await this.open();
    const status = await this.#statusOf(der, manager);
    if (status.isGood()) return;
    const { fingerprint, subject, validFrom, validTo } = new X509Certificate(der);
    const thumbprint = fingerprint.replaceAll(':', '').toLowerCase();
    const described = `${subject.replaceAll('\n', ', ')}, thumbprint ${thumbprint}`;
    if (status.name !== 'BadCertificateUntrusted') {
      const when = status.name === 'BadCertificateTimeInvalid' ? `: it is valid from ${validFrom} to ${validTo}` : '';
      throw new MillwrightError(
        'config_invalid',
        `the certificate of ${url} (${described}) cannot be used (${status.name})${when}`,
      );
    }
    const known = await trustedOfApplication(this.folder, applicationUri);
    const before =
      known.length === 0 ? 'is not trusted yet' : `is another than the one that was trusted (${known.join(', ')})`;
    throw new MillwrightError(
      'config_invalid',
      `the certificate of ${url} ${before}: ${described}. Compare it with that of the server; to trust it, run: ` +
        `millwright trust opcua ${this.folder} ${thumbprint}`,
    );
  }

  /** What is refused is also kept, for a person to look at. */
  async #statusOf(der: Buffer, manager: OPCUACertificateManager): Promise<StatusCode> {
    try {
      await manager.reloadCertificates();
      return await manager.checkCertificate(der);
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  #own(): X509 {
    try {
      return new X509Certificate(fs.readFileSync(this.ownFile));
    } catch (cause) {
      throw new MillwrightError('storage_failed', `${this.ownFile} cannot be read`, { cause });
    }
  }

  #failed(cause: unknown): MillwrightError {
    const text = `the folder of certificates ${this.folder} cannot be used: ${lineOf(cause)}`;
    return new MillwrightError('storage_failed', text);
  }

  /** A disk that was full when the key was written leaves half of one, which no certificate belongs to yet. */
  #removeHalfKey(): void {
    const file = `${this.folder}/own/private/private_key.pem`;
    if (fs.existsSync(this.ownFile) || !fs.existsSync(file)) return;
    try {
      createPrivateKey(fs.readFileSync(file));
    } catch {
      fs.rmSync(file);
    }
  }

  async #open(): Promise<OPCUACertificateManager> {
    try {
      fs.mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      this.#removeHalfKey();
      const manager = certificateStore({ rootFolder: this.folder, isWatched: false, onRejected: async () => {} });
      await manager.initialize();
      if (!fs.existsSync(this.ownFile)) await this.#makeOwn(manager);
      return manager;
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  async #makeOwn(manager: OPCUACertificateManager): Promise<void> {
    const host = hostname();
    const unfinished = `${this.ownFile}.unfinished`;
    await manager.createSelfSignedCertificate({
      // Once made it stays as it is, whatever this machine is called later.
      applicationUri: `urn:millwright:client:${encodeURIComponent(host)}`,
      dns: [host],
      subject: `/CN=Millwright ${host.replaceAll(/[^\w.-]/g, '_')}`.slice(0, NAME_LENGTH_MAX),
      startDate: new Date(),
      validity: VALID_DAYS,
      outputFile: unfinished,
    });
    fs.renameSync(unfinished, this.ownFile);
  }
}
