/** What the running edge loads: nothing of npm (decision 003), and of drivers, processors and sinks what it is told to. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { DRIVERS } from '../drivers/registry.ts';
import { PROCESSORS } from '../processors/registry.ts';
import { SINKS } from '../sinks/registry.ts';

const ROOT = new URL('../../', import.meta.url).href;
const HOOKS = `
import { registerHooks } from 'node:module';
registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context);
    process.stdout.write(found.url + '\\n');
    return found;
  },
});
`;

/** Modules, by their places in the project, that a process loads which does this. */
function loadedBy(statement: string): string[] {
  const text = execFileSync(process.execPath, ['--input-type=module', '--eval', `${HOOKS}${statement}`], {
    cwd: new URL(ROOT),
    encoding: 'utf8',
  });
  const places = text.split('\n').filter((url) => url.startsWith('file:'));
  return [...new Set(places.map((url) => url.replace(ROOT, '')))];
}

function packagesOf(places: readonly string[]): string[] {
  return places.filter((place) => place.includes('node_modules/'));
}

test('the edge loads no package, and no driver, processor or sink before it is named', () => {
  const places = loadedBy(`await import('./src/edge/edge.ts')`);
  assert.ok(places.includes('src/edge/edge.ts') && places.includes('src/processors/registry.ts'), places.join('\n'));
  assert.deepEqual(packagesOf(places), []);
  assert.deepEqual(
    places.filter((place) => /^src\/(drivers|processors|sinks)\/.*\//.test(place)),
    [],
  );
});

/** Sinks whose packages are part of what they are. */
const WITH_PACKAGES: readonly string[] = ['nats'];

for (const type of Object.keys(SINKS).filter((type) => !WITH_PACKAGES.includes(type))) {
  test(`sinks/${type} is loaded without a package, and without its schema`, () => {
    const places = loadedBy(
      `const { SINKS } = await import('./src/sinks/registry.ts'); await SINKS['${type}'].create()`,
    );
    assert.ok(
      places.some((place) => place.startsWith(`src/sinks/${type.replaceAll('_', '-')}/`)),
      places.join('\n'),
    );
    assert.deepEqual([...packagesOf(places), ...places.filter((place) => place.endsWith('/config.ts'))], []);
  });
}

test('node-opcua is loaded by what the thread of an OPC UA server runs', () => {
  const thread = `await import('./src/sinks/opcua-server/server.ts')`;
  assert.ok(packagesOf(loadedBy(thread)).some((place) => place.includes('node_modules/node-opcua/')));
});

for (const [room, registry] of Object.entries({ drivers: DRIVERS, processors: PROCESSORS })) {
  for (const type of Object.keys(registry)) {
    test(`${room}/${type} is loaded without a package, and without its schema`, () => {
      const name = room.toUpperCase();
      const places = loadedBy(
        `const { ${name} } = await import('./src/${room}/registry.ts'); await ${name}['${type}'].create()`,
      );
      assert.ok(
        places.some((place) => place.startsWith(`src/${room}/${type}/`)),
        places.join('\n'),
      );
      assert.deepEqual([...packagesOf(places), ...places.filter((place) => place.endsWith('/config.ts'))], []);
    });
  }
}
