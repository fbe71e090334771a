/**
 * What a time of the server is worth. Machines have clocks that stand at 1601, 1970 or 2000 after a dead battery, or run
 * hours beside the gateway's: then the gateway's time is the reading's, and the server's is kept beside it. Pure.
 */
import { type Timestamp, timestampOf } from '../../model/time.ts';

/** No machine that this program reads has last been set right before. */
const EARLIEST_MICROS = Date.UTC(2020, 0, 1) * 1000;

export interface ServerTimes {
  /** In microseconds since 1970; null: the server says none. */
  readonly sourceMicros: number | null;
  readonly serverMicros: number | null;
}

export interface ClockJudgement {
  /** The gateway's clock now. */
  readonly gatewayMicros: number;
  /** The server's clock when the node was monitored; what is older held then, and is told as of then. null: not known. */
  readonly sinceMicros: number | null;
  /** A change that was told now is not older than this, or the source's clock is wrong; null: it may have held for long. */
  readonly changeAgeMicrosMax: number | null;
  /** The server's clock differs too much. */
  readonly isServerClockBad: boolean;
  readonly differenceMicrosMax: number;
}

export interface JudgedTime {
  readonly timestamp: Timestamp;
  /** The source's own, where it is not to be believed. */
  readonly sourceTime?: Timestamp;
}

export function judgeTime({ sourceMicros, serverMicros }: ServerTimes, clock: ClockJudgement): JudgedTime {
  const { gatewayMicros, sinceMicros, changeAgeMicrosMax, isServerClockBad, differenceMicrosMax } = clock;
  const own = sourceMicros ?? serverMicros;
  if (own === null) return { timestamp: timestampOf(gatewayMicros) };
  const earliest = Math.max(EARLIEST_MICROS, gatewayMicros - (changeAgeMicrosMax ?? Number.POSITIVE_INFINITY));
  const isPlausible = own >= earliest && (isGatewayUnset(gatewayMicros) || own <= gatewayMicros + differenceMicrosMax);
  if (isServerClockBad || !isPlausible) {
    return { timestamp: timestampOf(gatewayMicros), sourceTime: timestampOf(own) };
  }
  return { timestamp: timestampOf(Math.max(own, sinceMicros ?? own)) };
}

/** A gateway that has not heard of the time yet, as a Raspberry Pi after its start, is no judge of others. */
function isGatewayUnset(gatewayMicros: number): boolean {
  return gatewayMicros < EARLIEST_MICROS;
}

/** A sentence when the server's clock is too far from the gateway's; null: it is near enough. */
export function clockTrouble(serverMicros: number, gatewayMicros: number, differenceMicrosMax: number): string | null {
  const difference = serverMicros - gatewayMicros;
  if (Math.abs(difference) <= differenceMicrosMax || isGatewayUnset(gatewayMicros)) return null;
  const where = difference > 0 ? 'ahead of' : 'behind';
  const size = durationText(Math.abs(difference) / 1e6);
  return `the server's clock is ${size} ${where} the gateway's, so its times are not used; put it right (NTP)`;
}

const UNITS: readonly (readonly [seconds: number, name: string])[] = [
  [86_400, 'days'],
  [3_600, 'h'],
  [60, 'min'],
];

function durationText(seconds: number): string {
  for (const [unit, name] of UNITS) if (seconds >= 2 * unit) return `${Math.round(seconds / unit)} ${name}`;
  return `${Math.round(seconds)} s`;
}
