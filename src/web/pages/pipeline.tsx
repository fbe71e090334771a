/** The way from the machines to this page: what works, what waits, what is broken. */
import type { JSX } from 'preact';
import type { HubStatus, NatsStatus } from '../../model/api.ts';
import { DeadLetters } from '../components/dead-letters.tsx';
import { EdgeCard } from '../components/edge-card.tsx';
import { Facts } from '../components/facts.tsx';
import { Empty } from '../components/panel.tsx';
import { StateMark } from '../components/state-mark.tsx';
import { useShell } from '../context.ts';
import { formatCount, formatRate } from '../format.ts';
import { edgeHop, HOP_MARKS, type Hop, hopsOf, verdictOf, worstFirst } from '../pipeline.ts';

export function PipelinePage({ query }: { query: URLSearchParams }): JSX.Element {
  const { store, stream } = useShell();
  const status = store.status.value;
  if (status === null) return <PipelineSkeleton />;
  const nowMs = store.nowMs.value;
  const edges = store.edges.value;
  const facts = { edges, status, connection: stream.connection.value.state };
  const verdict = verdictOf(facts, nowMs);
  return (
    <div class="pipeline">
      <h1 class="visually-hidden">Pipeline</h1>
      <section class="way card" aria-label="The way of a reading">
        <p class={`verdict ink-${HOP_MARKS[verdict.state]}`}>
          <StateMark state={HOP_MARKS[verdict.state]} size={20} /> <span>{verdict.sentence}</span>
        </p>
        <ol class="hops">
          {hopsOf(facts, nowMs).map((hop) => (
            <HopStep key={hop.name} hop={hop} />
          ))}
        </ol>
      </section>
      {edges.length === 0 ? (
        <Empty title="No gateway has reported to this hub">
          <p>
            Start one with <code>millwright edge --config edge.yaml</code> and give its sink <code>hub</code> the
            address of this hub
            {status.nats === null ? null : (
              <>
                , or its sink <code>nats</code> that of the NATS servers
              </>
            )}
            . It appears here within two seconds.
          </p>
        </Empty>
      ) : (
        worstFirst(edges, (edge) => edgeHop(edge, nowMs)).map((edge) => (
          <EdgeCard key={edge.status.gateway_id} edge={edge} />
        ))
      )}
      <HubCard status={status} lettersOpen={query.get('dead_letters') === '1'} />
    </div>
  );
}

function HopStep({ hop }: { hop: Hop }): JSX.Element {
  const mark = HOP_MARKS[hop.state];
  return (
    <li class={`hop hop-${hop.state}`}>
      <span class={`hop-name ink-${mark}`}>
        <StateMark state={mark} /> {hop.name}
      </span>
      <span class="hop-words">{hop.words}</span>
    </li>
  );
}

function HubCard({ status, lettersOpen }: { status: HubStatus; lettersOpen: boolean }): JSX.Element {
  const failing = status.database === 'failing';
  const fault = failing ? 'Database fails' : status.nats?.state === 'failing' ? 'NATS fails' : null;
  return (
    <section class="part card" aria-labelledby="hub-title">
      <header class="part-head">
        <h2 id="hub-title">Hub</h2>
        <p class={fault === null ? 'part-state ink-running' : 'part-state ink-alarm'}>
          <StateMark state={fault === null ? 'running' : 'alarm'} /> {fault ?? 'Stores'}
        </p>
        <p class="part-notes">version {status.version}</p>
      </header>
      {[status.database_error, status.nats?.last_error].map((error) =>
        error ? (
          <p key={error} class="part-error">
            {error}
          </p>
        ) : null,
      )}
      <Facts
        facts={[
          ['Readings a second', formatRate(status.readings_per_second)],
          ['Readings stored', formatCount(status.readings_stored)],
          ['Duplicate batches', formatCount(status.batches_duplicate)],
          [
            'Dead letters',
            status.dead_letters === 0 ? (
              '0'
            ) : (
              <a href={lettersOpen ? '/pipeline' : '/pipeline?dead_letters=1'}>
                {formatCount(status.dead_letters)} <span class="unit">{lettersOpen ? 'hide' : 'show'}</span>
              </a>
            ),
          ],
          ['Database', failing ? 'failing' : 'ok'],
          ...(status.nats === null ? [] : natsFacts(status.nats)),
        ]}
      />
      {lettersOpen ? <DeadLetters /> : null}
    </section>
  );
}

function natsFacts(nats: NatsStatus): [string, string][] {
  return [
    ['Waiting in NATS', formatCount(nats.messages_pending)],
    ['In work', formatCount(nats.messages_in_flight)],
    ['Delivered again', formatCount(nats.messages_redelivered)],
    ['Given back', formatCount(nats.messages_given_back)],
  ];
}

function PipelineSkeleton(): JSX.Element {
  return (
    <div class="pipeline" aria-busy="true">
      <h1 class="visually-hidden">Pipeline</h1>
      <div class="bone way-bone" />
      <div class="bone part-bone" />
    </div>
  );
}
