/** What an agent, or what stands in its place, does to a reader other than to answer it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { hasCode, messageOf } from '../../base/errors.ts';
import { Bench } from './driver.test-support.ts';
import { describeAgent } from './probe.ts';

type Answer = (response: ServerResponse, url: URL) => void;

interface Numbers {
  readonly instance?: number | string;
  readonly first?: number | string;
  readonly next?: number | string;
}

function header({ instance = 1, first = 1, next = 1 }: Numbers): string {
  const last = Math.max(0, Number(next) - 1);
  const numbers = `firstSequence="${first}" lastSequence="${last}" nextSequence="${next}"`;
  return `<Header creationTime="2026-01-01T08:00:00Z" instanceId="${instance}" version="2.0" ${numbers}/>`;
}

function devices(items: string): string {
  const device = `<Device id="d" name="M1" uuid="u1"><DataItems>${items}</DataItems></Device>`;
  return `<MTConnectDevices>${header({})}<Devices>${device}</Devices></MTConnectDevices>`;
}

function streams(numbers: Numbers, inner = ''): string {
  const device = `<DeviceStream name="M1" uuid="u1"><ComponentStream>${inner}</ComponentStream></DeviceStream>`;
  return `<MTConnectStreams>${header(numbers)}<Streams>${device}</Streams></MTConnectStreams>`;
}

const ITEM = '<DataItem category="EVENT" id="own" name="own" type="X"/>';

function own(...sequences: number[]): string {
  const all = sequences.map(
    (one) => `<X dataItemId="own" sequence="${one}" timestamp="2026-01-01T08:00:00Z">${one}</X>`,
  );
  return `<Events>${all.join('')}</Events>`;
}

function ended(text: string | Buffer, status = 200, headers: { [name: string]: string } = {}): Answer {
  return (response) => void response.writeHead(status, { 'content-type': 'text/xml', ...headers }).end(text);
}

function part(text: string): string {
  return `--b1\r\nContent-type: text/xml\r\nContent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}\r\n`;
}

/** A stream that stays open. */
function streaming(...texts: string[]): Answer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'multipart/mixed;boundary=b1' });
    for (const text of texts) response.write(part(text));
  };
}

interface Answers {
  probe?: Answer;
  current?: Answer;
  sample?: Answer;
}

