/** The hub's reads, in the shapes of `model/api.ts`. */
import type { Pool } from 'pg';
import type { DeadLetter, EdgeReport, Machine, MachineEventRow, MachineNow, SignalInfo } from '../../model/api.ts';
import { signalNamed, SIGNALS } from '../../model/signals.ts';
import type { EdgeStatus } from '../../model/status.ts';
import type { Timestamp } from '../../model/time.ts';
import { type FleetRow, machineNow } from './machine-now.ts';

/** From `start_time` (inclusive) to `end_time` (exclusive). */
export interface TimeWindow {
  readonly start: Timestamp;
  readonly end: Timestamp;
}

/** A person is shown so many of a signal whose unit and resolution nobody has said. */
const EXTRA_DECIMALS = 3;
export interface MachineFields {
  readonly id: string;
  readonly name: string;
  readonly location: string | null;
  readonly controller_type: string | null;
  readonly max_spindle_speed_rpm: number | null;
  readonly axis_count: number | null;
}

export class Reader {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async check(): Promise<void> {
    await this.#pool.query('select from machines limit 1');
  }

  async machines(): Promise<Machine[]> {
    return this.#rows<Machine>(`select ${MACHINE_COLUMNS} from machines order by id`, []);
  }

  /** Creates the machine, or replaces what is known of it. `created` tells which. */
  async saveMachine(fields: MachineFields): Promise<{ machine: Machine; created: boolean }> {
    const [row] = await this.#rows<Machine & { created: boolean }>(
      `insert into machines (id, name, location, controller_type, max_spindle_speed_rpm, axis_count)
      values ($1, $2, $3, $4, $5, $6)
      on conflict (id) do update set name = excluded.name, location = excluded.location,
        controller_type = excluded.controller_type, max_spindle_speed_rpm = excluded.max_spindle_speed_rpm,
        axis_count = excluded.axis_count, last_updated = now()
      returning ${MACHINE_COLUMNS}, xmax = 0 as created`,
      [
        fields.id,
        fields.name,
        fields.location,
        fields.controller_type,
        fields.max_spindle_speed_rpm,
        fields.axis_count,
      ],
    );
    if (row === undefined) throw new Error('an insert with "returning" returned nothing');
    const { created, ...machine } = row;
    return { machine, created };
  }

  /** All machines, or those named, in the order of their names. */
  async fleet(now: Timestamp, ids?: readonly string[]): Promise<MachineNow[]> {
    const rows = await this.#rows<FleetRow>(
      `select id, name, location, last_seen, last_measurement, signals, states, conditions
      from machines left join machine_current on machine_id = id
      where $1::text[] is null or id = any($1) order by id`,
      [ids ?? null],
    );
    const edges = await this.edges();
    return rows.map((row) => machineNow(row, edges, now));
  }

  async signals(machineId: string): Promise<SignalInfo[]> {
    const [row] = await this.#rows<{ signals: FleetRow['signals'] }>(
      'select signals from machine_current where machine_id = $1',
      [machineId],
    );
    const current = row?.signals ?? {};
    const standard = SIGNALS.filter(({ name }) => name in current).map(({ name, label, unit, decimals, type }) => {
      return { name, label, unit, decimals, numeric: type !== 'text' };
    });
    const extra = Object.keys(current)
      .filter((name) => signalNamed(name) === undefined)
      .sort();
    return [
      ...standard,
      ...extra.map((name) => {
        const value = current[name]?.[1];
        const decimals = Number.isInteger(value) ? 0 : EXTRA_DECIMALS;
        return { name, label: name, unit: '', decimals, numeric: typeof value === 'number' };
      }),
    ];
  }

  /** Newest first; only those before that time, where one is given. */
  async events(machineId: string, limit: number, before?: Timestamp): Promise<MachineEventRow[]> {
    return this.#rows<MachineEventRow>(
      `select time, machine_id, event_type, item, state, previous_state, level, native_code, native_severity, qualifier,
        text, details
      from events where machine_id = $1 and ($2::timestamptz is null or time < $2) order by time desc limit $3`,
      [machineId, before ?? null, limit],
    );
  }

  async edges(): Promise<EdgeReport[]> {
    return this.#rows<EdgeReport>(
      'select status, received_at, clock_offset_seconds from edges order by gateway_id',
      [],
    );
  }

  async saveEdge(status: EdgeStatus, receivedAt: Timestamp, clockOffsetSeconds: number): Promise<void> {
    await this.#pool.query(
      `insert into edges (gateway_id, status, received_at, clock_offset_seconds) values ($1, $2, $3, $4)
      on conflict (gateway_id) do update set status = excluded.status, received_at = excluded.received_at,
        clock_offset_seconds = excluded.clock_offset_seconds`,
      [status.gateway_id, JSON.stringify(status), receivedAt, clockOffsetSeconds],
    );
  }

  async deadLetters(limit: number): Promise<DeadLetter[]> {
    return this.#rows<DeadLetter>(
      `select id, received_at, gateway_id, epoch, sequence, reason,
        translate(encode(bytes, 'base64'), chr(10), '') as bytes_base64, bytes_length
      from dead_letters order by id desc limit $1`,
      [limit],
    );
  }

  async #rows<Row extends object>(text: string, values: unknown[]): Promise<Row[]> {
    return (await this.#pool.query<Row>(text, values)).rows;
  }
}

const MACHINE_COLUMNS =
  'id, name, location, controller_type, max_spindle_speed_rpm, axis_count, created_at, last_updated';
