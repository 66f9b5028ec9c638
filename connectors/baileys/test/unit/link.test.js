import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { readConfig } from '../../src/config.js';
import { EngineApi } from '../../src/engine/api.js';
import { GatewayLink } from '../../src/engine/link.js';
import { Fleet } from '../../src/fleet.js';
import { quietConsole } from '../../src/quiet.js';
import { FakeEngine } from '../fake-engine.js';
import { DEVICE, log, until } from '../harness.js';

/**
 * @param {import('node:test').TestContext} t
 */
async function world(t) {
  const engine = new FakeEngine();
  const engineUrl = await engine.start();
  engine.addDevice(DEVICE);
  const config = readConfig({
    TRUNKLINE_URL: engineUrl.href,
    TRUNKLINE_API_KEY: 'ak_test',
    TRUNKLINE_DISCOVER_SECONDS: '0.01',
    WHATSAPP_URL: 'ws://127.0.0.1:1',
  });
  const api = new EngineApi(config);
  const link = new GatewayLink({ url: api.sessionUrl(DEVICE), headers: api.headers, gateway: 'test/1', log });
  t.after(async () => {
    await link.stop();
    await engine.stop();
  });
  return { engine, config, api, link };
}

const reading = (/** @type {string} */ id) => ({ id, type: 'reading', data: { id } });

test('the link says who it is, then its state, then what is not acknowledged', async (t) => {
  const { engine, link } = await world(t);
  for (const id of ['1', '2']) void link.outbox.push(reading(id));
  link.report({ state: 'connected' });
  link.start();
  const [fence] = await once(link, 'up');
  assert.equal(fence, 1);
  await engine.event('reading', (frame) => frame.id === '2');
  assert.deepEqual(
    engine.frames.map((frame) => frame.gateway ?? frame.state ?? frame.id),
    ['test/1', 'connected', '1', '2'],
  );
  await link.outbox.idle();
});

test('a shutdown of the engine is followed by a reconnect, a replacement is not', async (t) => {
  const { engine, link } = await world(t);
  link.start();
  await once(link, 'up');
  engine.send(DEVICE, { kind: 'bye', reason: 'shutdown' });
  const [fence] = await once(link, 'up');
  assert.equal(fence, 2);
  const over = once(link, 'over');
  engine.send(DEVICE, { kind: 'bye', reason: 'replaced' });
  assert.deepEqual(await over, ['replaced']);
  await link.stop();
  assert.equal(link.fence, undefined);
});

test('an engine that refuses is asked again', async (t) => {
  const { engine, link } = await world(t);
  engine.refuseSessions = [{ status: 503 }, { status: 429, retryAfter: '0.01' }];
  link.start();
  await once(link, 'up');
  assert.deepEqual(engine.refuseSessions, []);
});

test('a refused frame is settled, and frames that are not understood are passed over', async (t) => {
  const { engine, link } = await world(t);
  engine.acknowledges = false;
  link.start();
  await once(link, 'up');
  const settled = link.outbox.push(reading('1'));
  await engine.event('reading');
  engine.send(DEVICE, { kind: 'news' });
  engine.devices.get(DEVICE)?.socket?.send('no JSON');
  engine.send(DEVICE, { kind: 'nack', id: null, error: { code: 'malformed_json', message: '' } });
  engine.send(DEVICE, { kind: 'nack', id: '1', error: { code: 'template_violation', message: 'no' } });
  assert.deepEqual(await settled, { stored: false, code: 'template_violation', message: 'no' });
});

test('the fleet runs the devices of its connector, new ones too, and ends those that are gone', async (t) => {
  const { engine, config, api } = await world(t);
  engine.addDevice('dev_telegram', {}, 'telegram');
  const fleet = new Fleet({ config, api, log, baileysLog: log });
  t.after(() => fleet.stop());
  const running = fleet.run();
  const device = engine.devices.get(DEVICE);
  await until(() => device?.socket);
  const second = engine.addDevice('dev_2');
  await until(() => second.socket);
  engine.devices.delete(DEVICE);
  await until(() => device?.socket === undefined);
  assert.equal(engine.devices.get('dev_telegram')?.socket, undefined);
  await fleet.stop();
  await running;
});

test('what a library writes to the console is cut down to what it did', () => {
  /** @type {string[]} */
  const words = [];
  const own = { ...console };
  quietConsole(
    /** @type {any} */ ({ debug: (/** @type {any} */ _fields, /** @type {string} */ text) => words.push(text) }),
  );
  console.info('Closing session:', { privKey: 'secret' });
  console.error(new Error('no words'));
  Object.assign(console, own);
  assert.deepEqual(words, ['Closing session:']);
});