/** Answers as it is told to; what it is not told it answers well. */
async function hostile(context: TestContext, answers: Answers, config: object = {}): Promise<Bench> {
  const good: Required<Answers> = {
    probe: ended(devices(ITEM)),
    current: ended(streams({})),
    sample: streaming(streams({})),
  };
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://agent');
    const what = url.pathname.split('/').at(-1) as keyof Answers;
    (answers[what] ?? good[what])(response, url);
  });
  server.on('connection', (socket) => sockets.add(socket.on('error', () => {})));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const bench = await Bench.make(`http://127.0.0.1:${address.port}`);
  context.after(async () => {
    await bench.stop();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  bench.start({ timeout: '300ms', map: { own: { extra: 'own' } }, begin: 'oldest', ...config });
  return bench;
}

async function refusal(bench: Bench): Promise<string> {
  await bench.until(() => bench.errors.length > 0);
  const [error] = bench.errors;
  assert.ok(hasCode(error, 'connection_failed') || hasCode(error, 'protocol_violation'), String(error));
  return messageOf(error);
}

/** Sends so much each few milliseconds, for as long as somebody listens. */
function dripping(text: string, headers: { [name: string]: string }): Answer {
  return (response) => {
    response.writeHead(200, headers);
    const timer = setInterval(() => response.write(text), 5);
    response.on('close', () => clearInterval(timer));
  };
}

test('an answer that never ends is given up after the timeout, whatever was asked', async (context) => {
  const xml = { 'content-type': 'text/xml' };
  for (const what of ['probe', 'current', 'sample'] as const) {
    const bench = await hostile(context, { [what]: dripping(' ', xml) });
    assert.match(await refusal(bench), /broke off/, what);
    await bench.stop();
  }
});

test('blank lines instead of documents are no heartbeat', async (context) => {
  const bench = await hostile(context, {
    sample: dripping('\r\n'.repeat(1_000), { 'content-type': 'multipart/mixed;boundary=b1' }),
  });
  assert.match(await refusal(bench), /no boundary where the next part should begin/);
});

test('what is no answer of an agent is told in plain words', async (context) => {
  const bomb =
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' +
    Array.from({ length: 20 }, (_, index) => `<!ENTITY a${index} "&a;&a;&a;&a;&a;">`).join('') +
    ']><MTConnectDevices>&a19;</MTConnectDevices>';
  const cases: [Answer, RegExp][] = [
    [ended('', 302, { location: 'http://127.0.0.1:1/' }), /answered 302: is there an MTConnect agent/],
    [ended(gzipSync(devices(ITEM)), 200, { 'content-encoding': 'gzip' }), /no whole XML document/],
    [ended(bomb), /no whole XML document/],
    [ended('<a>'.repeat(100_000)), /nests deeper/],
    [ended(devices(ITEM).slice(0, -30), 200), /no whole XML document/],
    [ended('', 204), /no whole XML document/],
    [
      (response) => {
        response.writeHead(200, { 'content-length': '1000' }).write('<MTConnectDevices>');
        setTimeout(() => response.destroy(), 20);
      },
      /broke off/,
    ],
    [(response) => void response.socket?.end('HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n'), /cannot be reached/],
    [
      (response) => void response.socket?.end(`HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(20_000)}\r\n`),
      /cannot be reached/,
    ],
    [
      (response) => void response.socket?.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n<a/>'),
      /broke off|cannot be reached/,
    ],
    [(response) => void response.socket?.end(), /cannot be reached/],
    [() => {}, /gave no answer in 300 ms/],
  ];
  for (const [probe, expected] of cases) {
    const bench = await hostile(context, { probe });
    assert.match(await refusal(bench), expected);
    await bench.stop();
  }
});

test('numbers that JavaScript cannot count are told, and nothing is read by them', async (context) => {
  const bench = await hostile(context, {
    sample: streaming(streams({ next: 2 }, own(1)), streams({ next: '9007199254740993' })),
  });
  assert.match(await refusal(bench), /nextSequence of Header is "9007199254740993", not a sequence number/);
  await bench.stop();
  assert.deepEqual(
    bench.samples.map((one) => one['own']),
    [1],
  );
});

test('an agent that is another one in the middle of a stream has all it has read', async (context) => {
  let instance = 1;
  const numbers = (): Numbers => ({ instance, next: 13 });
  const all = Array.from({ length: 12 }, (_, index) => index + 1);
  const bench = await hostile(context, {
    current: (response, url) => ended(streams(numbers()))(response, url),
    sample: (response, url) => {
      const from = Number(url.searchParams.get('from'));
      const texts = [streams(numbers(), own(...all.filter((one) => one >= from)))];
      if (instance === 1) texts.push(streams({ instance: (instance = 2), next: 13 }));
      streaming(...texts)(response, url);
    },
  });
  await bench.until(() => bench.samples.length === 2 * all.length);
  assert.deepEqual(
    bench.samples.map((one) => one['own']),
    [...all, ...all],
  );
  assert.deepEqual(
    bench.gaps().map(({ details }) => details?.['reason']),
    ['agent_restarted'],
  );
});

test('an agent that counts from the beginning again without another id was restarted', async (context) => {
  let next = 6;
  const bench = await hostile(context, {
    current: (response, url) => ended(streams({ next }))(response, url),
    sample: (response, url) => {
      streaming(streams({ next }, own(...Array.from({ length: next - 1 }, (_, index) => index + 1))))(response, url);
      if (next === 6) setTimeout(() => response.destroy(), 50);
      next = 4;
    },
  });
  await bench.until(() => bench.samples.length === 8);
  assert.deepEqual(
    bench.samples.map((one) => one['own']),
    [1, 2, 3, 4, 5, 1, 2, 3],
  );
  assert.deepEqual(
    bench.gaps().map(({ details }) => details?.['reason']),
    ['agent_restarted'],
  );
});

test('a hundred thousand data items, and a document with an observation of each', async (context) => {
  const numbers = Array.from({ length: 100_000 }, (_, index) => index);
  const items = numbers
    .map((one) => `<DataItem category="SAMPLE" id="i${one}" name="n${one}" type="POSITION"/>`)
    .join('');
  const time = '2026-01-01T08:00:00Z';
  const said = numbers.map(
    (one) => `<Position dataItemId="i${one}" sequence="${one + 1}" timestamp="${time}">${one}</Position>`,
  );
  const next = numbers.length + 1;
  const bench = await hostile(
    context,
    {
      probe: ended(devices(items)),
      current: ended(streams({ next })),
      sample: streaming(streams({ next }, `<Samples>${said.join('')}</Samples>`)),
    },
    { timeout: '60s', heartbeat: '60s', extra: 'all', map: {} },
  );
  const values = (): number => bench.samples.reduce((sum, one) => sum + Object.keys(one).length - 3, 0);
  await bench.until(() => values() >= numbers.length);
  assert.equal(values(), numbers.length);
});

test('a device with more items than a call has arguments is shown whole', () => {
  const blank = { name: '', category: 'event', type: 'X', subType: '', units: '', representation: '' } as const;
  const dataItems = Array.from({ length: 300_000 }, (_, index) => {
    return { ...blank, id: `i${index}`, component: 'Linear', componentName: 'X' };
  });
  const common = { instanceId: '1', creationTime: '', version: '' };
  const page = describeAgent(
    {
      url: 'http://agent:5000',
      probe: { kind: 'devices', header: common, devices: [{ name: 'M', uuid: 'm', isAgent: false, dataItems }] },
      current: {
        kind: 'streams',
        header: { ...common, firstSequence: 1, lastSequence: 0, nextSequence: 1 },
        observations: [],
      },
    },
    null,
  );
  assert.match(page, /i299999/);
});

test('however much is active, and however long its words are, the position can be written and read again', async (context) => {
  const items = Array.from({ length: 3_000 }, (_, index) => index);
  const long = 'ä'.repeat(400);
  const faults = items.flatMap((one) =>
    ['A', 'B'].map(
      (code, place) =>
        `<Fault dataItemId="c${one}" sequence="${2 * one + place + 1}" timestamp="2026-01-01T08:00:00Z" nativeCode="${code}${long}">${long}</Fault>`,
    ),
  );
  const next = faults.length + 1;
  let asked: string | null = null;
  const bench = await hostile(
    context,
    {
      probe: ended(
        devices(
          items.map((one) => `<DataItem category="CONDITION" id="c${one}" name="c${one}" type="SYSTEM"/>`).join(''),
        ),
      ),
      current: ended(streams({ next })),
      sample: (response, url) => {
        asked = url.searchParams.get('from');
        streaming(streams({ next }, asked === '1' ? `<Condition>${faults.join('')}</Condition>` : ''))(response, url);
      },
    },
    { timeout: '60s', heartbeat: '60s', map: {} },
  );
  await bench.until(() => bench.events.filter(({ event_type }) => event_type === 'condition').length === faults.length);
  await bench.stop();
  const { size } = await stat(path.join(bench.folder, 'state', 'position'));
  assert.ok(size < 1024 * 1024, `${size}`);
  bench.start({ timeout: '60s', heartbeat: '60s', map: {}, begin: 'oldest' });
  await bench.until(() => asked !== '1');
  assert.equal(asked, String(next));
  assert.deepEqual(bench.gaps(), []);
});
