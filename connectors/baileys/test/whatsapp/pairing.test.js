import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { DEVICE, NUMBER, pairedWorld, until, world } from '../harness.js';

test('the QR code reaches the engine, and a scan connects the device', async (t) => {
  const { engine, whatsapp, connector } = await world(t);
  connector();
  const { qr } = await engine.state('pairing');
  assert.match(qr, /^https:\/\/wa\.me\/settings\/linked_devices#ref-/);
  await whatsapp.scan(qr, NUMBER);
  await engine.state('connected');
});

test('fresh credentials are kept before a QR code is shown, and what a scan brought before the device logs in', async (t) => {
  const { engine, whatsapp, connector } = await world(t);
  connector();
  const { qr } = await engine.state('pairing');
  assert.equal(engine.writes, 1);
  const login = once(whatsapp, 'login');
  await whatsapp.scan(qr, NUMBER);
  await login;
  assert.ok(engine.writes >= 2);
});

test('a device with a telephone number is paired with a code', async (t) => {
  const { engine, whatsapp, connector } = await world(t, { settings: { phone: '+49 151 0000001' } });
  connector();
  const { qr: code, reason } = await engine.state('pairing');
  assert.match(code, /^[0-9A-Z]{8}$/);
  assert.equal(reason, 'pair_code');
  const asked = await whatsapp.sent('iq', { xmlns: 'md' });
  assert.equal(asked.content[0].attrs.jid, '491510000001@s.whatsapp.net');
});

test('another process takes over with the credentials of the engine, without pairing', async (t) => {
  const { engine, session, whatsapp, connector } = await pairedWorld(t);
  await session.stop();
  const login = once(whatsapp, 'login');
  const shown = engine.frames.filter((frame) => frame.state === 'pairing').length;
  connector();
  await login;
  assert.equal(engine.frames.filter((frame) => frame.state === 'pairing').length, shown);
});

test('a device that was logged out on the phone forgets its credentials and is paired anew', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  whatsapp.accounts.delete(NUMBER);
  const before = engine.devices.get(DEVICE)?.credentials;
  whatsapp
    .clientOf(account)
    ?.send({
      tag: 'stream:error',
      attrs: { code: '401' },
      content: [{ tag: 'conflict', attrs: { type: 'device_removed' } }],
    });
  await engine.state('offline', (frame) => frame.reason === 'logged_out');
  await until(() => engine.frames.filter((frame) => frame.state === 'pairing').length === 2);
  assert.notDeepEqual(engine.devices.get(DEVICE)?.credentials, before);
  const { qr } = engine.frames.findLast((frame) => frame.state === 'pairing');
  await whatsapp.scan(qr, NUMBER);
  await until(() => engine.frames.filter((frame) => frame.state === 'connected').length === 2);
});

test('a device whose connection was replaced at WhatsApp says so and stays down', async (t) => {
  const { engine, session, whatsapp, account } = await pairedWorld(t);
  whatsapp
    .clientOf(account)
    ?.send({ tag: 'stream:error', attrs: {}, content: [{ tag: 'conflict', attrs: { type: 'replaced' } }] });
  await engine.state('offline', (frame) => frame.reason === 'replaced');
  await session.run();
  assert.equal(whatsapp.clientOf(account), undefined);
  assert.equal(engine.devices.get(DEVICE)?.socket, undefined);
});

test('a device that was replaced at the engine leaves WhatsApp and stays down', async (t) => {
  const { engine, session, whatsapp, account } = await pairedWorld(t);
  engine.send(DEVICE, { kind: 'bye', reason: 'replaced' });
  await session.run();
  await until(() => whatsapp.clientOf(account) === undefined);
  assert.equal(engine.devices.get(DEVICE)?.fence, 1);
});
