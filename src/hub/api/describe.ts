/** What the OpenAPI document says of a route that answers with JSON. */
import { DATA_FORMATS } from '../store/data-stream.ts';
import { STUDY_POINTS_MAX } from '../store/measurements.ts';
import { SERIES_POINTS_MAX, SERIES_SIGNALS_MAX } from '../store/series.ts';
import { STATE_POINTS_MAX } from '../store/states.ts';
import * as schemas from './schemas.ts';

export const POINTS_STANDARD = 1_000;
/** Rows of one page of samples. */
export const DATA_LIMIT_MAX = 1_000_000;
/** Rows of one page of measurements. */
export const MEASUREMENTS_STANDARD = 100;
export const MEASUREMENTS_MAX = 10_000;

type ParameterGroup = 'window' | 'limit' | 'before' | 'series' | 'states' | 'page' | 'measurements' | 'study';

const PARAMETERS: { readonly [group in ParameterGroup]: object } = {
  window: {
    start_time: { type: 'string', format: 'date-time', description: 'Inclusive' },
    end_time: { type: 'string', format: 'date-time', description: 'Exclusive' },
  },
  limit: { limit: { type: 'integer', minimum: 1 } },
  before: { before: { type: 'string', format: 'date-time' } },
  series: {
    signals: { type: 'string', description: `Up to ${SERIES_SIGNALS_MAX}, separated by commas` },
    points: { type: 'integer', minimum: 1, maximum: SERIES_POINTS_MAX, default: POINTS_STANDARD },
  },
  states: {
    points: {
      type: 'integer',
      minimum: 1,
      maximum: STATE_POINTS_MAX,
      description: 'What is shorter than a point of the window merges, but alarms stay. Default: nothing merges',
    },
  },
  page: {
    format: { type: 'string', enum: DATA_FORMATS, description: 'Default: by the header accept, else json' },
    limit: {
      type: 'integer',
      minimum: 1,
      maximum: DATA_LIMIT_MAX,
      description: 'About so many rows: those of one instant stay together. Default: all',
    },
    cursor: { type: 'string', format: 'date-time', description: 'From the header link of the page before' },
  },
  measurements: {
    characteristic: { type: 'string' },
    serial_number: { type: 'string' },
    part_id: { type: 'string' },
    format: { type: 'string', enum: DATA_FORMATS, description: 'Default: by the header accept, else json' },
    limit: {
      type: 'integer',
      minimum: 1,
      maximum: MEASUREMENTS_MAX,
      default: MEASUREMENTS_STANDARD,
      description: 'About so many rows: those of one instant stay together',
    },
    before: { type: 'string', format: 'date-time', description: 'From the header link of the page before' },
  },
  study: {
    characteristic: { type: 'string', description: 'Required' },
    value: {
      type: 'string',
      enum: ['compensated', 'measured'],
      description: 'Default: compensated where the newest measurement is, else measured',
    },
    last: {
      type: 'integer',
      minimum: 1,
      maximum: STUDY_POINTS_MAX,
      default: STUDY_POINTS_MAX,
      description:
        'The newest so many become points. Control limits are those of the first 25 of the window all the same',
    },
  },
};

/** The schema of a GET route. */
export function answers(
  summary: string,
  response: object,
  ...takes: readonly ('machine' | ParameterGroup)[]
): { [key: string]: unknown } {
  const query = takes.filter((name) => name !== 'machine').map((name) => PARAMETERS[name]);
  return {
    summary,
    tags: [takes.includes('machine') ? 'machines' : 'pipeline'],
    ...(takes.includes('machine') ? { params: { type: 'object', properties: { id: { type: 'string' } } } } : {}),
    ...(query.length > 0 ? { querystring: { type: 'object', properties: Object.assign({}, ...query) as object } } : {}),
    response: { 200: response, ...failures(400, 503) },
  };
}

export function failures(...statuses: readonly number[]): { [status: number]: unknown } {
  return Object.fromEntries(statuses.map((status) => [status, schemas.apiError]));
}
