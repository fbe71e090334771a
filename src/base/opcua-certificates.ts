/** What a folder of OPC UA certificates has: when its own ends, and whom it has refused. */
const fs: typeof import('node:fs/promises') = process.getBuiltinModule('node:fs/promises');
const { X509Certificate } = process.getBuiltinModule('node:crypto');

const DAY_MS = 86_400_000;
/** One that comes again and again is told so often. */
const TELL_AGAIN_MS = 600_000;
/** Certificates that are told in {@link TELL_AGAIN_MS}. */
const TOLD_MAX = 20;
/** Certificates that are kept: whoever reaches the port of a server can bring as many as he likes. */
export const REJECTED_MAX = 100;

/** From so many days before the certificate's end on, it is told. */
const EXPIRY_DAYS = 60;

/** What is wrong with the time of a certificate, or soon will be; undefined: nothing. `isValid`: the other side takes it now. */
export function timeTrouble(
  pem: string,
  nowMs: number,
): { readonly when: string; readonly isValid: boolean } | undefined {
  const { validFrom, validTo } = new X509Certificate(pem);
  if (nowMs < Date.parse(validFrom)) {
    return { when: `is valid from ${validFrom} on only, by the clock of this machine`, isValid: false };
  }
  const days = Math.floor((Date.parse(validTo) - nowMs) / DAY_MS);
  if (days < 0) return { when: 'has expired', isValid: false };
  return days > EXPIRY_DAYS ? undefined : { when: `expires in ${days} days`, isValid: true };
}

export class Rejected {
  readonly folder: string;
  readonly #toldMs = new Map<string, number>();
  #allToldMs: number[] = [];

  constructor(pkiFolder: string) {
    this.folder = `${pkiFolder}/rejected`;
  }

  /** Files of certificates that were refused and not told lately; told with this call. */
  async untold(nowMs: number): Promise<string[]> {
    const files = await this.#files();
    for (const file of this.#toldMs.keys()) if (!files.includes(file)) this.#toldMs.delete(file);
    const isLongAgo = (ms: number): boolean => nowMs - ms > TELL_AGAIN_MS;
    this.#allToldMs = this.#allToldMs.filter((ms) => !isLongAgo(ms));
    const untold = files
      .filter((file) => isLongAgo(this.#toldMs.get(file) ?? Number.NEGATIVE_INFINITY))
      .slice(0, TOLD_MAX - this.#allToldMs.length);
    for (const file of untold) this.#toldMs.set(file, nowMs);
    this.#allToldMs.push(...untold.map(() => nowMs));
    return untold;
  }

  /** Lets the oldest go where there are too many. A folder in which nothing can be removed keeps nobody from coming. */
  async prune(): Promise<void> {
    const files = await this.#files();
    if (files.length <= REJECTED_MAX) return;
    const dated = await Promise.all(
      files.map(async (name) => {
        const file = `${this.folder}/${name}`;
        return {
          file,
          ms: await fs.stat(file).then(
            ({ mtimeMs }) => mtimeMs,
            () => 0,
          ),
        };
      }),
    );
    dated.sort((a, b) => b.ms - a.ms);
    await Promise.allSettled(dated.slice(REJECTED_MAX).map(({ file }) => fs.rm(file, { force: true })));
  }

  #files(): Promise<string[]> {
    return fs.readdir(this.folder).catch((): string[] => []);
  }
}
