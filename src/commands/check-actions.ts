/** `millwright check --live FILE`: what works of a configuration, as a table or as JSON. */
import { systemClock } from '../base/clock.ts';
import { createLogger, silentLogger } from '../base/logger.ts';
import { EXIT_FAILED, runProcess } from '../base/process.ts';
import { type Checked, checkLive } from '../edge/live-check.ts';
import type { EdgeSettings } from '../edge/settings.ts';

export interface LiveOptions {
  readonly json: boolean;
  /** For each source and sink, in milliseconds. */
  readonly timeout: number;
}

/** Exit code 0 only if all works. */
export async function live(settings: EdgeSettings, { json, timeout }: LiveOptions): Promise<void> {
  const write = (line: string): boolean => process.stderr.write(`${line}\n`);
  const logger = createLogger({ level: 'warn', pretty: true, write, now: () => new Date().toISOString() });
  let isAllWell = false;
  await runProcess(logger, async (signal) => {
    const parts = { clock: systemClock, random: Math.random, log: silentLogger, timeoutMs: timeout };
    const found = await checkLive(settings, parts, signal);
    isAllWell = found.every(({ ok }) => ok);
    process.stdout.write(json ? `${JSON.stringify(found, null, 2)}\n` : tableOf(found));
  });
  const code = isAllWell ? 0 : process.exitCode || EXIT_FAILED;
  // What a driver may have left open does not keep the command from ending.
  process.stdout.write('', () => process.exit(code));
}

function tableOf(found: readonly Checked[]): string {
  const rows = found.map(({ kind, name, type, machine_id, ok, message, latency_ms }) => {
    return [ok ? 'ok' : 'PROBLEM', kind, name, type, machine_id ?? '', `${Math.round(latency_ms)} ms`, message];
  });
  const head = ['', '', 'name', 'type', 'machine', 'after', 'what'];
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]): string => {
    return cells.map((cell, at) => (at === cells.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join('  ');
  };
  const problems = found.filter(({ ok }) => !ok).length;
  const sum = problems === 0 ? `all ${found.length} work` : `${problems} of ${found.length} do not work`;
  return `${[head, ...rows].map(line).join('\n')}\n${sum}\n`;
}
