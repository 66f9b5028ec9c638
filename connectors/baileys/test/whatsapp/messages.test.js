import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { proto } from 'baileys';
import { DEVICE, pairedWorld, until } from '../harness.js';

const { Type } = proto.Message.ProtocolMessage;
const ALICE = '491700000002';

test('a message becomes an event, and its receipt goes out only after the ack of the engine', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  engine.acknowledges = false;
  const id = await whatsapp.say(account, alice, { conversation: 'hello' });
  const event = await engine.event('message.received');
  assert.deepEqual(event.key, { chat: alice.jid, sender: alice.jid, id });
  assert.equal(event.data.text, 'hello');
  // Whatever else the connector still says to WhatsApp, it is not the receipt.
  whatsapp
    .clientOf(account)
    ?.send({ tag: 'iq', attrs: { from: 's.whatsapp.net', type: 'get', id: 'ping', xmlns: 'urn:xmpp:ping' } });
  const credentials = engine.writes;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(
    whatsapp.received.some((node) => node.tag === 'receipt'),
    false,
  );
  assert.equal(engine.writes, credentials, 'no credentials are written that are past a message which may be lost');
  engine.acknowledgeAll();
  await whatsapp.sent('receipt', { id });
  assert.ok(engine.writes > credentials, 'a new session is kept before the receipt');
});

test('a message that was not acknowledged when another process took over comes to that one and can be read', async (t) => {
  const { engine, session, whatsapp, account, connector } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  engine.acknowledges = false;
  const id = await whatsapp.say(account, alice, { conversation: 'hello' });
  await engine.event('message.received');
  engine.acknowledges = true;
  connector();
  await session.run();
  await whatsapp.sent('receipt', { id });
  assert.deepEqual(
    engine.events.map((event) => event.data.text),
    ['hello'],
  );
});

test('messages wait at WhatsApp while the engine is away, and come in order when it is back', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  await whatsapp.say(account, alice, { conversation: 'first' });
  await whatsapp.sent('receipt');
  const { port } = engine;
  await engine.stop();
  const ids = [];
  for (const word of ['second', 'third', 'fourth'])
    ids.push(await whatsapp.say(account, alice, { conversation: word }));
  await engine.start(port);
  for (const id of ids) await whatsapp.sent('receipt', { id });
  assert.deepEqual(
    engine.events.filter((event) => event.key).map((event) => event.data.text),
    ['first', 'second', 'third', 'fourth'],
  );
});

test('an event whose ack was lost is sent again and is one event', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  engine.acknowledges = false;
  const id = await whatsapp.say(account, alice, { conversation: 'hello' });
  await engine.event('message.received');
  engine.acknowledges = true;
  engine.cutAll();
  await whatsapp.sent('receipt', { id });
  assert.equal(engine.frames.filter((frame) => frame.type === 'message.received').length, 2);
  assert.equal(engine.events.filter((event) => event.type === 'message.received').length, 1);
});

test('a message that WhatsApp delivers twice is one event', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  const id = await whatsapp.say(account, alice, { conversation: 'hello' });
  await whatsapp.sent('receipt', { id });
  await whatsapp.say(account, alice, { conversation: 'hello' }, { id });
  await until(() => whatsapp.received.filter((node) => node.tag === 'receipt' && node.attrs.id === id).length === 2);
  assert.equal(engine.events.filter((event) => event.type === 'message.received').length, 1);
});

test('an edit and a deletion are events about the message that they mean', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  const id = await whatsapp.say(account, alice, { conversation: 'helo' });
  const key = { remoteJid: alice.jid, fromMe: true, id };
  await whatsapp.say(account, alice, {
    protocolMessage: { key, type: Type.MESSAGE_EDIT, editedMessage: { conversation: 'hello' } },
  });
  const updated = await engine.event('message.updated');
  assert.deepEqual(updated.key, { chat: alice.jid, sender: alice.jid, id });
  assert.equal(updated.data.text, 'hello');
  await whatsapp.say(account, alice, { protocolMessage: { key, type: Type.REVOKE } });
  const deleted = await engine.event('message.deleted');
  assert.deepEqual(deleted.key, { chat: alice.jid, sender: alice.jid, id });
  await until(() => whatsapp.received.filter((node) => node.tag === 'receipt').length === 3);
  assert.deepEqual(
    engine.events.filter((event) => event.type.startsWith('message.')).map((event) => event.type),
    ['message.received', 'message.updated', 'message.deleted'],
  );
});

test('a message to a group is read with the key that comes with it', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  const group = '120363000000000001@g.us';
  for (const word of ['one', 'two']) await whatsapp.sayToGroup(account, alice, group, { conversation: word });
  const event = await engine.event('message.received', (frame) => frame.data.text === 'two');
  assert.equal(event.key.chat, group);
  assert.equal(event.key.sender, alice.jid);
});

