/** What was inspected: measurements as they are, the newest of each characteristic, and the study of one. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { MeasurementRow } from '../../model/api.ts';
import { csvField } from '../store/csv-rows.ts';
import { DATA_FORMATS } from '../store/data-stream.ts';
import { MEASUREMENT_COLUMNS, type Measurements, STUDY_POINTS_MAX } from '../store/measurements.ts';
import { answers, MEASUREMENTS_MAX, MEASUREMENTS_STANDARD } from './describe.ts';
import { addressAfter, formatOf, type MachineRequest, machineOf, MEDIA_TYPES } from './history.ts';
import { choiceParameter, countParameter, nameParameter, requiredName, timeParameter, timeRange } from './parse.ts';
import * as schemas from './schemas.ts';

const STUDIED_VALUES = ['compensated', 'measured'] as const;

export function addMeasurements(app: FastifyInstance, measurements: Measurements): void {
  app.get('/api/v1/machines/:id/measurements', { schema: pageSchema() }, (request, reply) => {
    return sendPage(measurements, request as MachineRequest, reply);
  });
  const featuresSchema = answers(
    'Each characteristic: its newest measurement and its verdicts, the worst first',
    schemas.listOf(schemas.feature),
    'machine',
    'window',
  );
  app.get('/api/v1/machines/:id/features', { schema: featuresSchema }, (request: MachineRequest) => {
    return measurements.features(machineOf(request), timeRange(request.query));
  });
  const studySchema = answers(
    'Control chart, histogram and capability of one characteristic',
    schemas.capabilityStudy,
    'machine',
    'window',
    'study',
  );
  app.get('/api/v1/machines/:id/capability', { schema: studySchema }, (request: MachineRequest) => {
    const { query } = request;
    const value = choiceParameter(query, 'value', STUDIED_VALUES);
    return measurements.study({
      machineId: machineOf(request),
      characteristic: requiredName(query, 'characteristic'),
      last: countParameter(query, 'last', { standard: STUDY_POINTS_MAX, max: STUDY_POINTS_MAX }),
      ...timeRange(query),
      ...(value === undefined ? {} : { value }),
    });
  });
}

function pageSchema(): { [key: string]: unknown } {
  const schema = answers(
    'Measurements, newest first',
    schemas.listOf(schemas.measurement),
    'machine',
    'window',
    'measurements',
  );
  const description =
    'In the forms of the samples, by `format` or by the header accept. The header link has the address of the next page ' +
    'while there is one.';
  return { ...schema, description, produces: Object.values(MEDIA_TYPES) };
}

async function sendPage(
  measurements: Measurements,
  request: MachineRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { query } = request;
  const format = choiceParameter(query, 'format', DATA_FORMATS) ?? formatOf(request.headers.accept);
  const given = {
    characteristic: nameParameter(query, 'characteristic'),
    serialNumber: nameParameter(query, 'serial_number'),
    partId: nameParameter(query, 'part_id'),
    before: timeParameter(query, 'before'),
  };
  const { rows, next } = await measurements.page({
    machineId: machineOf(request),
    limit: countParameter(query, 'limit', { standard: MEASUREMENTS_STANDARD, max: MEASUREMENTS_MAX }),
    ...timeRange(query),
    ...(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as {
      [key in keyof typeof given]?: string;
    }),
  });
  if (next !== null) reply.header('link', `<${addressAfter(request.url, 'before', next)}>; rel="next"`);
  const type = `${MEDIA_TYPES[format]}; charset=utf-8`;
  const text = { json: JSON.stringify, ndjson: linesOf, csv: csvOf }[format](rows);
  return reply.type(type).header('vary', 'accept, accept-encoding').send(text);
}

function linesOf(rows: readonly MeasurementRow[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

/** What is not known is empty; lists and objects are JSON. */
function csvOf(rows: readonly MeasurementRow[]): string {
  const lines = rows.map((row) =>
    MEASUREMENT_COLUMNS.map((column) => {
      const value = row[column];
      if (value === null) return '';
      return csvField(typeof value === 'object' ? JSON.stringify(value) : String(value));
    }).join(','),
  );
  return [MEASUREMENT_COLUMNS.join(','), ...lines, ''].join('\r\n');
}
