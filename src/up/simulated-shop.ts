/** The shop that `npm start` shows: three machining centres, and the place of a measuring machine. */

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
    controller_type: 'not connected yet',
    axis_count: 3,
  },
];

/** Its edge, as the YAML a person would write. The phases keep the three machines out of step. */
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
