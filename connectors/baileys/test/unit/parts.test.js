import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { Backoff, pause } from '../../src/backoff.js';
import { readConfig } from '../../src/config.js';
import { Recent } from '../../src/recent.js';
import { endingOf } from '../../src/whatsapp/endings.js';
import { Valve } from '../../src/whatsapp/valve.js';

test('waits grow to their bound and begin anew', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1_000, random: () => 1 });
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6].map(() => backoff.next()),
    [100, 200, 400, 800, 1_000, 1_000],
  );
  backoff.reset();
  assert.equal(backoff.next(), 100);
});

test('a pause ends when it is over', async () => {
  const over = new AbortController();
  const waits = pause(1_000_000, over.signal);
  over.abort();
  await waits;
  await pause(1_000_000, over.signal);
});

test('what was used last is remembered', () => {
  const recent = new Recent(2);
  recent.set('a', 1);
  recent.set('b', 2);
  recent.get('a');
  recent.set('c', 3);
  assert.deepEqual(recent.keys(), ['a', 'c']);
});

test('the configuration says what is wrong with it', () => {
  assert.throws(() => readConfig({}), /TRUNKLINE_API_KEY/);
  assert.throws(() => readConfig({ TRUNKLINE_API_KEY: 'k', TRUNKLINE_URL: 'ftp://x' }), /TRUNKLINE_URL/);
  assert.throws(() => readConfig({ TRUNKLINE_API_KEY: 'k', BAILEYS_HISTORY: 'some' }), /BAILEYS_HISTORY/);
  assert.throws(
    () => readConfig({ TRUNKLINE_API_KEY: 'k', TRUNKLINE_DISCOVER_SECONDS: 'soon' }),
    /TRUNKLINE_DISCOVER_SECONDS/,
  );
  const config = readConfig({ TRUNKLINE_API_KEY: 'k', TRUNKLINE_DEVICES: 'dev_1, dev_2,' });
  assert.deepEqual(config.devices, ['dev_1', 'dev_2']);
  assert.equal(config.engineUrl.href, 'http://127.0.0.1:8080/');
});

test('each end of a connection has its consequence', () => {
  const after = (/** @type {number | undefined} */ status, isPaired = true) =>
    Object.values(endingOf(status, { isPaired }));
  assert.deepEqual(after(515), ['at once', 'restart_required']);
  assert.deepEqual(after(440), ['stay down', 'replaced']);
  assert.deepEqual(after(401), ['pair anew', 'logged_out']);
  assert.deepEqual(after(403), ['stay down', 'forbidden']);
  assert.deepEqual(after(408), ['later', 'connection_lost']);
  assert.deepEqual(after(408, false), ['later', 'pairing_timed_out']);
  assert.deepEqual(after(undefined), ['later', 'connection_lost']);
});

/** A valve before handlers that note what they work on. */
function valve(/** @type {() => Promise<void>} */ admit) {
  /** @type {any} */
  const ws = new EventEmitter();
  /** @type {string[]} */
  const worked = [];
  /** @type {boolean[]} */
  const paused = [];
  ws.socket = { pause: () => paused.push(true), resume: () => paused.push(false) };
  for (const kind of ['message', 'receipt', 'notification'])
    ws.on(`CB:${kind}`, async (/** @type {any} */ node) => void worked.push(node.attrs.id));
  const over = new AbortController();
  const made = new Valve({ ws, admit, signal: over.signal, around: (_kind, _node, handle) => handle() });
  const send = (/** @type {string} */ kind, /** @type {string} */ id) => ws.emit(`CB:${kind}`, { attrs: { id } });
  return { made, send, worked, paused, over };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('nothing is worked on before there is room, and then in order', async () => {
  /** @type {Array<() => void>} */
  const rooms = [];
  const { send, worked } = valve(() => new Promise((resolve) => rooms.push(() => resolve())));
  for (const id of ['1', '2']) send('message', id);
  await turn();
  assert.deepEqual(worked, []);
  rooms.shift()?.();
  await turn();
  assert.deepEqual(worked, ['1']);
  rooms.shift()?.();
  await turn();
  assert.deepEqual(worked, ['1', '2']);
});

test('a connection that is ahead of the engine is not read until it is not', async () => {
  /** @type {() => void} */
  let open = () => {};
  const opened = new Promise((/** @type {(value?: undefined) => void} */ resolve) => (open = resolve));
  const { send, worked, paused } = valve(() => /** @type {Promise<any>} */ (opened));
  for (let id = 0; id < 600; id += 1) send('receipt', String(id));
  assert.deepEqual(paused, [true]);
  open();
  await turn();
  assert.deepEqual(paused, [true, false]);
  assert.equal(worked.length, 600);
});

test('what waits when the connection ends is dropped: WhatsApp has it', async () => {
  const { send, worked, over } = valve(async () => undefined);
  over.abort();
  send('message', '1');
  await turn();
  assert.deepEqual(worked, []);
});

test('a Baileys that listens elsewhere is noticed at once', () => {
  const ws = new EventEmitter();
  assert.throws(
    () =>
      new Valve({
        ws,
        admit: async () => undefined,
        signal: new AbortController().signal,
        around: async () => undefined,
      }),
    /does not fit its version/,
  );
});
