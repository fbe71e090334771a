/** How much waits for each sink of the gateway that reads this machine: the MES is behind, or it is not. */
import type { JSX } from 'preact';
import type { EdgeReport } from '../../model/api.ts';
import type { SinkStatus } from '../../model/status.ts';
import { StateMark } from '../components/state-mark.tsx';
import { useShell } from '../context.ts';
import { formatAge, formatCount } from '../format.ts';
import { drainText } from '../log-standing.ts';
import { HOP_MARKS, isSilent, sinkHop } from '../pipeline.ts';
import { sinksOf } from './view.ts';

export function SinkDepths({ machineId }: { machineId: string }): JSX.Element | null {
  const { store } = useShell();
  const gateways = sinksOf(store.edges.value, machineId);
  if (gateways.length === 0) return null;
  return (
    <section class="sink-depths" aria-label="What waits for the sinks">
      {gateways.map(({ edge, sinks }) => (
        <Gateway key={edge.status.gateway_id} edge={edge} sinks={sinks} nowMs={store.nowMs.value} />
      ))}
    </section>
  );
}

function Gateway(props: { edge: EdgeReport; sinks: readonly SinkStatus[]; nowMs: number }): JSX.Element {
  const { edge, sinks, nowMs } = props;
  const { gateway_id: id } = edge.status;
  if (isSilent(edge, nowMs)) {
    return (
      <p class="sink-depth card ink-unknown">
        <StateMark state="unknown" />{' '}
        <span>
          {id} was last heard {formatAge(nowMs - Date.parse(edge.received_at))} ago: what waits in it is not known
        </span>
      </p>
    );
  }
  return (
    <>
      {sinks.map((sink) => (
        <Depth key={`${id} ${sink.name}`} gateway={id} sink={sink} />
      ))}
    </>
  );
}

function Depth({ gateway, sink }: { gateway: string; sink: SinkStatus }): JSX.Element {
  const mark = HOP_MARKS[sinkHop(sink).state];
  const age = sink.oldest_unsent_age_seconds;
  const notes = [
    age === null ? null : `oldest ${formatAge(age * 1000)}`,
    drainText([sink]),
    sink.dead_letters === 0 ? null : `${formatCount(sink.dead_letters)} dead letters`,
    sink.state === 'ok' ? null : (sink.last_error ?? sink.state),
  ].filter((note) => note !== null);
  return (
    <p class="sink-depth card" data-sink={sink.name} title={`Sink ${sink.name} of ${gateway}`}>
      <span class={`ink-${mark}`}>
        <StateMark state={mark} />
      </span>
      <span class="sink-name">{sink.name}</span>
      <span>
        <strong class="number">{formatCount(sink.lag_readings)}</strong> <span class="unit">waiting</span>
      </span>
      {notes.length === 0 ? null : <span class="muted sink-notes">{notes.join(' · ')}</span>}
    </p>
  );
}
