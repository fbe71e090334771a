/** The shop that `npm start` shows: three machining centres, and a measuring machine whose results a MES gets too. */

export const SIMULATED_MACHINES: readonly Readonly<Record<string, string | number>>[] = [
  {
    id: 'CNC-001',
    name: 'Machining centre 1',
    location: 'Hall A',
    controller_type: 'simulated',
    max_spindle_speed_rpm: 12_000,
    axis_count: 3,
  },
  {
    id: 'CNC-002',
    name: 'Machining centre 2',
    location: 'Hall A',
    controller_type: 'simulated',
    max_spindle_speed_rpm: 12_000,
    axis_count: 3,
  },
  {
    id: 'CNC-003',
    name: 'Turn-mill centre',
    location: 'Hall B',
    controller_type: 'simulated',
    max_spindle_speed_rpm: 8000,
    axis_count: 5,
  },
  {
    id: 'CMM-001',
    name: 'CMM 1',
    location: 'Metrology room',
    controller_type: 'simulated',
    axis_count: 3,
  },
];

/** The edge of the machining centres, as the YAML a person would write. The phases keep the three machines out of step. */
export function simulatedEdge(hubUrl: string, logFolder: string): object {
  const sensor = (machine: string, seed: number, phase: string): object => {
    return { name: machine, type: 'simulator', machine_id: machine, seed, phase };
  };
  return {
    agent: { machine_id: 'EDGE-001', location: 'This machine', sampling_rate: '100ms' },
    sensors: [sensor('CNC-001', 1, '0s'), sensor('CNC-002', 2, '40s'), sensor('CNC-003', 3, '80s')],
    sinks: [{ name: 'hub', type: 'hub', url: hubUrl }],
    buffering: { folder: logFolder },
    status: { port: 0 },
  };
}

export interface MetrologyPlaces {
  readonly hubUrl: string;
  readonly mesUrl: string;
  /** Where the simulated measuring machine leaves its files. */
  readonly resultsFolder: string;
  readonly logFolder: string;
}

/**
 * The edge of the measuring machine, likewise: as `config/cmm.example.yaml`, with serial numbers and a MES. It is one of
 * its own, as the measuring room has a gateway of its own; what waits for the MES is then nothing but its readings.
 */
export function simulatedMetrology({ hubUrl, mesUrl, resultsFolder, logFolder }: MetrologyPlaces): object {
  const machine = 'CMM-001';
  const column = (name: string): object => ({ column: name });
  const temperature = column('Simulated_Temperature_C');
  const length = {
    characteristic: 'length',
    measured_value: column('Observed_Part_Length_mm'),
    part_id: 'rail 100',
    serial_number: column('Serial_Number'),
    nominal_value: 100,
    lower_limit: 99.995,
    upper_limit: 100.005,
    temperature_c: temperature,
    details: { true_length_mm: column('True_Part_Length_mm') },
  };
  const csv = { time: column('Timestamp'), measurements: [length], sample: { temperature } };
  const files = { type: 'files', folder: resultsFolder, format: 'csv', compensation: 'scale', csv };
  const thermal = {
    type: 'thermal',
    part: { material: 'aluminium_6061' },
    part_temperature: { uncertainty: 0.1 },
    cmm: { constant: 1.7, per_metre: 3 },
  };
  return {
    agent: { machine_id: 'EDGE-CMM', location: 'Metrology room' },
    sensors: [{ name: 'cmm', machine_id: machine, ...files }],
    processors: [thermal],
    sinks: [
      { name: 'hub', type: 'hub', url: hubUrl },
      { name: 'mes', type: 'mes', url: mesUrl },
    ],
    buffering: { folder: logFolder },
    status: { port: 0 },
  };
}
