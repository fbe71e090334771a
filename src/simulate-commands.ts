/** `millwright simulate …`: what the command line does to stand in for machines. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { aborted, systemClock } from './base/clock.ts';
import { MillwrightError, messageOf } from './base/errors.ts';
import { processLogger } from './base/logger.ts';
import { runProcess } from './base/process.ts';
import { MtconnectAgent } from './sim/mtconnect-agent.ts';
import { playRecording, recordedAgent } from './sim/recorded-agent.ts';

export interface MtconnectArguments {
  readonly file: string;
  readonly device?: string;
  readonly host: string;
  readonly port: number;
  readonly speed: number | 'max';
  readonly loop: boolean;
  readonly buffer: number;
}

export async function mtconnect(options: MtconnectArguments): Promise<void> {
  const { file, host, port, buffer, speed, loop } = options;
  const log = processLogger('info');
  const { device, sayings } = recordedAgent(await textOf(file), options.device ?? path.parse(file).name);
  if (sayings.length === 0) throw new MillwrightError('config_invalid', `${file} holds no line of an adapter`);
  const agent = new MtconnectAgent({
    devices: [device],
    bufferSize: buffer,
    instanceId: Math.floor(systemClock.nowMicros() / 1e6),
    version: '2.0',
    multipart: 'mixed',
    isBoundaryQuoted: false,
    clock: systemClock,
  });
  const listening = await agent.listen(host, port);
  await runProcess(log, async (signal) => {
    log.info('the agent answers', {
      url: `http://${host}:${listening}`,
      device: device.name,
      items: device.items.length,
    });
    const said = await playRecording({ agent, sayings, speed, loop, clock: systemClock }, signal);
    if (!signal.aborted) log.info('the recording has ended; the agent still answers', { observations: said });
    await aborted(signal);
    await agent.close();
  });
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new MillwrightError('config_invalid', `cannot read ${file}: ${messageOf(cause)}`);
  }
}
