import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Histogram, prometheusText } from './prometheus.ts';

test('counters and gauges have help, type, labels and value', () => {
  const text = prometheusText([
    { name: 'a_total', help: 'Things.', type: 'counter', points: [{ value: 3 }] },
    { name: 'b', help: 'Two\nlines \\ and more.', type: 'gauge', points: [{ labels: { x: 'p', y: 'q' }, value: 1.5 }] },
    { name: 'none', help: 'Nothing.', type: 'gauge', points: [] },
  ]);
  assert.equal(
    text,
    '# HELP a_total Things.\n# TYPE a_total counter\na_total 3\n' +
      '# HELP b Two\\nlines \\\\ and more.\n# TYPE b gauge\nb{x="p",y="q"} 1.5\n',
  );
});

test('quotes, backslashes and line breaks in a label are escaped', () => {
  const points = [{ labels: { name: 'a "b" \\ c\nd' }, value: 1 }];
  assert.match(
    prometheusText([{ name: 'm', help: '', type: 'gauge', points }]),
    /m\{name="a \\"b\\" \\\\ c\\nd"\} 1\n/,
  );
});

test('a histogram counts cumulatively, a value on a bound inside it', () => {
  const histogram = new Histogram([0.1, 1]);
  for (const seconds of [0.05, 0.1, 0.5, 7]) histogram.observe(seconds);
  assert.equal(
    prometheusText([histogram.metric('t_seconds', 'Time.')]),
    '# HELP t_seconds Time.\n# TYPE t_seconds histogram\n' +
      't_seconds_bucket{le="0.1"} 2\nt_seconds_bucket{le="1"} 3\nt_seconds_bucket{le="+Inf"} 4\n' +
      't_seconds_sum 7.65\nt_seconds_count 4\n',
  );
});