test('a name is told once, not with every message', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  for (const word of ['one', 'two', 'three']) await whatsapp.say(account, alice, { conversation: word });
  await until(() => whatsapp.received.filter((node) => node.tag === 'receipt').length === 3);
  const told = await engine.event('contact.updated');
  assert.equal(told.data.contact, alice.jid);
  assert.equal(told.data.name, `Peer ${ALICE}`);
  await until(() => engine.events.filter((event) => event.type === 'message.received').length === 3);
  assert.equal(engine.frames.filter((frame) => frame.type === 'contact.updated').length, 1);
});

test('a message goes out, is answered when the server has it, and its receipts are events', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  const result = await engine.command(DEVICE, 'message.send', { id: 'msg_1', to: alice.jid, text: 'hi' });
  assert.equal(result.ok, true, JSON.stringify(result));
  const { key } = result.data;
  assert.deepEqual({ ...key, id: '' }, { chat: alice.jid, sender: '', id: '' });
  const stanza = await whatsapp.sent('message', { id: key.id });
  const read = await alice.decrypt(account, stanza);
  assert.equal(read.extendedTextMessage?.text ?? read.conversation, 'hi');
  whatsapp.deliver(account, { tag: 'receipt', attrs: { from: alice.lid, id: key.id, t: '1760000200' } });
  whatsapp.deliver(account, { tag: 'receipt', attrs: { from: alice.lid, id: key.id, t: '1760000201', type: 'read' } });
  const delivered = await engine.event('receipt.delivery');
  assert.deepEqual(delivered.key, key);
  assert.equal(delivered.data.by, alice.jid);
  const seen = await engine.event('receipt.read');
  assert.deepEqual(seen.key, key);
  assert.equal(seen.at, '2025-10-09T08:56:41.000Z');
});

test('what is encrypted leaves only after the advanced session is kept', async (t) => {
  const { engine, whatsapp } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  /** @type {number[]} */
  const writes = [];
  whatsapp.on('stanza', (node) => node.tag === 'message' && writes.push(engine.writes));
  for (const id of ['msg_1', 'msg_2']) await engine.command(DEVICE, 'message.send', { id, to: alice.jid, text: id });
  assert.ok(writes[1] > writes[0], `credentials were written between two messages: ${writes}`);
});

test('a command that comes again is carried out once and answered again', async (t) => {
  const { engine, whatsapp } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  const first = await engine.command(
    DEVICE,
    'message.send',
    { id: 'msg_1', to: alice.jid, text: 'hi' },
    { command: 'msg_1' },
  );
  engine.cutAll();
  await once(engine, 'session');
  engine.frames.length = 0;
  const again = await engine.command(
    DEVICE,
    'message.send',
    { id: 'msg_1', to: alice.jid, text: 'hi' },
    { command: 'msg_1' },
  );
  assert.deepEqual(again, first);
  assert.equal(whatsapp.received.filter((node) => node.tag === 'message').length, 1);
});

test('a message that WhatsApp refuses is refused', async (t) => {
  const { engine, whatsapp } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  whatsapp.refusal = { error: '479' };
  const result = await engine.command(DEVICE, 'message.send', { id: 'msg_1', to: alice.jid, text: 'hi' });
  assert.equal(result.ok, false);
  assert.equal(result.error.code, 'whatsapp_479');
});

test('a message goes to a group with the key for its members', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  const created = await engine.command(DEVICE, 'group.create', { subject: 'Team', participants: [alice.jid] });
  const result = await engine.command(DEVICE, 'message.send', { id: 'msg_1', to: created.data.group, text: 'hi all' });
  assert.equal(result.ok, true, JSON.stringify(result));
  const read = await alice.decryptFromGroup(account, await whatsapp.sent('message', { id: result.data.key.id }));
  assert.equal(read.extendedTextMessage?.text, 'hi all');
});

test('a message that cannot be read is asked for again, and is told when it comes', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const alice = whatsapp.addPeer(ALICE);
  const id = whatsapp.nextId();
  const attrs = { from: alice.jid, id, t: '1760000000', type: 'text' };
  whatsapp.deliver(account, {
    tag: 'message',
    attrs,
    content: [{ tag: 'enc', attrs: { v: '2', type: 'msg' }, content: Buffer.alloc(60, 3) }],
  });
  await whatsapp.sent('receipt', { id, type: 'retry' });
  assert.equal(engine.events.length, 0);
  await whatsapp.say(account, alice, { conversation: 'now you can' }, { id });
  const event = await engine.event('message.received');
  assert.deepEqual([event.key.id, event.data.text], [id, 'now you can']);
});

test('what the account sends from its phone is told as its own', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const phone = whatsapp.addPeer(account.number);
  const bob = whatsapp.addPeer('491700000003');
  const id = whatsapp.nextId();
  const attrs = { from: phone.jid, recipient: bob.jid, id, t: '1760000000', type: 'text' };
  const message = { deviceSentMessage: { destinationJid: bob.jid, message: { conversation: 'from my phone' } } };
  whatsapp.deliver(account, { tag: 'message', attrs, content: [await phone.encrypt(account, message)] });
  const event = await engine.event('message.received');
  assert.deepEqual(event.key, { chat: bob.jid, sender: '', id });
  assert.equal(event.data.text, 'from my phone');
  await whatsapp.sent('receipt', { id, type: 'sender' });
});
