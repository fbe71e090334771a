/** A real system with two simulated machines and one with recorded data from 2017, for the tests of the pages. */
import assert from 'node:assert/strict';
import { after } from 'node:test';
import type { MachineNow } from '../../src/model/api.ts';
import { type Command, startSystem, type System, waitUntil } from '../support/system.ts';

export interface Shop {
  readonly system: System;
  readonly edge: Command;
}

/** Its machines: M-1 and M-2 simulated at 10 Hz, OLD-1 with one sample of 2017, BAD-1 whose adapter is not there. */
export async function startShop(): Promise<Shop> {
  const system = await startSystem();
  after(() => system.stop());
  const sensor = (machine: string, seed: number): object => {
    return { name: machine, type: 'simulator', machine_id: machine, seed };
  };
  const edge = await system.startEdge('EDGE-1', {
    agent: { machine_id: 'EDGE-1', location: 'Hall 1', sampling_rate: '100ms' },
    sensors: [sensor('M-1', 1), sensor('M-2', 2)],
  });
  await ingest(system, {
    machine_id: 'OLD-1',
    timestamp: '2017-04-26T15:12:44Z',
    temperature: 21.5,
    machine_state: 'running',
  });
  await waitUntil('both machines to report', async () => {
    const fleet = await system.get<MachineNow[]>('/api/v1/fleet');
    const live = fleet.filter((machine) => machine.id.startsWith('M-') && machine.state !== null);
    return live.length === 2 ? true : undefined;
  });
  return { system, edge };
}

/** As any publisher would, without a gateway: asked to try later, it does. */
export async function ingest(system: System, reading: object): Promise<void> {
  await waitUntil('the hub to take a reading', async () => {
    const response = await fetch(`${system.url}/api/v1/ingest`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(reading),
    });
    if (response.status === 503) return undefined;
    assert.equal(response.status, 200, await response.text());
    return true;
  });
}

/** As an edge does every two seconds: it counts as heard for ten. */
export async function report(system: System, status: { readonly gateway_id: string }): Promise<void> {
  const response = await fetch(`${system.url}/api/v1/edges/${status.gateway_id}/status`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...status, sent_at: new Date().toISOString() }),
  });
  assert.equal(response.status, 204, await response.text());
}
