/** Deciding whom to trust: what lies in the folder `rejected` of a folder of OPC UA certificates, and moving it to `trusted`. */
import { MillwrightError } from './errors.ts';

const fs: typeof import('node:fs/promises') = process.getBuiltinModule('node:fs/promises');
const { X509Certificate } = process.getBuiltinModule('node:crypto');

export interface CertificateFile {
  readonly file: string;
  /** SHA-1 of it in hexadecimal, by which OPC UA names certificates. */
  readonly thumbprint: string;
  readonly subject: string;
  readonly applicationUri: string;
  readonly validFrom: string;
  readonly validTo: string;
}

/** @throws not_found when there is no such folder */
export async function rejectedCertificates(pkiFolder: string): Promise<CertificateFile[]> {
  return await certificatesIn(`${pkiFolder}/rejected`);
}

/** Thumbprints of trusted certificates that are of the application, whose URI stands in them. */
export async function trustedOfApplication(pkiFolder: string, applicationUri: string): Promise<string[]> {
  const trusted = await certificatesIn(`${pkiFolder}/trusted/certs`);
  return trusted.filter((one) => one.applicationUri === applicationUri).map(({ thumbprint }) => thumbprint);
}

/**
 * Moves a certificate from `rejected` to `trusted/certs`; whoever uses the folder sees it there.
 * @throws storage_failed
 */
export async function trust(pkiFolder: string, { file }: CertificateFile): Promise<void> {
  const name = file.slice(file.lastIndexOf('/') + 1);
  try {
    await fs.rename(file, `${pkiFolder}/trusted/certs/${name}`);
  } catch (cause) {
    throw new MillwrightError('storage_failed', `${file} cannot be moved to ${pkiFolder}/trusted/certs`, { cause });
  }
}

async function certificatesIn(folder: string): Promise<CertificateFile[]> {
  let names: string[];
  try {
    names = await fs.readdir(folder);
  } catch (cause) {
    throw new MillwrightError('not_found', `there is no folder ${folder}, so no certificates either`, { cause });
  }
  const found = await Promise.all(names.sort().map((name) => certificateIn(`${folder}/${name}`)));
  return found.filter((one) => one !== undefined);
}

/** Undefined for a file that is none. */
async function certificateIn(file: string): Promise<CertificateFile | undefined> {
  try {
    const certificate = new X509Certificate(await fs.readFile(file));
    const { fingerprint, subject, subjectAltName = '', validFrom, validTo } = certificate;
    return {
      file,
      thumbprint: fingerprint.replaceAll(':', '').toLowerCase(),
      subject: subject.replaceAll('\n', ', '),
      applicationUri: /(?:^|, )URI:([^,]+)/.exec(subjectAltName)?.[1] ?? '',
      validFrom,
      validTo,
    };
  } catch {
    return undefined;
  }
}
