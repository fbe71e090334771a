/** `millwright log …`: what the command line does with the folder of a log, open or not. */
import { createWriteStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { systemClock } from '../base/clock.ts';
import { MillwrightError, messageOf } from '../base/errors.ts';
import { processLogger } from '../base/logger.ts';
import { isSystemError, nodeFiles } from '../base/node-files.ts';
import { EXIT_FAILED, runProcess } from '../base/process.ts';
import { type LogReplayed, replayLog } from '../edge/delivery/log-replay.ts';
import type { EdgeSettings } from '../edge/settings.ts';
import { type ExportOptions, exportedText } from '../log/export.ts';
import { inspectLog, logIdentity } from '../log/inspect.ts';
import { outlookOf } from '../log/outlook.ts';
import { parseRange } from '../log/range.ts';
import { repairLog } from '../log/repair.ts';
import { describeLog, describeRepair, describeSoundness } from '../log/report.ts';

const PROGRESS_INTERVAL_MS = 1000;
/** Pieces that are no reading which are named one by one. */
const FAULTS_TOLD_MAX = 10;

export async function inspect(folder: string, { json = false }: { json?: boolean }): Promise<void> {
  const settings = await settingsIfThere(folder);
  const sinks = settings?.sinks?.map(({ name }) => name);
  const report = await inspectLog(nodeFiles, folder, sinks);
  const freeBytes = (await nodeFiles.freeBytes(folder)) ?? null;
  const limits = settings?.log?.limits ?? null;
  const outlook = outlookOf(report, { nowMicros: systemClock.nowMicros(), limits, freeBytes });
  process.stdout.write(json ? `${JSON.stringify({ ...report, outlook })}\n` : describeLog(report, outlook));
}

export async function verify(folder: string, { json = false }: { json?: boolean }): Promise<void> {
  const report = await inspectLog(nodeFiles, folder);
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : describeSoundness(report));
  if (!report.sound) process.exitCode = EXIT_FAILED;
}

export async function repair(folder: string): Promise<void> {
  await becomeOwner(folder);
  const settings = await settingsIfThere(folder);
  const gatewayId = settings?.gatewayId;
  const repaired = await repairLog({ files: nodeFiles, folder, clock: systemClock, gatewayId });
  process.stdout.write(describeRepair(repaired));
  if (!repaired.after.sound) process.exitCode = EXIT_FAILED;
}

/** What root would write, the edge's own user could not open. */
async function becomeOwner(folder: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await stat(folder);
  process.setegid?.(gid);
  process.seteuid?.(uid);
}

export interface ExportArguments {
  readonly format: ExportOptions['format'];
  readonly from?: string;
  readonly to?: string;
  readonly output?: string;
  readonly identity: boolean;
}

export async function exportReadings(
  folder: string,
  { format, from, to, output, identity: withIdentity }: ExportArguments,
): Promise<void> {
  let faults = 0;
  const onFault = (sequence: number, reason: string): void => {
    faults += 1;
    if (faults <= FAULTS_TOLD_MAX) process.stderr.write(`batch ${sequence} holds what is no reading: ${reason}\n`);
  };
  const range = parseRange({ from, to });
  const { gatewayId } = await logIdentity(nodeFiles, folder);
  const known = gatewayId ?? (await settingsIfThere(folder))?.gatewayId ?? '';
  const identity = withIdentity ? { gatewayId: known } : null;
  const text = Readable.from(exportedText({ files: nodeFiles, folder, format, range, identity, onFault }));
  try {
    if (output === undefined) await pipeline(text, process.stdout, { end: false });
    else await pipeline(text, createWriteStream(output));
  } catch (error) {
    // Whoever reads, such as `head`, has had enough.
    if (!isSystemError(error, 'EPIPE')) throw error;
  }
  if (faults > FAULTS_TOLD_MAX) process.stderr.write(`${faults} pieces in all are no readings\n`);
}

export async function replay(
  folder: string,
  { sink, from, to }: { sink: string; from?: string; to?: string },
): Promise<void> {
  const range = parseRange({ from, to });
  const settings = await readSettings(folder);
  const logger = processLogger('info');
  let isComplete = false;
  await runProcess(logger, async (signal) => {
    let toldMs = systemClock.monotonicMs();
    const onProgress = (progress: LogReplayed): void => {
      if (!process.stderr.isTTY || systemClock.monotonicMs() < toldMs + PROGRESS_INTERVAL_MS) return;
      toldMs = systemClock.monotonicMs();
      process.stderr.write(`${sink}: ${replayText(progress)}, up to sequence ${progress.lastSequence}\n`);
    };
    const common = { files: nodeFiles, clock: systemClock, random: Math.random, logger };
    const replayed = await replayLog({ ...common, folder, settings, sink, range, onProgress, signal });
    isComplete = !replayed.isStopped && replayed.refused === 0;
    const stopped = replayed.isStopped ? `; stopped after sequence ${replayed.lastSequence}` : '';
    process.stdout.write(`${sink}: ${replayText(replayed)}${stopped}\n`);
  });
  if (!isComplete) process.exitCode ||= EXIT_FAILED;
}

function replayText({ batches, readings, refused, known }: LogReplayed): string {
  const stored = batches - refused - (known ?? 0);
  const told = known === null ? '' : `: ${stored} stored again, ${known} known already, ${refused} refused`;
  return `${batches} batches with ${readings} readings delivered${known === null ? `, ${refused} refused` : told}`;
}

/** The settings that the edge has left beside its log. @throws config_invalid */
export async function readSettings(folder: string): Promise<EdgeSettings> {
  const file = path.join(folder, 'settings.json');
  try {
    const settings: EdgeSettings = JSON.parse(await readFile(file, 'utf8'));
    return settings;
  } catch (cause) {
    throw new MillwrightError(
      'config_invalid',
      `cannot read ${file}, which an edge writes when it starts: ${messageOf(cause)}`,
    );
  }
}

/** What can be told without them is told without them. */
async function settingsIfThere(folder: string): Promise<Partial<EdgeSettings> | undefined> {
  return await readSettings(folder).catch(() => undefined);
}
