import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { DEVICE, pairedWorld, until, world } from '../harness.js';

const ALICE = '491700000002';

test('a connection to WhatsApp that breaks is made again', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const login = once(whatsapp, 'login');
  whatsapp.clientOf(account)?.cut();
  await engine.state('offline', (frame) => frame.reason === 'connection_lost');
  await login;
  const alice = whatsapp.addPeer(ALICE);
  await whatsapp.say(account, alice, { conversation: 'still there?' });
  await engine.event('message.received');
});

test('a message that came while WhatsApp was away is told after the login', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  whatsapp.clientOf(account)?.cut();
  await engine.state('offline');
  const id = await whatsapp.say(account, alice, { conversation: 'meanwhile' });
  const event = await engine.event('message.received');
  assert.equal(event.key.id, id);
  await whatsapp.sent('receipt', { id });
});

test('after a reconnect to the engine the state is said again, and WhatsApp stays connected', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const client = whatsapp.clientOf(account);
  engine.cutAll();
  await once(engine, 'session');
  await until(() => engine.frames.filter((frame) => frame.state === 'connected').length === 2);
  assert.equal(whatsapp.clientOf(account), client);
});

test('a command waits for a connection that comes back before its deadline', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  whatsapp.clientOf(account)?.cut();
  await engine.state('offline');
  const result = await engine.command(DEVICE, 'privacy.get', {});
  assert.equal(result.data.online, 'matches');
});

test('a command for a device that is not paired is refused at once', async (t) => {
  const { engine, connector } = await world(t);
  connector();
  await engine.state('pairing');
  const result = await engine.command(DEVICE, 'message.send', { to: '1@s.whatsapp.net', text: 'hi' });
  assert.equal(result.error.code, 'not_connected');
});

test('credentials that another connector wrote meanwhile are taken over', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const device = /** @type {any} */ (engine.devices.get(DEVICE));
  const foreign = Buffer.from(device.credentials);
  foreign.fill(7, 4, 20);
  const login = once(whatsapp, 'login');
  device.credentials = foreign;
  engine.cutAll();
  await login;
  const alice = whatsapp.addPeer(ALICE);
  await whatsapp.say(account, alice, { conversation: 'hello' });
  await engine.event('message.received');
});

test('a write of credentials that fails is tried again', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  engine.refuseWrites = [503, 503];
  const id = await whatsapp.say(account, alice, { conversation: 'hello' });
  await whatsapp.sent('receipt', { id });
  assert.deepEqual(engine.refuseWrites, []);
});
