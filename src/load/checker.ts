/** Asks a running hub what it has stored of a run, and compares it with what was sent. */
import { MillwrightError, messageOf } from '../base/errors.ts';
import type { DeadLetter, Machine, MachineNow } from '../model/api.ts';
import type { Timestamp } from '../model/time.ts';
import type { HubClient } from './http-client.ts';
import { JsonArrayReader, type JsonObject } from './json-array.ts';
import { indexOfRow, type LoadPlan, type PlannedMachine, timeOf } from './plan.ts';

/** Rows of one machine, against its readings that were sent. */
export interface MachineCount {
  readonly machine_id: string;
  readonly sent: number;
  /** Different readings that are there. */
  readonly stored: number;
  readonly missing: number;
  /** Rows of a reading beyond its first. */
  readonly doubled: number;
  /** Rows that are none of those sent. */
  readonly foreign: number;
  /** Numbers of missing readings, both ends included; the first few. */
  readonly missing_ranges: readonly (readonly [number, number])[];
  readonly first_time: Timestamp | null;
  readonly last_time: Timestamp | null;
}

export interface DeadLetterCount {
  readonly expected: number;
  readonly found: number;
  /** What is not as it should be; the first few sentences. */
  readonly problems: readonly string[];
  /** The reasons of those that were found, each once. */
  readonly reasons: readonly string[];
}

/** A malformed message that was sent. */
export interface SentMalformed {
  readonly gatewayId: string;
  readonly sequence: number;
  readonly reason: RegExp;
}

/** The hub lists no more: the newest. */
export const DEAD_LETTERS_LISTED_MAX = 500;
const RANGES_TOLD_MAX = 10;
const PROBLEMS_TOLD_MAX = 20;

export class Checker {
  readonly #client: HubClient;
  readonly #plan: LoadPlan;

  constructor(client: HubClient, plan: LoadPlan) {
    this.#client = client;
    this.#plan = plan;
  }

  /** @throws config_invalid when one of the run's machines is there already: its rows could not be told from ours */
  async requireNewMachines(run: string): Promise<void> {
    const ours = new Set([...this.#plan.machines.map(({ id }) => id), this.#plan.malformedMachine]);
    const known = await this.#client.json<Machine[]>({ path: '/api/v1/machines' });
    const old = known.find(({ id }) => ours.has(id));
    if (old === undefined) return;
    const message = `the hub has a machine ${old.id} already; give another name than "${run}" with --run`;
    throw new MillwrightError('config_invalid', message);
  }

  /** How many readings of each machine are visible, by the newest one's number. */
  async visible(signal: AbortSignal): Promise<Map<string, number>> {
    const fleet = await this.#client.json<MachineNow[]>({ path: '/api/v1/fleet' }, signal);
    const newest = new Map<string, number>();
    for (const { id, values } of fleet) {
      const counter = values['active_program_line']?.value;
      if (typeof counter === 'number') newest.set(id, counter + 1);
    }
    return newest;
  }

  /** Reads every row of the machine; `onRow` hears how many there were so far. */
  async count(machine: PlannedMachine, onRow: (rows: number) => void, signal: AbortSignal): Promise<MachineCount> {
    const count = new Count(machine);
    let rows = 0;
    await this.#rows(
      machine.id,
      (row) => {
        count.add(indexOfRow(machine, row));
        onRow((rows += 1));
      },
      signal,
    );
    return count.end();
  }

  /** How many rows the machine of the malformed messages has: none, if all is well. */
  async malformedRows(signal: AbortSignal): Promise<number> {
    let rows = 0;
    await this.#rows(this.#plan.malformedMachine, () => (rows += 1), signal);
    return rows;
  }

  /** Of the gateways of this run. */
  async deadLetters(sent: readonly SentMalformed[], epoch: string, signal: AbortSignal): Promise<DeadLetterCount> {
    const path = `/api/v1/dead-letters?limit=${DEAD_LETTERS_LISTED_MAX}`;
    const listed = await this.#client.json<DeadLetter[]>({ path }, signal);
    const gateways = new Set(this.#plan.gateways.map(({ id }) => id));
    const ours = listed.filter((letter) => letter.epoch === epoch && gateways.has(letter.gateway_id ?? ''));
    return compareDeadLetters(sent, ours);
  }

  async #rows(machineId: string, take: (row: JsonObject) => void, signal: AbortSignal): Promise<void> {
    const path = `/api/v1/machines/${encodeURIComponent(machineId)}/data`;
    const response = await this.#client.open({ path }, signal);
    const reader = new JsonArrayReader(take);
    try {
      for await (const piece of response as AsyncIterable<Buffer>) reader.push(piece);
    } catch (cause) {
      throw new MillwrightError('connection_failed', `the answer broke off: ${messageOf(cause)}`, { cause });
    }
    reader.end();
  }
}

/** Rows come in the order of time, so those of a reading stand together and a gap is a gap. */
export class Count {
  readonly #machine: PlannedMachine;
  /** The number of the reading that should come. */
  #next = 0;
  #last: number | undefined;
  #first: number | undefined;
  #stored = 0;
  #doubled = 0;
  #foreign = 0;
  #missing = 0;
  readonly #ranges: [number, number][] = [];

