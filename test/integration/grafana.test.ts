/**
 * What deploy/grafana/ holds, as far as it can be checked without Grafana itself: that the dashboards are whole and fit the
 * data sources that are provisioned. What their queries answer is in grafana-influx.test.ts and grafana-machines.test.ts.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { type Dashboard, type DataSourceRef, type Panel, readDashboards, variableText } from '../support/grafana.ts';

const dashboards = readDashboards();
const COLUMNS = 24;

function deployed(file: string): string {
  return readFileSync(new URL(`../../deploy/${file}`, import.meta.url), 'utf8');
}

const provisioned = parse(deployed('grafana/provisioning/datasources/millwright.yaml')) as {
  readonly datasources: readonly (DataSourceRef & { readonly secureJsonData: Readonly<Record<string, string>> })[];
};

for (const [file, dashboard] of dashboards) {
  test(`${file}: panels are told apart, say what they show and in which unit, and do not overlap`, () => {
    const { panels } = dashboard;
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const titles = panels.map(({ title }) => title);
    assert.deepEqual(titles, [...new Set(titles)]);
    const taken = new Map<string, string>();
    for (const { title, type, description, fieldConfig, gridPos, targets = [] } of panels) {
      assert.ok(title.length > 0);
      for (const cell of cellsOf(gridPos)) {
        assert.equal(taken.get(cell), undefined, `${title} at ${cell}`);
        taken.set(cell, title);
      }
      assert.ok(gridPos.x >= 0 && gridPos.x + gridPos.w <= COLUMNS, title);
      if (type === 'row') continue;
      assert.match(description ?? '', /\.$/, title);
      assert.ok((fieldConfig?.defaults.unit ?? '').length > 0, `${title} has no unit`);
      assert.ok((fieldConfig?.defaults.thresholds?.steps.length ?? 0) > 0, title);
      assert.ok(targets.length > 0, `${title} asks nothing`);
      assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
      // Grafana takes a text without slashes for the whole name.
      const places = fieldConfig?.overrides.filter(({ matcher }) => matcher.id === 'byRegexp') ?? [];
      for (const { matcher } of places) assert.match(matcher.options, /^\/.+\/$/, title);
    }
  });

  test(`${file}: all is asked of data sources that are provisioned, by variables that are there`, () => {
    const variables = dashboard.templating.list;
    const names = new Set(variables.map(({ name }) => name));
    const asks = [
      ...dashboard.panels.flatMap(({ targets = [], datasource }) => [
        datasource,
        ...targets.map((one) => one.datasource),
      ]),
      ...variables.map(({ datasource }) => datasource),
    ].flatMap((datasource) => datasource ?? []);
    assert.ok(asks.length > 0);
    for (const { type, uid } of asks) {
      assert.equal(provisioned.datasources.find((one) => one.uid === uid)?.type, type, uid);
    }
    const used = new Set(
      [...queriesOf(dashboard)].flatMap((text) => [...text.matchAll(/\$\{(\w+)/g)].map((one) => one[1])),
    );
    assert.deepEqual(used, names);
    // A long window must not be read point by point.
    for (const { targets = [], type } of dashboard.panels) {
      for (const { query, rawSql = '' } of targets) {
        const asked = query ?? rawSql;
        if (type === 'timeseries') assert.match(asked, /GROUP BY time\(\$__interval\)|\$__timeGroup\(/);
        if (asked.startsWith('SELECT "')) assert.match(asked, / LIMIT \d+$/);
      }
    }
  });

  test(`${file}: it is of the schema of Grafana 13, in the browser's time zone, and looks again by itself`, () => {
    assert.deepEqual([dashboard.schemaVersion, dashboard.timezone], [42, 'browser']);
    assert.match(dashboard.refresh, /^\d+s$/);
    assert.match(dashboard.uid, /^millwright-/);
  });
}

test('dashboards have names of their own, and Grafana finds them where Compose puts them', () => {
  assert.equal(new Set([...dashboards.values()].map(({ uid }) => uid)).size, 3);
  const { grafana } = (parse(deployed('compose.grafana.yaml')) as Compose).services;
  const { providers } = parse(deployed('grafana/provisioning/dashboards/millwright.yaml')) as Providers;
  const mounts = new Map(grafana.volumes.map((volume) => [volume.split(':')[1], volume.split(':')[0]]));
  assert.equal(mounts.get(providers[0]?.options.path), './grafana/dashboards');
  assert.equal(mounts.get('/etc/grafana/provisioning'), './grafana/provisioning');
  const home = grafana.environment['GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH'];
  assert.ok([...dashboards.keys()].some((file) => home === `${providers[0]?.options.path}/${file}`));
});

test('the data sources take their passwords, and all else that differs, from the environment that Compose gives', () => {
  const { grafana } = (parse(deployed('compose.grafana.yaml')) as Compose).services;
  const text = deployed('grafana/provisioning/datasources/millwright.yaml');
  const named = [...text.matchAll(/\$(\w+)/g)].map(([, name = '']) => name);
  assert.ok(named.includes('INFLUX_TOKEN') && named.includes('GRAFANA_DATABASE_PASSWORD'));
  for (const name of named) assert.ok(name in grafana.environment, name);
  for (const { secureJsonData } of provisioned.datasources) {
    for (const secret of Object.values(secureJsonData)) assert.match(secret, /^(?:Token )?\$\w+$/);
  }
});

interface Compose {
  readonly services: {
    readonly grafana: {
      readonly environment: Readonly<Record<string, string>>;
      readonly volumes: readonly string[];
    };
  };
}

interface Providers {
  readonly providers: readonly { readonly options: { readonly path: string } }[];
}

function cellsOf({ x, y, w, h }: Panel['gridPos']): string[] {
  return Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`);
}

function queriesOf({ panels, templating }: Dashboard): string[] {
  const targets = panels.flatMap((panel) => panel.targets ?? []);
  return [...targets.map(({ query, rawSql }) => query ?? rawSql ?? ''), ...templating.list.map(variableText)];
}
