/**
 * Writes what is made from the code: the configuration reference and the annotated examples.
 * `npm run generate` writes them; a test makes them again and compares.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type SchemaNode, schemaNode } from '../src/base/config.ts';
import { DRIVERS } from '../src/drivers/registry.ts';
import { edgeSchema } from '../src/edge/config.ts';
import { hubSchema } from '../src/hub/config.ts';
import { openapiText } from '../src/hub/api/openapi.ts';
import { PROCESSORS } from '../src/processors/registry.ts';
import { SINKS } from '../src/sinks/registry.ts';

/** Path from the project's root → content. */
export async function generatedFiles(): Promise<ReadonlyMap<string, string>> {
  const edge = schemaNode(edgeSchema);
  const hub = schemaNode(hubSchema);
  return new Map([
    ['docs/configuration.md', await reference(edge, hub)],
    ['config/edge.example.yaml', example('edge', edge)],
    ['config/hub.example.yaml', example('hub', hub)],
    ['docs/openapi.json', await openapiText()],
  ]);
}

async function reference(edge: SchemaNode, hub: SchemaNode): Promise<string> {
  const lines = [
    '# Configuration',
    '',
    '<!-- Made by `npm run generate` from the schemas; changes here are lost. -->',
    '',
    'YAML, then environment variables, over the defaults below. An environment variable is the key in capitals with `_`',
    'for each dot: `DATABASE_PASSWORD` overrides `database.password`. Of lists the own keys of sinks have them, by the',
    "sink's name: `SINKS_INFLUX_TOKEN` is the `token` of the sink `influx`. An unknown key or a bad value stops the start",
    'with file, line, key, what was found and what is allowed; `millwright check FILE` tells it beforehand,',
    'and `--live` whether all of it works (docs/check-live.md). A running edge takes a changed file (docs/reload.md).',
    '',
    '## Edge (`millwright edge --config FILE`)',
    '',
    ...table(edge, ''),
    '',
  ];
  for (const [type, entry] of Object.entries(DRIVERS)) {
    lines.push(
      `### Sensor of type \`${type}\``,
      '',
      'Beside `name`, `type`, `enabled`, `machine_id`, `sampling_rate` and `priority`:',
      '',
    );
    lines.push(...table(schemaNode((await entry.schema()).schema), ''), '');
  }
  for (const [type, entry] of Object.entries(PROCESSORS)) {
    lines.push(`### Processor of type \`${type}\``, '', 'Beside `type`, `enabled` and `machines`:', '');
    lines.push(...table(schemaNode((await entry.schema()).schema), ''), '');
  }
  for (const [type, entry] of Object.entries(SINKS)) {
    lines.push(`### Sink of type \`${type}\``, '', 'Beside `name`, `type`, `enabled`, `from` and `max_rate`:', '');
    lines.push(...table(schemaNode((await entry.schema()).schema), ''), '');
  }
  lines.push('## Hub (`millwright hub --config FILE`)', '', ...table(hub, ''));
  return `${lines.join('\n')}\n`;
}

function table(node: SchemaNode, prefix: string): string[] {
  return ['| key | allowed | default | meaning |', '|---|---|---|---|', ...rows(node, prefix)];
}

function rows(node: SchemaNode, prefix: string): string[] {
  const lines: string[] = [];
  for (const [key, inner] of Object.entries(node.properties ?? {})) {
    const name = `${prefix}${key}`;
    if (inner.properties !== undefined) {
      lines.push(...rows(inner, `${name}.`));
      continue;
    }
    const required = node.required?.includes(key) === true && inner.default === undefined;
    const fallback =
      inner.default === undefined ? (required ? '*required*' : '') : `\`${JSON.stringify(inner.default)}\``;
    lines.push(`| \`${name}\` | ${cell(allowed(inner))} | ${cell(fallback)} | ${cell(inner.description ?? '')} |`);
    if (inner.items?.properties !== undefined) lines.push(...rows(inner.items, `${name}[].`));
  }
  return lines;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function allowed(node: SchemaNode): string {
  if (node.allowed !== undefined) return node.allowed;
  if (node.enum !== undefined) return node.enum.map(String).join(', ');
  if (node.items !== undefined)
    return node.items.properties === undefined ? `a list of ${allowed(node.items)}` : 'a list';
  if (node.anyOf !== undefined) return [...new Set(node.anyOf.map(allowed))].join(' or ');
  return typeof node.type === 'string' ? node.type : 'text';
}

/** What a person can begin with: the needed lines to fill in, everything else as comments with its default. */
function example(name: 'edge' | 'hub', node: SchemaNode): string {
  const head = [
    `# Every key of ${name === 'edge' ? 'an edge' : 'a hub'} with its default. Made by "npm run generate".`,
    `# Check a file with: npx millwright check FILE`,
    '',
  ];
  const body = name === 'edge' ? EDGE_BEGINNING : HUB_BEGINNING;
  return `${[...head, ...body, '', '# All other keys, with their defaults:', ...commented(node, '')].join('\n')}\n`;
}

const EDGE_BEGINNING = [
  'agent:',
  '  machine_id: EDGE-001        # the name of this gateway',
  '  location: Hall A',
  '',
  'sensors:',
  '  - name: lathe-3             # a machine with an MTConnect adapter',
  '    type: shdr',
  '    machine_id: CNC-003',
  '    host: 192.0.2.17',
  '    port: 7878',
  '    state:',
  '      execution: execution',
  '      emergency_stop: estop',
  '    map:',
  '      Srpm: spindle_speed',
  '      Fact: feed_rate_actual',
  '',
  'sinks:',
  '  - type: hub',
  '    url: http://192.0.2.10:8081',
];

const HUB_BEGINNING = [
  'database:',
  '  host: 127.0.0.1',
  '  dbname: cnc_monitor',
  '  user: millwright',
  '  # password: better given as DATABASE_PASSWORD',
];

function commented(node: SchemaNode, indent: string): string[] {
  const lines: string[] = [];
  for (const [key, inner] of Object.entries(node.properties ?? {})) {
    if (inner.items !== undefined) continue;
    if (inner.properties === undefined) {
      const value = inner.default === undefined ? '' : ` ${String(inner.default)}`;
      lines.push(`# ${`${indent}${key}:${value}`.padEnd(38)} # ${inner.description ?? allowed(inner)}`);
    } else {
      lines.push(`# ${indent}${key}:`, ...commented(inner, `${indent}  `));
    }
  }
  return lines;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, content] of await generatedFiles()) {
    const place = new URL(`../${file}`, import.meta.url);
    if ((await readFile(place, 'utf8').catch(() => '')) !== content) await writeFile(place, content);
    process.stdout.write(`${file}\n`);
  }
}
