/** Units in which a device may give a standard signal, and by what they become the signal's own. */
export const UNIT_SCALES: {
  readonly [signal: string]: { readonly [unit: string]: { scale: number; offset?: number } };
} = {
  temperature: { '°C': { scale: 1 }, K: { scale: 1, offset: -273.15 }, '°F': { scale: 5 / 9, offset: -160 / 9 } },
  spindle_speed: { rpm: { scale: 1 }, '1/s': { scale: 60 } },
  x_pos_mm: { mm: { scale: 1 }, µm: { scale: 0.001 }, in: { scale: 25.4 } },
  y_pos_mm: { mm: { scale: 1 }, µm: { scale: 0.001 }, in: { scale: 25.4 } },
  z_pos_mm: { mm: { scale: 1 }, µm: { scale: 0.001 }, in: { scale: 25.4 } },
  feed_rate_actual: {
    'mm/min': { scale: 1 },
    'mm/s': { scale: 60 },
    'm/min': { scale: 1000 },
    'in/min': { scale: 25.4 },
  },
  spindle_load_percent: { '%': { scale: 1 } },
  total_power_kw: { kW: { scale: 1 }, W: { scale: 0.001 }, MW: { scale: 1000 } },
};
