/** What the server's folder of certificates has: when its own ends, and whom it has refused. */
const fs: typeof import('node:fs/promises') = process.getBuiltinModule('node:fs/promises');
const { X509Certificate } = process.getBuiltinModule('node:crypto');

const DAY_MS = 86_400_000;
/** A client that comes again and again is told so often. */
const TELL_AGAIN_MS = 600_000;

/** Whole days until the certificate ends; below 0: it has ended. */
export function daysLeft(pem: string, nowMs: number): number {
  return Math.floor((Date.parse(new X509Certificate(pem).validTo) - nowMs) / DAY_MS);
}

export class Rejected {
  readonly folder: string;
  readonly #toldMs = new Map<string, number>();

  constructor(pkiFolder: string) {
    this.folder = `${pkiFolder}/rejected`;
  }

  /** Files of certificates that were refused and not told lately; told with this call. */
  async untold(nowMs: number): Promise<string[]> {
    const files = await fs.readdir(this.folder).catch((): string[] => []);
    for (const file of this.#toldMs.keys()) if (!files.includes(file)) this.#toldMs.delete(file);
    const untold = files.filter((file) => nowMs - (this.#toldMs.get(file) ?? Number.NEGATIVE_INFINITY) > TELL_AGAIN_MS);
    for (const file of untold) this.#toldMs.set(file, nowMs);
    return untold;
  }
}
