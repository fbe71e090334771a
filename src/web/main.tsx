/** The pages of Millwright: makes the parts, hands them to the components, and starts them. */
import { effect } from '@preact/signals';
import { render } from 'preact';
import { App } from './app.tsx';
import { ShellContext } from './context.ts';
import { Router } from './routes.ts';
import { Store } from './store.ts';
import { LiveStream } from './stream.ts';
import { Theme } from './theme.ts';

const AGES_TICK_MS = 1000;

const store = new Store(Date.now);
const stream = new LiveStream(store, Math.random);
const router = new Router();
const theme = new Theme();

theme.start();
router.start();
effect(() => {
  const route = router.route.value;
  stream.follow(route.page === 'machine' ? route.machineId : null);
});
stream.start();
setInterval(() => store.tick(), AGES_TICK_MS);

const root = document.getElementById('app');
if (root === null) throw new Error('the page has no #app');
render(
  <ShellContext.Provider value={{ store, stream, router, theme }}>
    <App />
  </ShellContext.Provider>,
  root,
);
