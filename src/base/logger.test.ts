import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillwrightError } from './errors.ts';
import { createLogger, type Logger, type LogLevel, silentLogger } from './logger.ts';

function logger(pretty: boolean, level: LogLevel = 'debug'): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  return { log: createLogger({ level, pretty, write, now: () => '2026-01-01T08:00:00.123Z' }), lines };
}

/** Without the colours. */
function plain(line = ''): string {
  return ['2', '32', '33', '31', '0'].reduce((text, code) => text.replaceAll(`\u001b[${code}m`, ''), line);
}

test('writes one JSON object a line, with the bound fields', () => {
  const { log, lines } = logger(false);
  log
    .with({ sink: 'hub' })
    .with({ part: 1 })
    .warn('slow', { wait_ms: 5, error: new MillwrightError('try_later', 'busy') });
  assert.deepEqual(JSON.parse(lines[0] ?? ''), {
    time: '2026-01-01T08:00:00.123Z',
    level: 'warn',
    message: 'slow',
    sink: 'hub',
    part: 1,
    wait_ms: 5,
    error: 'busy',
  });
});

test('leaves out what is below the level', () => {
  const { log, lines } = logger(false, 'warn');
  log.debug('a');
  log.info('b');
  log.warn('c');
  log.error('d');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).message),
    ['c', 'd'],
  );
  silentLogger.error('nobody hears this');
});

test('a field cannot hide the message, its level or its time', () => {
  const { log, lines } = logger(false);
  log.info('true', { message: 'false', level: 'error', time: 'never' });
  assert.deepEqual(JSON.parse(lines[0] ?? ''), { time: '2026-01-01T08:00:00.123Z', level: 'info', message: 'true' });
});

test('what has no JSON costs neither the line nor the caller', () => {
  const ring: { [key: string]: unknown } = {};
  ring['self'] = ring;
  for (const pretty of [false, true]) {
    const { log, lines } = logger(pretty);
    log.info('big', { bytes: 12n });
    log.info('ring', { ring });
    log.info('nothing', { nothing: undefined });
    assert.match(lines[0] ?? '', /bytes.*12/);
    assert.match(lines[1] ?? '', /ring/);
    assert.equal(lines.length, 3);
  }
});

test('a line for a person has the time, the level, the message and the fields', () => {
  const { log, lines } = logger(true);
  log.error('disk full', { folder: '/data', free: 0 });
  assert.equal(plain(lines[0]), '08:00:00.123 error disk full folder=/data free=0');
});

test('what others sent cannot write lines of its own, nor steer the terminal', () => {
  const { log, lines } = logger(true);
  log.warn('bad\nline', { example: '\u001b[2Jgone\r\n12:00 error forged', tail: '\u009b2J' });
  const text = plain(lines[0]);
  assert.ok(!/\p{Cc}/u.test(text), JSON.stringify(text));
  assert.match(text, /bad\\nline/);
});
