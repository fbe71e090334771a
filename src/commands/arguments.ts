/** What an argument of a command may be: text to value, or what is allowed. */
import { InvalidArgumentError } from 'commander';

export function portNumber(value: string): number {
  const port = Number(value);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new InvalidArgumentError('a port is a whole number from 0 to 65535.');
}

export function speed(value: string): number | 'max' {
  if (value === 'max') return 'max';
  const factor = Number(value.replace(/[x×]$/, ''));
  if (factor > 0 && Number.isFinite(factor)) return factor;
  throw new InvalidArgumentError('a speed is a factor above 0, or "max".');
}

export function rate(value: string): number | 'max' {
  if (value === 'max') return 'max';
  const readings = Number(value);
  if (readings > 0 && Number.isFinite(readings)) return readings;
  throw new InvalidArgumentError('a rate is a number of readings a second, or "max".');
}

export function share(value: string): number {
  const part = Number(value);
  if (value.trim() !== '' && part >= 0 && part <= 1) return part;
  throw new InvalidArgumentError('a share is a number from 0 to 1.');
}

export function fieldAndValue(text: string): { field: string; value: string } {
  const [, field = '', value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (field !== '') return { field, value };
  throw new InvalidArgumentError('it is a field and its value: serial_number=SN-0007.');
}

export function countOf(value: string): number {
  if (/^[1-9]\d{0,9}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('it is a whole number from 1.');
}

export function countOrNone(value: string): number {
  return value === '0' ? 0 : countOf(value);
}

export function aNumber(value: string): number {
  const number = Number(value);
  if (value.trim() !== '' && Number.isFinite(number)) return number;
  throw new InvalidArgumentError('it is a number, with a point for decimals.');
}

export function feature(
  value: string,
  before: readonly { name: string; nominalMm: number }[],
): { name: string; nominalMm: number }[] {
  const match = /^([^=,"\s][^=,"\r\n]*)=(\d+(?:\.\d+)?)$/.exec(value);
  if (match === null) throw new InvalidArgumentError('a feature is a name and its length in mm: bore=25.4.');
  return [...before, { name: match[1] ?? '', nominalMm: Number(match[2]) }];
}

export function numberWithin(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw new InvalidArgumentError(`it is a whole number from ${min} to ${max}.`);
  };
}

export function unitRange(value: string): { first: number; last: number } {
  const [first = Number.NaN, last = first] = value.split('-').map(numberWithin(0, 255));
  if (last < first) throw new InvalidArgumentError('it is two unit ids, such as 1-32.');
  return { first, last };
}

export function durationMs(value: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(value);
  if (match === null) throw new InvalidArgumentError('a duration is a number with its unit: 500ms, 10s, 5m, 1h.');
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] as 'ms' | 's' | 'm' | 'h'];
}
