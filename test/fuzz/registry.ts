/** Every codec that is fuzzed, by its name. One line adds one. */
import type { Codec } from './codec.ts';

export const CODECS: Readonly<Record<string, () => Promise<{ readonly codec: Codec }>>> = {
  shdr: () => import('./codecs/shdr.ts'),
  'modbus-tcp': () => import('./codecs/modbus-tcp.ts'),
  'modbus-rtu': () => import('./codecs/modbus-rtu.ts'),
  multipart: () => import('./codecs/multipart.ts'),
  mtconnect: () => import('./codecs/mtconnect.ts'),
  frames: () => import('./codecs/frames.ts'),
  ingest: () => import('./codecs/ingest.ts'),
  csv: () => import('./codecs/csv.ts'),
  qif: () => import('./codecs/qif.ts'),
  aqdef: () => import('./codecs/aqdef.ts'),
  calypso: () => import('./codecs/calypso.ts'),
  log: () => import('./codecs/log.ts'),
  sparkplug: () => import('./codecs/sparkplug.ts'),
  mqtt: () => import('./codecs/mqtt.ts'),
};
