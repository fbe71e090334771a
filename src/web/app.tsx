/** The frame around every page. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { DisconnectedBanner } from './components/connection.tsx';
import { Header } from './components/header.tsx';
import { Help } from './components/help.tsx';
import { Empty } from './components/panel.tsx';
import { useShell } from './context.ts';
import { useKeys } from './keys.ts';
import { CmmPage } from './pages/cmm.tsx';
import { MachinePage } from './pages/machine.tsx';
import { OverviewPage } from './pages/overview.tsx';
import { PipelinePage } from './pages/pipeline.tsx';
import type { Route } from './routes.ts';

export function App(): JSX.Element {
  const { router } = useShell();
  const route = router.route.value;
  const kiosk = route.page === 'overview' && route.query.get('kiosk') === '1';
  const [helpOpen, setHelpOpen] = useState(false);
  useTitle(route);
  useKeys({
    '?': () => setHelpOpen(true),
    o: () => router.go('/'),
    p: () => router.go('/pipeline'),
  });
  return (
    <div class={kiosk ? 'shell kiosk' : 'shell'}>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Header kiosk={kiosk} onHelp={() => setHelpOpen(true)} />
      <DisconnectedBanner />
      <main id="main" class="main" tabIndex={-1}>
        <Page route={route} kiosk={kiosk} />
      </main>
      {helpOpen ? <Help onClose={() => setHelpOpen(false)} /> : null}
    </div>
  );
}

function Page({ route, kiosk }: { route: Route; kiosk: boolean }): JSX.Element {
  switch (route.page) {
    case 'overview':
      return <OverviewPage kiosk={kiosk} />;
    case 'machine':
      return <MachinePage key={route.machineId} machineId={route.machineId} query={route.query} />;
    case 'cmm':
      return <CmmPage key={route.machineId} machineId={route.machineId} query={route.query} />;
    case 'pipeline':
      return <PipelinePage query={route.query} />;
    case 'missing':
      return (
        <Empty title="There is no page at this address">
          <p>
            <a href="/">Go to the overview</a>
          </p>
        </Empty>
      );
  }
}

function useTitle(route: Route): void {
  const { store } = useShell();
  const isOfMachine = route.page === 'machine' || route.page === 'cmm';
  const named = isOfMachine ? (store.machine(route.machineId)?.value.name ?? route.machineId) : null;
  const title = named ?? (route.page === 'pipeline' ? 'Pipeline' : null);
  useEffect(() => {
    document.title = title === null ? 'Millwright' : `${title} – Millwright`;
  }, [title]);
}
