/** What a log in a test is given when the test is about something else: every append synced, and room without end. */
import type { LogOptions } from './log.ts';

export const ROOMY: Pick<LogOptions, 'sync' | 'limits'> = {
  sync: { kind: 'batch', intervalMs: 1000 },
  limits: {
    warmBytesMax: 2 ** 40,
    bytesMax: 2 ** 41,
    ageMsMax: null,
    reserveBytes: 0,
    whenFull: { samples: 'thin', measurements: 'drop_oldest', events: 'drop_oldest' },
  },
};
