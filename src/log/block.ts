/** Blocks: neighbouring records, compressed together with zstd, each block for itself so that a reader starts at any. */
import { BLOCK_BYTES_MAX, type BlockHeader, checksum, encodeBlockHeader, RECORD_HEADER_BYTES } from './format.ts';

const zlib: typeof import('node:zlib') = process.getBuiltinModule('node:zlib');

/** Records are gathered up to this length, or it is one record that is longer. Longer blocks compress little better. */
export const BLOCK_TARGET_BYTES: number = 256 * 1024;
/**
 * Level 3 makes 20.6 bytes of a simulated machine's reading, level 6 makes 18.0 in four times the time, and level 19
 * makes 14.5 in 250 times: measured on blocks of 256 KiB.
 */
const COMPRESSION_LEVEL = 6;
/** Longer than what Node takes from the pool that all short buffers share: a decoded block has its memory to itself. */
const CHUNK_BYTES_MIN: number = 128 * 1024;

/** The block of these records as header and payload. @param content whole records, one after the other */
export function encodeBlock(
  content: Buffer,
  about: Pick<BlockHeader, 'firstSequence' | 'lastSequence' | 'readingsTotal'>,
  seed: number,
): Buffer {
  const payload = zlib.zstdCompressSync(content, {
    params: { [zlib.constants.ZSTD_c_compressionLevel]: COMPRESSION_LEVEL },
  });
  const block = Buffer.allocUnsafeSlow(RECORD_HEADER_BYTES + payload.length);
  const sizes = { plainBytes: content.length, payloadBytes: payload.length, payloadCrc: checksum(payload) };
  encodeBlockHeader(block, 0, { ...about, ...sizes }, seed);
  payload.copy(block, RECORD_HEADER_BYTES);
  return block;
}

/**
 * Gives the memory of a decoded block back. Left to the garbage collector, which hardly sees it, the blocks of a backlog
 * add up to 60 MB. All views of it become empty.
 */
export function freeBlock(content: Buffer): void {
  if (content.buffer instanceof ArrayBuffer) content.buffer.transfer(0);
}

/** The records in a block's payload, in memory of their own; undefined when it does not fit its checksum or cannot be decompressed. */
export function decodeBlock({ plainBytes, payloadCrc }: BlockHeader, payload: Uint8Array): Buffer | undefined {
  if (checksum(payload) !== payloadCrc) return undefined;
  try {
    // One byte more than is needed: zlib takes a second chunk as soon as the first is full.
    const chunkSize = Math.max(plainBytes + 1, CHUNK_BYTES_MIN);
    const content = zlib.zstdDecompressSync(payload, { chunkSize, maxOutputLength: BLOCK_BYTES_MAX });
    return content.length === plainBytes ? content : undefined;
  } catch {
    return undefined;
  }
}
