/** The header of every page: where one is, how fresh it is, what time it is in the plant. */
import type { JSX } from 'preact';
import { useShell } from '../context.ts';
import { ConnectionBadge } from './connection.tsx';

const LINKS = [
  { page: 'overview', href: '/', label: 'Overview' },
  { page: 'pipeline', href: '/pipeline', label: 'Pipeline' },
] as const;

export function Header({ kiosk, onHelp }: { kiosk: boolean; onHelp: () => void }): JSX.Element {
  return (
    <header class="header">
      <a class="brand" href={kiosk ? '/?kiosk=1' : '/'}>
        Millwright
      </a>
      {kiosk ? null : <Navigation />}
      <div class="header-right">
        <ConnectionBadge />
        <PlantClock />
        {kiosk ? null : (
          <>
            <ThemeButton />
            <button
              type="button"
              class="icon-button help-button"
              onClick={onHelp}
              aria-label="Keys and help"
              title="Keys (?)"
            >
              ?
            </button>
          </>
        )}
      </div>
    </header>
  );
}

function Navigation(): JSX.Element {
  const { router } = useShell();
  const { page } = router.route.value;
  return (
    <nav class="nav" aria-label="Pages">
      {LINKS.map((link) => (
        <a key={link.page} href={link.href} aria-current={page === link.page ? 'page' : undefined}>
          {link.label}
        </a>
      ))}
    </nav>
  );
}

function PlantClock(): JSX.Element {
  const { store } = useShell();
  if (store.status.value === null) return <span class="clock" />;
  const plant = store.plant.value;
  const nowMs = store.nowMs.value;
  return (
    <span class="clock">
      <span class="clock-date">{plant.date(nowMs)}</span> <span class="clock-time">{plant.time(nowMs)}</span>{' '}
      <span class="clock-zone">{plant.zone}</span>
    </span>
  );
}

function ThemeButton(): JSX.Element {
  const { theme } = useShell();
  const choice = theme.choice.value;
  return (
    <button
      type="button"
      class="icon-button"
      onClick={() => theme.next()}
      aria-label={`Colours: ${choice}. Change`}
      title={`Colours: ${choice}`}
    >
      <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" class="theme-icon">
        <circle cx="12" cy="12" r="8.5" class="hollow" />
        {choice === 'system' ? <path d="M12 3.5a8.5 8.5 0 0 1 0 17z" class="solid" /> : null}
        {choice === 'dark' ? <circle cx="12" cy="12" r="8.5" class="solid" /> : null}
      </svg>
    </button>
  );
}
