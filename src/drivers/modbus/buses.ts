/**
 * Which sensors share a bus: a serial line, or the connection to a gateway, is one thing, whoever asks over it. It is
 * open while somebody uses it.
 */
import type { Clock } from '../../base/clock.ts';
import { MillwrightError } from '../../base/errors.ts';
import { Bus } from './bus.ts';
import type { BusSettings } from './options.ts';
import type { OpenPort } from './port.ts';
import { openSerialPort } from './serial-port.ts';
import { openTcpPort } from './tcp-port.ts';

interface Shared {
  readonly bus: Bus;
  readonly settings: string;
  users: number;
}

export class Buses {
  readonly #openerOf: (settings: BusSettings) => OpenPort;
  readonly #shared = new Map<string, Shared>();

  constructor(opener: (settings: BusSettings) => OpenPort = openerOf) {
    this.#openerOf = opener;
  }

  /** @throws config_invalid when it is in use with other settings */
  acquire(settings: BusSettings, clock: Clock): Bus {
    const place = placeOf(settings);
    const known = this.#shared.get(place);
    if (known === undefined) {
      const shared = {
        bus: createBus(settings, clock, this.#openerOf(settings)),
        settings: JSON.stringify(settings),
        users: 1,
      };
      this.#shared.set(place, shared);
      return shared.bus;
    }
    if (known.settings !== JSON.stringify(settings)) {
      const text = `${place} is used by another sensor with other settings of the connection; allowed: the same`;
      throw new MillwrightError('config_invalid', text);
    }
    known.users += 1;
    return known.bus;
  }

  async release({ place }: Bus): Promise<void> {
    const shared = this.#shared.get(place);
    if (shared === undefined) return;
    shared.users -= 1;
    if (shared.users > 0) return;
    await shared.bus.close();
    if (shared.users === 0) this.#shared.delete(place);
  }
}

export function placeOf(settings: BusSettings): string {
  return settings.kind === 'tcp' ? `${settings.host}:${settings.port}` : settings.path;
}

export function createBus(settings: BusSettings, clock: Clock, open: OpenPort = openerOf(settings)): Bus {
  const place = placeOf(settings);
  if (settings.kind === 'serial') {
    return new Bus({ place, open, framing: 'rtu', parallel: 1, baudRate: settings.baudRate, clock });
  }
  const { framing } = settings;
  return new Bus({ place, open, framing, parallel: framing === 'rtu' ? 1 : settings.parallel, baudRate: null, clock });
}

function openerOf(settings: BusSettings): OpenPort {
  if (settings.kind === 'serial') return (events) => openSerialPort(settings, events);
  return (events, signal) => openTcpPort(settings, events, signal);
}
