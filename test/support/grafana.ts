/**
 * The dashboards of deploy/grafana/, and their queries filled in as Grafana 13 does it: variables in the format that the
 * query asks for (in the browser), then the macros of the data source (in the server).
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../../deploy/grafana/dashboards', import.meta.url));

export interface Target {
  readonly refId: string;
  readonly datasource: DataSourceRef;
  /** InfluxQL, or SQL in `rawSql`. */
  readonly query?: string;
  readonly rawSql?: string;
}

export interface DataSourceRef {
  readonly type: string;
  readonly uid: string;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: DataSourceRef;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: {
    readonly defaults: { readonly unit?: string; readonly thresholds?: { readonly steps: readonly unknown[] } };
    readonly overrides: readonly { readonly matcher: { readonly id: string; readonly options: string } }[];
  };
  readonly targets?: readonly Target[];
}

export interface Variable {
  readonly name: string;
  readonly type: string;
  readonly datasource: DataSourceRef;
  readonly query: string | { readonly query: string };
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly timezone: string;
  readonly refresh: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
}

/** By the names of their files. */
export function readDashboards(): ReadonlyMap<string, Dashboard> {
  return new Map(
    readdirSync(FOLDER).map((name) => [name, JSON.parse(readFileSync(`${FOLDER}/${name}`, 'utf8')) as Dashboard]),
  );
}

export function readDashboard(name: string): Dashboard {
  return readDashboards().get(name) ?? assert.fail(`there is no dashboard ${name}`);
}

/** What a person has chosen, and the width of an interval, which Grafana works out from window and panel. */
export interface View {
  readonly fromMs: number;
  readonly toMs: number;
  readonly intervalMs: number;
  readonly variables: { readonly [name: string]: readonly string[] };
}

/** All queries of the panel of that title, filled in. */
export function queriesOf(dashboard: Dashboard, title: string, view: View): string[] {
  const panel = dashboard.panels.find((one) => one.title === title) ?? assert.fail(`there is no panel ${title}`);
  return (panel.targets ?? []).map(({ query, rawSql }) => {
    if (query !== undefined) return filledInfluxql(query, view);
    return filledSql(rawSql ?? assert.fail(`${title} asks nothing`), view);
  });
}

export function variableQuery(dashboard: Dashboard, name: string, view: View): string {
  const found = dashboard.templating.list.find((one) => one.name === name) ?? assert.fail(`there is no ${name}`);
  const text = variableText(found);
  return found.datasource.type === 'influxdb' ? filledInfluxql(text, view) : filledSql(text, view);
}

export function variableText({ query }: Variable): string {
  return typeof query === 'string' ? query : query.query;
}

/** Of titles that each has a check, and what is in the dashboard: a panel that no test runs is found out. */
export function assertAllPanels(dashboard: Dashboard, titles: readonly string[]): void {
  const asking = dashboard.panels.filter(({ targets = [] }) => targets.length > 0).map(({ title }) => title);
  assert.deepEqual([...titles].sort(), asking.sort());
}

function filledInfluxql(query: string, view: View): string {
  const interval = intervalText(view.intervalMs);
  return complete(
    withVariables(query, view)
      .replaceAll('$timeFilter', `time >= ${view.fromMs}ms and time <= ${view.toMs}ms`)
      .replaceAll('$__interval', interval),
  );
}

function filledSql(sql: string, view: View): string {
  const [from, to] = [view.fromMs, view.toMs].map((ms) => `'${new Date(ms).toISOString()}'`);
  const filled = withVariables(sql, view)
    .replaceAll('$__interval_ms', String(view.intervalMs))
    .replaceAll('$__interval', intervalText(view.intervalMs));
  return complete(
    filled.replaceAll(/\$([_a-zA-Z0-9]+)\(([^)]*)\)/g, (call: string, name: string, list: string, at: number) => {
      const [column = '', width = ''] = list.split(',').map((argument) => argument.trim());
      switch (name) {
        case '__timeFilter':
          return `${column} BETWEEN ${from} AND ${to}`;
        case '__timeGroup': {
          const seconds = secondsOf(width);
          // As in Grafana before 5.3: a comma behind it makes it a column of the name "time".
          const alias = filled[at + call.length] === ',' ? ' AS "time"' : '';
          return `floor(extract(epoch from ${column})/${seconds})*${seconds}${alias}`;
        }
        default:
          return assert.fail(`the macro ${name} is not known here`);
      }
    }),
  );
}

/** `${name:regex}` and `${name:sqlstring}`; a name without a format would depend on what is chosen, so it is not used. */
function withVariables(query: string, { variables }: View): string {
  return query.replaceAll(/\$\{(\w+):(\w+)\}/g, (_, name: string, format: string) => {
    const values = variables[name] ?? assert.fail(`nothing is chosen for ${name}`);
    if (format === 'sqlstring') return values.map((value) => `'${value.replaceAll("'", "''")}'`).join(',');
    assert.equal(format, 'regex');
    const escaped = values.map((value) => value.replaceAll(/[\\^$*+?.()|[\]{}/]/g, String.raw`\$&`));
    return escaped.length === 1 ? escaped.join('') : `(${escaped.join('|')})`;
  });
}

function complete(query: string): string {
  assert.doesNotMatch(query, /\$[{_a-zA-Z]/, 'something is not filled in');
  return query;
}

const UNITS = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

function intervalText(ms: number): string {
  const [unit, unitMs] = UNITS.find(([, size]) => ms >= size && ms % size === 0) ?? assert.fail(`${ms} ms`);
  return `${ms / unitMs}${unit}`;
}

function secondsOf(text: string): number {
  const [, count, unit] = /^(\d+)([hms])$/.exec(text) ?? assert.fail(text);
  const [, unitMs] = UNITS.find(([letter]) => letter === unit) ?? assert.fail(text);
  return (Number(count) * unitMs) / 1000;
}
