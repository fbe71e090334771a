/** What a client would rather have, by its `Accept` headers (RFC 9110, 12.5), and answers packed as it likes. */
import { promisify } from 'node:util';
import zlib from 'node:zlib';

/** In the order in which they are preferred; between them zstd is the cheaper and the smaller. */
export const CODINGS = ['zstd', 'gzip', 'identity'] as const;
export type Coding = (typeof CODINGS)[number];

/** Below it an answer fits a packet or two, packed or not. */
export const CODED_BYTES_MIN = 1_400;

/** The lowest levels: samples repeat themselves, and more work saves little of what is left. */
const ZSTD_OPTIONS: zlib.ZstdOptions = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } };
const GZIP_OPTIONS: zlib.ZlibOptions = { level: 1 };

const zstd: (text: string, options: zlib.ZstdOptions) => Promise<Buffer> = promisify(zlib.zstdCompress);
const gzip: (text: string, options: zlib.ZlibOptions) => Promise<Buffer> = promisify(zlib.gzip);

/**
 * Of the offers the one with the greatest weight in the header, the first between equals; undefined when the header is
 * absent or wants none of them. Of wildcards those of media types count.
 */
export function preferred<Offer extends string>(
  header: string | undefined,
  offers: readonly Offer[],
): Offer | undefined {
  const weights = new Map<string, number>();
  for (const part of (header ?? '').toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim());
    const weight = parameters.find((text) => text.startsWith('q='));
    weights.set(name, weight === undefined ? 1 : Number(weight.slice(2)) || 0);
  }
  let best: Offer | undefined;
  let bestWeight = 0;
  for (const offer of offers) {
    const [type] = offer.split('/');
    const weight = weights.get(offer) ?? weights.get(`${type}/*`) ?? weights.get('*/*') ?? 0;
    if (weight <= bestWeight) continue;
    best = offer;
    bestWeight = weight;
  }
  return best;
}

/** How the answer to a request with this `Accept-Encoding` is packed. */
export function codingOf(acceptEncoding: string | string[] | undefined): Coding {
  return preferred(acceptEncoding?.toString(), CODINGS) ?? 'identity';
}

/** A whole answer, packed. It happens in a thread of its own. */
export function coded(text: string, coding: Exclude<Coding, 'identity'>): Promise<Buffer> {
  return coding === 'zstd' ? zstd(text, ZSTD_OPTIONS) : gzip(text, GZIP_OPTIONS);
}

/** For an answer that is written piece by piece. */
export function compressor(coding: Exclude<Coding, 'identity'>): zlib.Gzip | zlib.ZstdCompress {
  return coding === 'zstd' ? zlib.createZstdCompress(ZSTD_OPTIONS) : zlib.createGzip(GZIP_OPTIONS);
}
