/** What needs a person now: by severity, then the longest waiting first. Pure. */
import type { EdgeReport, HubStatus, MachineEventRow, MachineNow } from '../model/api.ts';
import { sourceHop } from './pipeline.ts';
import { type ShownState, STALE_AFTER_MS, STATE_LABELS, standingOf } from './standing.ts';

export interface AttentionItem {
  /** Stable over updates. */
  readonly key: string;
  /** 1 is the worst. */
  readonly severity: 1 | 2 | 3;
  readonly mark: ShownState;
  /** The machine or the part of the pipeline. */
  readonly subject: string;
  readonly text: string;
  readonly sinceMs: number | null;
  /** Where to look. */
  readonly href: string;
}

export interface Known {
  readonly machines: readonly MachineNow[];
  readonly edges: readonly EdgeReport[];
  readonly status: HubStatus | null;
}

export function attentionOf({ machines, edges, status }: Known, nowMs: number): AttentionItem[] {
  const items = [
    ...machines.flatMap((machine) => machineItems(machine, nowMs)),
    ...edges.flatMap((edge) => edgeItems(edge, nowMs)),
    ...edges.flatMap((edge) => sourceItems(edge, machines, nowMs)),
  ];
  if (status?.database === 'failing') {
    items.push({
      key: 'database',
      severity: 1,
      mark: 'alarm',
      subject: 'Database',
      text: `Nothing is stored: ${status.database_error ?? 'it does not answer'}`,
      sinceMs: null,
      href: '/pipeline',
    });
  }
  return items.sort(
    (a, b) => a.severity - b.severity || (a.sinceMs ?? 0) - (b.sinceMs ?? 0) || a.key.localeCompare(b.key),
  );
}

export function machineHref(machineId: string): string {
  return `/machine/${encodeURIComponent(machineId)}`;
}

/** Of its inspections. */
export function inspectionHref(machineId: string): string {
  return `/cmm/${encodeURIComponent(machineId)}`;
}

/** `SV0401 Servo V-ready off, Z axis`: what a person reads of a condition. */
export function conditionText(condition: MachineEventRow): string {
  const text = [condition.native_code, condition.text].filter((part) => part !== null && part !== '').join(' ');
  return text === '' ? (condition.item ?? 'Condition without text') : text;
}

function machineItems(machine: MachineNow, nowMs: number): AttentionItem[] {
  const standing = standingOf(machine, nowMs);
  const { state, sinceMs, reason } = standing;
  const shared = { subject: machine.name, href: machineHref(machine.id) };
  const key = `machine ${machine.id}`;
  switch (standing.kind) {
    case 'offline':
      return [{ ...shared, key, severity: 2, mark: 'offline', text: `Offline: ${reason}`, sinceMs }];
    case 'unknown':
    case 'stale': {
      const text = machine.source_state === 'misconfigured' ? (reason ?? 'Misconfigured') : 'Silent';
      return [{ ...shared, key, severity: 2, mark: 'unknown', text, sinceMs: standing.lastSeenMs }];
    }
    case 'dated':
    case 'never':
      return [];
    case 'now':
      break;
  }
  const items = machine.active_conditions.flatMap((condition, at): AttentionItem[] => {
    const fault = condition.level === 'fault';
    if (!fault && condition.level !== 'warning') return [];
    return [
      {
        ...shared,
        key: `${key} ${condition.item} ${condition.native_code} ${at}`,
        severity: fault ? 1 : 3,
        mark: fault ? 'alarm' : 'hold',
        text: conditionText(condition),
        sinceMs: Date.parse(condition.time),
      },
    ];
  });
  const explained = items.some((item) => item.mark === 'alarm');
  if (state === 'alarm' && !explained)
    items.push({ ...shared, key, severity: 1, mark: state, text: reason ?? 'Alarm', sinceMs });
  if (state === 'hold') {
    items.push({
      ...shared,
      key,
      severity: 3,
      mark: state,
      text: `${STATE_LABELS.hold}${reason === null ? '' : `: ${reason}`}`,
      sinceMs,
    });
  }
  return items;
}

function edgeItems({ status, received_at: receivedAt }: EdgeReport, nowMs: number): AttentionItem[] {
  const shared = { subject: status.gateway_id, href: '/pipeline' };
  const heardMs = Date.parse(receivedAt);
  if (nowMs - heardMs > STALE_AFTER_MS) {
    const text = 'Gateway not heard from';
    return [{ ...shared, key: `edge ${status.gateway_id}`, severity: 2, mark: 'unknown', text, sinceMs: heardMs }];
  }
  return status.sinks.flatMap((sink): AttentionItem[] => {
    if (sink.state !== 'failing') return [];
    const text = `Sink ${sink.name} fails: ${sink.last_error ?? 'no reason given'}`;
    const sinceMs =
      sink.oldest_unsent_age_seconds === null ? null : nowMs - Math.round(sink.oldest_unsent_age_seconds) * 1000;
    return [{ ...shared, key: `sink ${status.gateway_id} ${sink.name}`, severity: 2, mark: 'hold', text, sinceMs }];
  });
}

/** Of a machine that is heard otherwise nothing else tells that one of its sources is not, or not in every part. */
function sourceItems(edge: EdgeReport, machines: readonly MachineNow[], nowMs: number): AttentionItem[] {
  const { status, clock_offset_seconds: offsetSeconds } = edge;
  if (nowMs - Date.parse(edge.received_at) > STALE_AFTER_MS) return [];
  return status.sources.flatMap((source): AttentionItem[] => {
    const hop = sourceHop(source);
    const machine = machines.find(({ id }) => id === source.machine_id);
    const isHeard = machine === undefined || machine.source_state === 'ok';
    if (hop.state === 'ok' || source.state === 'connecting' || !isHeard) return [];
    const since = Date.parse(source.state_since) - offsetSeconds * 1000;
    const isPartly = source.state === 'ok';
    return [
      {
        ...{ key: `source ${status.gateway_id} ${source.name}`, subject: machine?.name ?? source.machine_id },
        ...{ severity: isPartly ? 3 : 2, mark: 'hold', text: hop.words, href: '/pipeline' },
        sinceMs: isPartly || Number.isNaN(since) ? null : since,
      },
    ];
  });
}
