/** Makes a sink as the edge's settings name it: for the edge, and for commands that deliver again beside it. */
import { MillwrightError } from '../../base/errors.ts';
import type { Sink, SinkContext } from '../../ports/sink.ts';
import { SINKS } from '../../sinks/registry.ts';
import type { EdgeSettings, SinkSettings } from '../settings.ts';

/** @throws config_invalid for a type that there is not */
export async function createSink(
  { name, type, options }: SinkSettings,
  { log, ...context }: SinkContext,
): Promise<Sink> {
  const entry = SINKS[type];
  if (entry === undefined) throw new MillwrightError('config_invalid', `there is no sink of type ${type}`);
  return (await entry.create()).create(options, { ...context, log: log.with({ sink: name }) });
}

/** @throws not_found when there is no sink of that name; bad_request for one to which nothing can be delivered again */
export async function createSinkNamed(
  name: string,
  { gatewayId, sinks }: Pick<EdgeSettings, 'gatewayId' | 'sinks'>,
  context: Omit<SinkContext, 'gatewayId'>,
): Promise<Sink> {
  const found = sinks.find((sink) => sink.name === name);
  if (found !== undefined && SINKS[found.type]?.isServing === true) {
    throw new MillwrightError('bad_request', `the sink ${name} shows what is newest; nothing is delivered to it again`);
  }
  if (found !== undefined) return await createSink(found, { gatewayId, ...context });
  const names = sinks.length === 0 ? 'there is none' : `there is ${sinks.map((sink) => sink.name).join(', ')}`;
  throw new MillwrightError('not_found', `no sink named ${JSON.stringify(name)} is configured; ${names}`);
}
