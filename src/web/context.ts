/** What every component may use, handed down from `main.tsx`. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Router } from './routes.ts';
import type { Store } from './store.ts';
import type { LiveStream } from './stream.ts';
import type { Theme } from './theme.ts';

export interface Shell {
  readonly store: Store;
  readonly stream: LiveStream;
  readonly router: Router;
  readonly theme: Theme;
}

export const ShellContext = createContext<Shell | null>(null);

export function useShell(): Shell {
  const shell = useContext(ShellContext);
  if (shell === null) throw new Error('a component stands outside the shell');
  return shell;
}
