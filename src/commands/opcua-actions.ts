/** What the command line does with OPC UA: `millwright probe opcua`, `millwright trust opcua`. */
import { createInterface } from 'node:readline/promises';
import { systemClock } from '../base/clock.ts';
import { MillwrightError } from '../base/errors.ts';
import { processLogger } from '../base/logger.ts';
import type { Policy } from '../base/opcua-policies.ts';
import { rejectedCertificates, trust } from '../base/opcua-trust.ts';
import { runProcess } from '../base/process.ts';
import type { Identity } from '../drivers/opcua/options.ts';

const SESSION_TIMEOUT_MS = 60_000;

export interface OpcuaProbeOptions {
  readonly browse: string;
  readonly user?: string;
  readonly passwordFile?: string;
  readonly policy?: Policy | 'None';
  readonly mode: 'SignAndEncrypt' | 'Sign';
  readonly pki: string;
  /** In milliseconds. */
  readonly timeout: number;
}

export async function probe(url: string, options: OpcuaProbeOptions): Promise<void> {
  if (URL.parse(url)?.protocol !== 'opc.tcp:') {
    throw new MillwrightError('config_invalid', `${url} is no address; allowed: opc.tcp://host:4840`);
  }
  if ((options.user === undefined) !== (options.passwordFile === undefined)) {
    throw new MillwrightError('config_invalid', 'give --user and --password-file together, or neither');
  }
  const [connection, certificatesModule, probing] = await Promise.all([
    import('../drivers/opcua/connection.ts'),
    import('../drivers/opcua/certificates.ts'),
    import('../drivers/opcua/probe.ts'),
  ]);
  await runProcess(processLogger('warn', true), async (signal) => {
    const certificates = new certificatesModule.CertificateFolder(options.pki);
    const parts = (policy: Policy | 'None' | 'strongest') => ({
      options: {
        url,
        security: { policy, mode: options.mode },
        identity: identityOf(options),
        sessionTimeoutMs: SESSION_TIMEOUT_MS,
        timeoutMs: options.timeout,
      },
      certificates,
      clock: systemClock,
      sessionName: 'Millwright probe',
      signal,
    });
    try {
      const endpoints = await connection.endpointsOf(parts('None'));
      process.stdout.write(`${probing.describeEndpoints(url, endpoints)}\n`);
      const offersNone = endpoints.some((one) => connection.policyName(one.securityPolicyUri) === 'None');
      // A password is not sent where everybody could read it, unless that was asked for.
      const isOpen = offersNone && options.user === undefined;
      const policy = options.policy ?? (isOpen ? 'None' : 'strongest');
      if (signal.aborted) return;
      const opened = await connection.connect(parts(policy));
      try {
        const nodes = await probing.probeNodes(opened.session, options.browse, parts(policy));
        process.stdout.write(`${probing.describeNodes(options.browse, nodes)}\n`);
        const login = loginLines(options);
        process.stdout.write(probing.configurationOf(nodes, { url, policy, login }));
      } finally {
        await connection.closeConnection(opened, systemClock);
      }
    } catch (error) {
      // Ctrl-C gives the request up.
      if (!signal.aborted) throw error;
    } finally {
      await certificates.close();
    }
  });
}

function identityOf({ user, passwordFile }: OpcuaProbeOptions): Identity {
  if (user === undefined || passwordFile === undefined) return { kind: 'anonymous' };
  return { kind: 'password_file', user, file: passwordFile };
}

function loginLines({ user, passwordFile }: OpcuaProbeOptions): string[] {
  if (user === undefined) return ['anonymous: true'];
  return [`user: ${JSON.stringify(user)}`, `password_file: ${JSON.stringify(passwordFile)}`];
}

/** Lists what was refused; with a thumbprint, trusts that one. */
export async function trustOpcua(
  folder: string,
  thumbprint: string | undefined,
  { yes }: { yes: boolean },
): Promise<void> {
  const rejected = await rejectedCertificates(folder);
  const wanted = thumbprint?.toLowerCase().replaceAll(':', '');
  const shown = wanted === undefined ? rejected : rejected.filter((one) => one.thumbprint === wanted);
  for (const one of shown) {
    process.stdout.write(
      `${one.thumbprint}\n  subject      ${one.subject}\n  application  ${one.applicationUri}\n` +
        `  valid        ${one.validFrom} to ${one.validTo}\n  file         ${one.file}\n`,
    );
  }
  if (wanted === undefined) {
    if (shown.length === 0) process.stdout.write(`nothing was refused in ${folder}\n`);
    else process.stdout.write(`to trust one: millwright trust opcua ${folder} THUMBPRINT\n`);
    return;
  }
  const [certificate] = shown;
  if (certificate === undefined) {
    throw new MillwrightError('not_found', `${folder} has refused no certificate with thumbprint ${wanted}`);
  }
  if (!yes && !(await isConfirmed())) {
    process.stdout.write('nothing was changed\n');
    return;
  }
  await trust(folder, certificate);
  process.stdout.write('it is trusted from now on; no restart is needed\n');
}

async function isConfirmed(): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const answered = lines.question('Is it the same thumbprint that the other side shows for itself? Trust it? [y/N] ');
    const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    return /^y(es)?$/i.test((await Promise.race([answered, closed])).trim());
  } finally {
    lines.close();
  }
}
