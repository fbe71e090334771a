/** The address bar and the pages: the URL is the view, so back and forward work and a link shows what was seen. */
import { type Signal, signal } from '@preact/signals';

export type Route =
  | { readonly page: 'overview'; readonly query: URLSearchParams }
  | { readonly page: 'machine'; readonly machineId: string; readonly query: URLSearchParams }
  | { readonly page: 'cmm'; readonly machineId: string; readonly query: URLSearchParams }
  | { readonly page: 'pipeline'; readonly query: URLSearchParams }
  | { readonly page: 'missing'; readonly query: URLSearchParams };

export function routeOf(path: string, search: string): Route {
  const query = new URLSearchParams(search);
  if (path === '/') return { page: 'overview', query };
  if (path === '/pipeline') return { page: 'pipeline', query };
  const [, page, name] = /^\/(machine|cmm)\/([^/]+)$/.exec(path) ?? [];
  const machineId = name === undefined ? undefined : decoded(name);
  if (machineId === undefined) return { page: 'missing', query };
  return { page: page === 'cmm' ? 'cmm' : 'machine', machineId, query };
}

export class Router {
  readonly route: Signal<Route> = signal(routeOf(location.pathname, location.search));

  /** Follows back and forward, and links within the pages. */
  start(): void {
    window.addEventListener('popstate', () => this.#read());
    document.addEventListener('click', (event) => this.#click(event));
  }

  /** `replace` leaves no trace in the history: for changes nobody would want to step back through. */
  go(url: string, { replace = false }: { replace?: boolean } = {}): void {
    if (replace) history.replaceState(null, '', url);
    else history.pushState(null, '', url);
    this.#read();
  }

  #read(): void {
    this.route.value = routeOf(location.pathname, location.search);
  }

  #click(event: MouseEvent): void {
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!plain || event.defaultPrevented || link === null || link.origin !== location.origin || link.target !== '')
      return;
    if (routeOf(link.pathname, link.search).page === 'missing') return;
    event.preventDefault();
    this.go(link.pathname + link.search);
    window.scrollTo(0, 0);
  }
}

function decoded(name: string): string | undefined {
  try {
    return decodeURIComponent(name);
  } catch {
    return undefined;
  }
}
