import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupNode } from '../fake-whatsapp/answers.js';
import { DEVICE, NUMBER, pairedWorld, until } from '../harness.js';

const GROUP = '120363000000000001@g.us';
const ALICE = '491700000002@s.whatsapp.net';
const BOB = '491700000003@s.whatsapp.net';

/**
 * A notification about a group, by Alice.
 *
 * @param {any} whatsapp
 * @param {any} child
 */
function notification(whatsapp, child) {
  return {
    tag: 'notification',
    attrs: { from: GROUP, type: 'w:gp2', id: whatsapp.nextId(), participant: ALICE, t: '1760000000' },
    content: [child],
  };
}

test('group notifications become one event each, and their stub messages none', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const member = (/** @type {string} */ jid) => [{ tag: 'participant', attrs: { jid } }];
  const children = [
    {
      tag: 'create',
      attrs: {},
      content: [groupNode('120363000000000001', 'Team', [ALICE, `${NUMBER}@s.whatsapp.net`])],
    },
    { tag: 'subject', attrs: { subject: 'New team' } },
    { tag: 'add', attrs: {}, content: member(BOB) },
    { tag: 'promote', attrs: {}, content: member(BOB) },
    { tag: 'remove', attrs: {}, content: member(BOB) },
    { tag: 'delete', attrs: {} },
  ];
  const ids = children.map((child) => whatsapp.deliver(account, notification(whatsapp, child)));
  await engine.event('group.deleted');
  for (const id of ids) await whatsapp.sent('ack', { id });
  assert.deepEqual(
    engine.events.map((event) => event.type),
    ['group.created', 'group.updated', 'participant.added', 'group.updated', 'participant.removed', 'group.deleted'],
  );
  const [created, renamed, added] = engine.events;
  assert.deepEqual(created.data, {
    group: GROUP,
    subject: 'Team',
    owner: ALICE,
    created: 1760000000,
    announce: false,
    restrict: false,
    member_add_mode: false,
    join_approval: false,
    participants: [ALICE, `${NUMBER}@s.whatsapp.net`],
    admins: [],
    by: ALICE,
  });
  assert.deepEqual(renamed.data, { group: GROUP, subject: 'New team', by: ALICE });
  assert.deepEqual(added.data, { group: GROUP, participants: [BOB], by: ALICE });
  assert.equal(added.at, '2025-10-09T08:53:20.000Z');
});

test('a notification that WhatsApp delivers twice is one event', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const node = notification(whatsapp, { tag: 'subject', attrs: { subject: 'Team' } });
  for (const _ of [1, 2]) whatsapp.deliver(account, { ...node });
  await until(
    () => whatsapp.received.filter((sent) => sent.tag === 'ack' && sent.attrs.id === node.attrs.id).length === 2,
  );
  whatsapp.deliver(account, notification(whatsapp, { tag: 'subject', attrs: { subject: 'Another' } }));
  await engine.event('group.updated', (frame) => frame.data.subject === 'Another');
  assert.deepEqual(
    engine.events.map((event) => event.data.subject),
    ['Team', 'Another'],
  );
});

test('a group that the account leaves is gone for it', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const me = { tag: 'participant', attrs: { jid: `9${NUMBER}@lid`, phone_number: `${NUMBER}@s.whatsapp.net` } };
  whatsapp.deliver(account, notification(whatsapp, { tag: 'remove', attrs: {}, content: [me] }));
  await engine.event('group.deleted');
  assert.deepEqual(
    engine.events.map((event) => [event.type, event.data.reason]),
    [
      ['participant.removed', undefined],
      ['group.deleted', 'left'],
    ],
  );
});

test('groups are made, shown and changed by commands', async (t) => {
  const { engine } = await pairedWorld(t);
  const created = await engine.command(DEVICE, 'group.create', { subject: 'Team', participants: [ALICE] });
  assert.equal(created.ok, true, JSON.stringify(created));
  const { group } = created.data;
  const shown = await engine.command(DEVICE, 'group.info', { group });
  assert.deepEqual(shown.data.participants, [ALICE]);
  const added = await engine.command(DEVICE, 'group.participants.add', { group, participants: [BOB] });
  assert.deepEqual(added.data, { group, participants: [{ jid: BOB, status: '200' }] });
  const removed = await engine.command(DEVICE, 'group.participants.remove', { group, participants: [BOB] });
  assert.deepEqual(removed.data, { group, participants: [{ jid: BOB, status: '200' }] });
  const unknown = await engine.command(DEVICE, 'group.info', { group: '1@g.us' });
  assert.equal(unknown.error.code, 'whatsapp_404');
});

test('privacy settings are shown and changed in the words of the API', async (t) => {
  const { engine, account } = await pairedWorld(t);
  const before = await engine.command(DEVICE, 'privacy.get', {});
  assert.deepEqual(before.data, {
    readreceipts: 'all',
    online: 'matches',
    lastSeen: 'contacts',
    groupAdd: 'all',
    statusPrivacy: 'contacts',
  });
  const after = await engine.command(DEVICE, 'privacy.set', { online: 'all', lastSeen: 'none' });
  assert.deepEqual(after.data, { ...before.data, online: 'all', lastSeen: 'none' });
  assert.equal(account.privacy.last, 'none');
  const wrong = await engine.command(DEVICE, 'privacy.set', { online: 'sometimes' });
  assert.equal(wrong.error.code, 'invalid_field');
});

test('history is asked for from the oldest message that was seen', async (t) => {
  const { engine, whatsapp, account } = await pairedWorld(t);
  const nothing = await engine.command(DEVICE, 'history.sync', { count: 5 });
  assert.equal(nothing.error.code, 'no_anchor');
  whatsapp.addPeer(NUMBER);
  const alice = whatsapp.addPeer('491700000002');
  await whatsapp.say(account, alice, { conversation: 'hello' });
  await engine.event('message.received');
  const asked = await engine.command(DEVICE, 'history.sync', { chat: alice.jid, count: 5 });
  assert.equal(asked.ok, true, JSON.stringify(asked));
  const sent = await whatsapp.sent('message', { category: 'peer' });
  assert.equal(sent.attrs.id, asked.data.requests[0]);
});
