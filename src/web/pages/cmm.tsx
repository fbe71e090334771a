/** What a machine inspects. Everything but the frame is a chunk of its own, asked for when the page is first opened. */
import type { Signal } from '@preact/signals';
import type { ComponentType, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { MachineNow } from '../../model/api.ts';
import { machineHref } from '../attention.ts';
import { Empty, Failure } from '../components/panel.tsx';
import type { InspectionProps } from '../cmm/inspection.tsx';
import { Skeleton } from '../cmm/skeleton.tsx';
import { useShell } from '../context.ts';

export function CmmPage({ machineId, query }: { machineId: string; query: URLSearchParams }): JSX.Element {
  const { store } = useShell();
  const Inspection = useInspectionChunk();
  if (Inspection === 'failed') {
    return <Failure what="The page could not be loaded." message="Its program did not arrive." onRetry={reload} />;
  }
  const machine = store.machine(machineId);
  if (store.machineIds.value !== null && (machine === undefined || machine.value.last_measurement === null)) {
    return <NothingInspected machineId={machineId} machine={machine} />;
  }
  if (Inspection === null || machine === undefined) return <Skeleton machineId={machineId} />;
  return <Inspection machine={machine} query={query} />;
}

function NothingInspected(props: { machineId: string; machine: Signal<MachineNow> | undefined }): JSX.Element {
  const known = props.machine !== undefined;
  return (
    <Empty
      title={
        known ? `${props.machine?.value.name} has sent no measurement` : `The hub knows no machine ${props.machineId}`
      }
    >
      <p>
        Measurements come from a CMM’s result files: name its folder in a source of the type <code>files</code> in the
        gateway’s configuration. Any publisher may send them to <code>POST /api/v1/ingest</code> as well. They appear
        here by themselves.
      </p>
      <p>
        <a href={known ? machineHref(props.machineId) : '/'}>{known ? 'Go to the machine' : 'Go to the overview'}</a>
      </p>
    </Empty>
  );
}

function reload(): void {
  location.reload();
}

function useInspectionChunk(): ComponentType<InspectionProps> | null | 'failed' {
  const [chunk, setChunk] = useState<{ component: ComponentType<InspectionProps> } | null | 'failed'>(null);
  useEffect(() => {
    import('../cmm/inspection.tsx').then(
      (module) => setChunk({ component: module.default }),
      () => setChunk('failed'),
    );
  }, []);
  return chunk === null || chunk === 'failed' ? chunk : chunk.component;
}
