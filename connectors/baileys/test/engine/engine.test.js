import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { readConfig } from '../../src/config.js';
import { EngineApi } from '../../src/engine/api.js';
import { Fleet } from '../../src/fleet.js';
import { FakeWhatsApp } from '../fake-whatsapp/server.js';
import { NUMBER, log } from '../harness.js';
import { EngineBinary } from './binary.js';

const ALICE = '491700000002';

/**
 * The engine itself, with a device of this connector that is paired and connected.
 *
 * @param {import('node:test').TestContext} t
 */
async function world(t) {
  const engine = await EngineBinary.start();
  const whatsapp = new FakeWhatsApp();
  /** @type {Fleet[]} */
  const fleets = [];
  t.after(async () => {
    await Promise.all(fleets.map((fleet) => fleet.stop()));
    await Promise.all([whatsapp.stop(), engine.stop()]);
  });
  const made = await engine.ask('POST', '/v1/devices', { name: 'phone', connector: 'baileys' });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const device = `/v1/devices/${made.body.data.id}`;
  const config = readConfig({
    TRUNKLINE_URL: engine.url.href,
    TRUNKLINE_API_KEY: engine.key,
    WHATSAPP_URL: await whatsapp.url(),
  });
  const connector = () => {
    const fleet = new Fleet({ config, api: new EngineApi(config), log, baileysLog: log });
    fleets.push(fleet);
    void fleet.run();
    return fleet;
  };
  const fleet = connector();
  const { qr } = await engine.until(device, (shown) => shown.qr);
  const account = await whatsapp.scan(qr, NUMBER);
  await engine.until(device, (shown) => shown.state === 'connected');
  const events = async () => (await engine.ask('GET', `${device}/events?limit=500`)).body.data;
  const has = (/** @type {(event: any) => any} */ isIt) =>
    engine.until(`${device}/events?limit=500`, (all) => all.some(isIt));
  return { engine, whatsapp, account, device, fleet, connector, events, has };
}

test('a message goes from WhatsApp to the log, and another from the API to WhatsApp', async (t) => {
  const { engine, whatsapp, account, device, has } = await world(t);
  const alice = whatsapp.addPeer(ALICE);
  const id = await whatsapp.say(account, alice, { conversation: 'hello' });
  await whatsapp.sent('receipt', { id });
  await has((event) => event.type === 'message.received' && event.payload.text === 'hello');
  const sent = await engine.ask('POST', `${device}/messages`, { to: `+${ALICE}`, text: 'hi' });
  assert.equal(sent.status, 202, JSON.stringify(sent.body));
  const { attrs } = await whatsapp.sent('message');
  whatsapp.deliver(account, {
    tag: 'receipt',
    attrs: { from: alice.lid, id: attrs.id, t: '1760000200', type: 'read' },
  });
  const messages = await engine.until(`${device}/messages`, (all) =>
    all.some((/** @type {any} */ message) => message.direction === 'out' && message.state === 'read'),
  );
  assert.deepEqual(messages.map((/** @type {any} */ message) => message.direction).sort(), ['in', 'out']);
});

test('an engine that is killed loses no message and doubles none', async (t) => {
  const { engine, whatsapp, account, device, events } = await world(t);
  const alice = whatsapp.addPeer(ALICE);
  const ids = [];
  for (const word of ['one', 'two', 'three', 'four', 'five', 'six']) {
    if (word === 'three') await engine.kill();
    ids.push(await whatsapp.say(account, alice, { conversation: word }));
    if (word === 'five') await engine.run();
  }
  for (const id of ids) await whatsapp.sent('receipt', { id });
  const words = (await events())
    .filter((/** @type {any} */ event) => event.type === 'message.received')
    .map((/** @type {any} */ event) => event.payload.text);
  assert.deepEqual(words.sort(), ['five', 'four', 'one', 'six', 'three', 'two']);
  await engine.until(device, (shown) => shown.state === 'connected');
});

test('another process takes the device over with the credentials of the engine', async (t) => {
  const { engine, whatsapp, account, device, fleet, connector, has } = await world(t);
  const alice = whatsapp.addPeer(ALICE);
  await whatsapp.say(account, alice, { conversation: 'before' });
  await has((event) => event.payload?.text === 'before');
  const login = once(whatsapp, 'login');
  connector();
  await login;
  await whatsapp.say(account, alice, { conversation: 'after' });
  await has((event) => event.payload?.text === 'after');
  await fleet.stop();
  await engine.until(device, (shown) => shown.state === 'connected');
});

test('groups and privacy are asked for through the API, and group changes are in the log', async (t) => {
  const { engine, whatsapp, account, device, has } = await world(t);
  const created = await engine.ask('POST', `${device}/groups/create`, { subject: 'Team', participants: [ALICE] });
  assert.ok(created.status < 300, JSON.stringify(created.body));
  const { group } = created.body.data;
  const added = await engine.ask('POST', `${device}/groups/${group}/participants/add`, {
    participants: ['491700000003'],
  });
  assert.deepEqual(added.body.data.participants, [{ jid: '491700000003@s.whatsapp.net', status: '200' }]);
  const unknown = await engine.ask('GET', `${device}/groups/1@g.us`);
  assert.equal(unknown.status, 502);
  const settings = await engine.ask('POST', `${device}/privacy/settings`, { online: 'all' });
  assert.equal(settings.body.data.online, 'all');
  const attrs = {
    from: group,
    type: 'w:gp2',
    id: whatsapp.nextId(),
    participant: `${ALICE}@s.whatsapp.net`,
    t: '1760000000',
  };
  whatsapp.deliver(account, {
    tag: 'notification',
    attrs,
    content: [{ tag: 'subject', attrs: { subject: 'New team' } }],
  });
  await has((event) => event.type === 'group.updated' && event.payload.subject === 'New team');
});
