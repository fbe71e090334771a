/** What a sink of type `mes` may be told. */
import { z } from 'zod';
import { choice, integer, name, number, scalar, section, text } from '../../base/config.ts';
import { headerText, httpKeys, type TlsFiles, tlsFilesOf } from '../../base/http-config.ts';
import { DEFAULT_TEMPLATE, DERIVED_FIELDS, MEASUREMENT_FIELDS, type Template, unknownFields } from './template.ts';

/** As ISO 14253-1 decides them. */
const VERDICTS = ['conform', 'nonconform', 'indeterminate'] as const;

const list = <Item extends z.ZodType>(item: Item, what: string): z.ZodArray<Item> =>
  z.array(item, { error: () => `allowed: a list of ${what}` });

const TEMPLATE_ALLOWED = 'a mapping whose texts may hold {field}';

const template = z
  .record(z.string(), z.json(), { error: () => `allowed: ${TEMPLATE_ALLOWED}` })
  .superRefine((value, context) => {
    const unknown = unknownFields(value);
    if (unknown.length === 0) return;
    const fields = [...MEASUREMENT_FIELDS, ...DERIVED_FIELDS, 'details.NAME'].join(', ');
    const message = `there is no field ${unknown.join(', ')}; allowed in braces: ${fields}`;
    context.addIssue({ code: 'custom', message, input: value });
  })
  .meta({ allowed: TEMPLATE_ALLOWED });

const headers = z
  .record(z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/), headerText(), {
    error: () => 'allowed: a mapping of header names and their texts',
  })
  .meta({ allowed: 'a mapping of header names and their texts' });

const written = section({
  ...httpKeys,
  path: scalar('a path that begins with a slash', (value) => {
    return /^\/[\x21-\x7e]*$/.test(String(value)) ? String(value) : undefined;
  })
    .prefault('/api/v1/cmm/measurements')
    .describe('Where measurements are posted, behind the url'),
  user: text().optional().describe('User for HTTP Basic'),
  password: text().optional().describe('Password for HTTP Basic'),
  headers: headers.optional().describe('Other headers of each request, such as an API key'),
  list_size: integer({ min: 1, max: 100 })
    .prefault(1)
    .describe('1: one measurement a request. More: a list of up to so many'),
  connections: integer({ min: 1, max: 32 })
    .prefault(4)
    .describe('Requests at a time, of different machines; those of one machine go one after the other'),
  machines: list(name(), 'names of machines').optional().describe('Whose measurements are sent; default: all'),
  characteristics: list(name(), 'names of characteristics').optional().describe('Which are sent; default: all'),
  length: choice(['compensated', 'measured'])
    .prefault('compensated')
    .describe('The field length: the compensated value where there is one, or always the measured one'),
  fail_above: number({ min: -100, max: 1000, unit: '°C' })
    .prefault(24)
    .describe('The field status is FAIL above this temperature, else ACTIVE'),
  fail_verdicts: list(choice(VERDICTS), VERDICTS.join(', '))
    .prefault([])
    .describe('The field status is FAIL with these verdicts too'),
  template: template.optional().describe('Another shape than the usual five fields; see docs/sinks/mes.md'),
  wait_on: list(integer({ min: 400, max: 499 }), 'numbers from 400 to 499')
    .prefault([401, 403, 407])
    .describe(
      'Answers, besides 408, 425, 429 and 5xx, after which all is kept and tried again; other 4xx refuse for good',
    ),
});

export const schema: z.ZodType<MesSinkOptions> = written.transform((keys, context) => {
  const { token, user, password } = keys;
  if (token !== undefined && user !== undefined) {
    context.addIssue({ code: 'custom', message: 'allowed: a token, or user and password', path: ['token'] });
    return z.NEVER;
  }
  return {
    url: keys.url,
    path: keys.path,
    timeoutMs: keys.timeout,
    tls: tlsFilesOf(keys),
    headers: {
      ...lowerCased(keys.headers ?? {}),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(user !== undefined && {
        authorization: `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}`,
      }),
    },
    listSize: keys.list_size,
    connections: keys.connections,
    machines: keys.machines ?? null,
    characteristics: keys.characteristics ?? null,
    length: keys.length,
    failAboveC: keys.fail_above,
    failVerdicts: keys.fail_verdicts,
    template: keys.template ?? DEFAULT_TEMPLATE,
    waitOn: keys.wait_on,
  };
});

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** As the schema leaves it. */
export interface MesSinkOptions {
  readonly url: string;
  readonly path: string;
  readonly timeoutMs: number;
  readonly tls: TlsFiles;
  /** Of each request; names in small letters. */
  readonly headers: { readonly [name: string]: string };
  /** Measurements in a request; 1: a request is the object itself. */
  readonly listSize: number;
  readonly connections: number;
  /** Null: all. */
  readonly machines: readonly string[] | null;
  readonly characteristics: readonly string[] | null;
  readonly length: 'compensated' | 'measured';
  readonly failAboveC: number;
  readonly failVerdicts: readonly string[];
  readonly template: Template;
  readonly waitOn: readonly number[];
}
