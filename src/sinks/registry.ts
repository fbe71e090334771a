/** Every type of sink by its name in the configuration. Nothing is loaded that the configuration does not name. */
import type { ZodType } from 'zod';
import type { Sink, SinkContext } from '../ports/sink.ts';

/** A method, not a function property, so that a sink's own type of options fits: its schema has checked them. */
export interface SinkModule {
  create(options: unknown, context: SinkContext): Sink;
}

export interface SinkEntry {
  /** Only for who reads the configuration: loads the schema library. */
  readonly schema: () => Promise<{ readonly schema: ZodType }>;
  readonly create: () => Promise<SinkModule>;
  /** What it makes is a `ServingSink` (`ports/sink.ts`). */
  readonly isServing?: true;
}

export const SINKS: { readonly [type: string]: SinkEntry } = {
  hub: { schema: () => import('./hub/config.ts'), create: () => import('./hub/sink.ts') },
  influx: { schema: () => import('./influx/config.ts'), create: () => import('./influx/sink.ts') },
  mes: { schema: () => import('./mes/config.ts'), create: () => import('./mes/sink.ts') },
  mqtt: { schema: () => import('./mqtt/config.ts'), create: () => import('./mqtt/sink.ts') },
  nats: { schema: () => import('./nats/config.ts'), create: () => import('./nats/sink.ts') },
  opcua_server: {
    schema: () => import('./opcua-server/config.ts'),
    create: () => import('./opcua-server/sink.ts'),
    isServing: true,
  },
};