  constructor(machine: PlannedMachine) {
    this.#machine = machine;
  }

  add(index: number | undefined): void {
    if (index === undefined || index >= this.#machine.sent) this.#foreign += 1;
    else if (index < this.#next) this.#doubled += 1;
    else {
      this.#lack(this.#next, index - 1);
      this.#next = index + 1;
      this.#first ??= index;
      this.#last = index;
      this.#stored += 1;
    }
  }

  end(): MachineCount {
    this.#lack(this.#next, this.#machine.sent - 1);
    const time = (index: number | undefined): Timestamp | null => {
      return index === undefined ? null : timeOf(this.#machine, index);
    };
    return {
      machine_id: this.#machine.id,
      sent: this.#machine.sent,
      stored: this.#stored,
      missing: this.#missing,
      doubled: this.#doubled,
      foreign: this.#foreign,
      missing_ranges: this.#ranges,
      first_time: time(this.#first),
      last_time: time(this.#last),
    };
  }

  #lack(first: number, last: number): void {
    if (last < first) return;
    this.#missing += last - first + 1;
    if (this.#ranges.length < RANGES_TOLD_MAX) this.#ranges.push([first, last]);
  }
}

export function isExact({ missing, doubled, foreign }: MachineCount): boolean {
  return missing === 0 && doubled === 0 && foreign === 0;
}

/** Exactly one for each malformed message, with its reason, and none besides. */
export function compareDeadLetters(
  sent: readonly SentMalformed[],
  letters: readonly Pick<DeadLetter, 'gateway_id' | 'sequence' | 'reason'>[],
): DeadLetterCount {
  const name = (gatewayId: string | null, sequence: number | null): string => `${gatewayId} message ${sequence}`;
  const left = new Map(sent.map((message) => [name(message.gatewayId, message.sequence), message]));
  const found = new Set<string>();
  const problems: string[] = [];
  for (const { gateway_id: gatewayId, sequence, reason } of letters) {
    const place = name(gatewayId, sequence);
    const message = left.get(place);
    if (message === undefined) problems.push(`${place} is a dead letter and should not be: ${reason}`);
    else if (found.has(place)) problems.push(`${place} is a dead letter twice`);
    else if (!message.reason.test(reason)) problems.push(`${place} has a reason that says nothing of it: ${reason}`);
    found.add(place);
  }
  for (const place of left.keys()) if (!found.has(place)) problems.push(`${place} is malformed and no dead letter`);
  const expected = [...left.keys()].filter((place) => found.has(place)).length;
  return {
    expected: sent.length,
    found: expected,
    problems: problems.slice(0, PROBLEMS_TOLD_MAX),
    reasons: [...new Set(letters.map(({ reason }) => reason))].slice(0, PROBLEMS_TOLD_MAX),
  };
}
