import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proto } from 'baileys';
import { makeAddresses } from '../../src/whatsapp/addresses.js';
import { Contacts } from '../../src/whatsapp/contacts.js';
import { DATA_BYTES_MAX, idOf, timeOf } from '../../src/whatsapp/frames.js';
import * as groups from '../../src/whatsapp/groups.js';
import { deletionEvents, messageEvents, receiptEvents, statusEvents } from '../../src/whatsapp/messages.js';

const { Status, StubType } = proto.WebMessageInfo;
const { Type } = proto.Message.ProtocolMessage;
const ME = '49151@s.whatsapp.net';
const ALICE = '49170@s.whatsapp.net';
const BOB = '49171@s.whatsapp.net';
const ALICE_LID = '1170@lid';
const GROUP = '1203@g.us';
const addresses = makeAddresses(
  { getPNForLID: async (lid) => (lid === ALICE_LID ? '49170:0@s.whatsapp.net' : null) },
  () => ({ id: '49151:7@s.whatsapp.net', lid: '1151:7@lid' }),
);

/** A message from Alice, unless told otherwise. */
const said = (/** @type {any} */ message, /** @type {any} */ key = {}, /** @type {any} */ info = {}) => ({
  key: { remoteJid: ALICE, fromMe: false, id: 'M1', ...key },
  messageTimestamp: 1_760_000_000,
  pushName: 'Alice',
  message,
  ...info,
});

/** The data of the only event of a message. */
async function dataOf(/** @type {any} */ message) {
  const [event, ...more] = await messageEvents(said(message), addresses);
  assert.equal(more.length, 0);
  return /** @type {any} */ (event.data);
}

test('a text names its chat, its sender and its time', async () => {
  const [event] = await messageEvents(said({ conversation: 'hello' }), addresses);
  assert.deepEqual(event, {
    id: idOf('received', ALICE, ALICE, 'M1'),
    type: 'message.received',
    at: '2025-10-09T08:53:20.000Z',
    key: { chat: ALICE, sender: ALICE, id: 'M1' },
    data: {
      key: { chat: ALICE, sender: ALICE, id: 'M1' },
      from_me: false,
      push_name: 'Alice',
      timestamp: 1_760_000_000,
      kind: 'text',
      text: 'hello',
      message: { conversation: 'hello' },
    },
  });
});

test('people are named by their number where it is known', async () => {
  const known = async (/** @type {any} */ key) =>
    (await messageEvents(said({ conversation: 'x' }, key), addresses))[0].key;
  assert.deepEqual(await known({ remoteJid: ALICE_LID }), { chat: ALICE, sender: ALICE, id: 'M1' });
  assert.deepEqual(await known({ remoteJid: '99@lid', remoteJidAlt: BOB }), { chat: BOB, sender: BOB, id: 'M1' });
  assert.deepEqual(await known({ remoteJid: '99@lid' }), { chat: '99@lid', sender: '99@lid', id: 'M1' });
  assert.deepEqual(await known({ remoteJid: GROUP, participant: '99@lid', participantAlt: '49171:3@s.whatsapp.net' }), {
    chat: GROUP,
    sender: BOB,
    id: 'M1',
  });
});

test('what the account sent from its phone has no sender', async () => {
  const [event] = await messageEvents(said({ conversation: 'x' }, { fromMe: true }), addresses);
  assert.deepEqual(event.key, { chat: ALICE, sender: '', id: 'M1' });
  assert.equal(/** @type {any} */ (event.data).from_me, true);
});

test('each kind of message is named', async () => {
  const kinds = /** @type {Array<[any, string]>} */ ([
    [{ extendedTextMessage: { text: 'x' } }, 'text'],
    [{ imageMessage: {} }, 'image'],
    [{ videoMessage: {} }, 'video'],
    [{ audioMessage: { ptt: true } }, 'audio'],
    [{ documentMessage: {} }, 'document'],
    [{ stickerMessage: {} }, 'sticker'],
    [{ locationMessage: {} }, 'location'],
    [{ contactMessage: {} }, 'contact'],
    [{ reactionMessage: { text: '👍' } }, 'reaction'],
    [{ pollCreationMessage: { name: 'x', options: [] } }, 'poll'],
    [{ groupInviteMessage: {} }, 'other'],
    [{ ephemeralMessage: { message: { imageMessage: {} } } }, 'image'],
    [{ viewOnceMessageV2: { message: { videoMessage: {} } } }, 'video'],
  ]);
  for (const [message, kind] of kinds) assert.equal((await dataOf(message)).kind, kind, JSON.stringify(message));
});

test('media are described with what is needed to fetch them', async () => {
  const { media, text } = await dataOf({
    imageMessage: {
      mimetype: 'image/jpeg',
      fileLength: 1234,
      caption: 'look',
      mediaKey: Buffer.from('key'),
      directPath: '/v/x',
      url: 'https://example.org/x',
      width: 4,
      height: 3,
    },
  });
  assert.deepEqual(media, {
    mimetype: 'image/jpeg',
    size: 1234,
    width: 4,
    height: 3,
    url: 'https://example.org/x',
    direct_path: '/v/x',
    media_key: 'a2V5',
  });
  assert.equal(text, 'look');
});

test('an answer names what it answers, and whom it mentions', async () => {
  const data = await dataOf({
    extendedTextMessage: { text: '@49171 yes', contextInfo: { stanzaId: 'M0', mentionedJid: [BOB] } },
  });
  assert.equal(data.reply_to, 'M0');
  assert.deepEqual(data.mentions, [BOB]);
});

test('a message that would be too large loses its thumbnail, not its words', async () => {
  const data = await dataOf({
    imageMessage: { caption: 'look', jpegThumbnail: Buffer.alloc(300_000, 1), directPath: '/v/x' },
  });
  assert.ok(JSON.stringify(data).length < DATA_BYTES_MAX);
  assert.equal(data.text, 'look');
  assert.equal(data.message.imageMessage.directPath, '/v/x');
});

test('what accompanies messages is no event', async () => {
  const silent = [
    said({ senderKeyDistributionMessage: { groupId: GROUP } }),
    said({ messageContextInfo: {} }),
    said(undefined),
    said({ conversation: 'x' }, {}, { category: 'peer' }),
    said({ protocolMessage: { type: Type.APP_STATE_SYNC_KEY_SHARE } }),
    said({ protocolMessage: { type: Type.HISTORY_SYNC_NOTIFICATION } }),
    said(undefined, {}, { messageStubType: StubType.GROUP_PARTICIPANT_ADD, messageStubParameters: ['{}'] }),
    said(undefined, {}, { messageStubType: StubType.CIPHERTEXT, messageStubParameters: ['no session'] }),
  ];
  for (const info of silent) assert.deepEqual(await messageEvents(info, addresses), []);
});

test('an edit is about the message that it changes', async () => {
  const edit = {
    protocolMessage: {
      key: { id: 'M0', fromMe: true, remoteJid: ME },
      type: Type.MESSAGE_EDIT,
      editedMessage: { conversation: 'better' },
    },
  };
  for (const message of [edit, { editedMessage: { message: edit } }]) {
    const [event] = await messageEvents(said(message), addresses);
    assert.equal(event.type, 'message.updated');
    assert.deepEqual(event.key, { chat: ALICE, sender: ALICE, id: 'M0' });
    assert.equal(/** @type {any} */ (event.data).text, 'better');
  }
});

test('a deletion is about the message of its author, also by an administrator', async () => {
  const revoke = (/** @type {any} */ key) => ({ protocolMessage: { key: { id: 'M0', ...key }, type: Type.REVOKE } });
  const deleted = async (/** @type {any} */ target, /** @type {any} */ key) =>
    (await messageEvents(said(revoke(target), key), addresses))[0];
  const own = await deleted({ fromMe: true }, {});
  assert.deepEqual([own.type, own.key], ['message.deleted', { chat: ALICE, sender: ALICE, id: 'M0' }]);
  const inGroup = { remoteJid: GROUP, participant: ALICE };
  assert.deepEqual((await deleted({ fromMe: false, participant: BOB }, inGroup)).key, {
    chat: GROUP,
    sender: BOB,
    id: 'M0',
  });
  assert.deepEqual((await deleted({ fromMe: false, participant: ME }, inGroup)).key, {
    chat: GROUP,
    sender: '',
    id: 'M0',
  });
});

test('what was removed from this account only is a deletion that says so', async () => {
  const [event] = await deletionEvents({ keys: [{ remoteJid: ALICE, id: 'M1', fromMe: false }] }, addresses);
  assert.deepEqual([event.type, event.key], ['message.deleted', { chat: ALICE, sender: ALICE, id: 'M1' }]);
  assert.equal(/** @type {any} */ (event.data).only_here, true);
  assert.deepEqual(await deletionEvents({ jid: ALICE, all: true }, addresses), []);
});

test('a status is a receipt if it says delivered, read or played', async () => {
  const of = async (/** @type {number} */ status) =>
    (
      await statusEvents(
        [
          {
            key: { remoteJid: ALICE_LID, id: 'M1', fromMe: true },
            update: { status, messageTimestamp: 1_760_000_000 },
          },
        ],
        addresses,
      )
    )[0];
  assert.equal((await of(Status.DELIVERY_ACK)).type, 'receipt.delivery');
  const read = await of(Status.READ);
  assert.equal(read.type, 'receipt.read');
  assert.deepEqual(read.data, { key: { chat: ALICE, sender: '', id: 'M1' }, by: ALICE, timestamp: 1_760_000_000 });
  assert.equal(/** @type {any} */ ((await of(Status.PLAYED)).data).played, true);
  for (const status of [Status.ERROR, Status.PENDING, Status.SERVER_ACK]) assert.equal(await of(status), undefined);
});

test('receipts of a group say whose they are', async () => {
  const key = { remoteJid: GROUP, id: 'M1', fromMe: true, participant: ALICE };
  const events = await receiptEvents(
    [
      { key, receipt: { userJid: ALICE, receiptTimestamp: 1_760_000_000 } },
      { key, receipt: { userJid: BOB, readTimestamp: 1_760_000_001 } },
    ],
    addresses,
  );
  assert.deepEqual(
    events.map(({ type, key, data }) => [type, key, /** @type {any} */ (data).by]),
    [
      ['receipt.delivery', { chat: GROUP, sender: '', id: 'M1' }, ALICE],
      ['receipt.read', { chat: GROUP, sender: '', id: 'M1' }, BOB],
    ],
  );
});

test('the same thing has the same id, and other things have others', async () => {
  const id = async (/** @type {any} */ key) => (await messageEvents(said({ conversation: 'x' }, key), addresses))[0].id;
  assert.equal(await id({}), await id({}));
  assert.notEqual(await id({}), await id({ id: 'M2' }));
});

test('a whole group that was read anew is no change', async () => {
  assert.deepEqual(await groups.updatedEvents([{ id: GROUP, subject: 'Team', participants: [] }], addresses), []);
  const [event] = await groups.updatedEvents(
    [{ id: GROUP, announce: true, author: '1@lid', authorPn: ALICE }],
    addresses,
    { id: 'N1', timestamp: 1_760_000_000 },
  );
  assert.deepEqual(event.data, { group: GROUP, announce: true, by: ALICE });
});

test('a change of rank or number is a change of the group', async () => {
  for (const action of ['promote', 'demote', 'modify']) {
    const [event] = await groups.participantEvents(
      { id: GROUP, participants: [{ id: BOB }], action, author: ALICE },
      addresses,
    );
    assert.deepEqual(
      [event.type, event.data],
      ['group.updated', { group: GROUP, participants: [BOB], by: ALICE, action }],
    );
  }
});

test('a contact is told when something about it is new', async () => {
  const contacts = new Contacts();
  const news = (/** @type {any} */ contact) => contacts.news([contact]).length;
  assert.equal(news({ id: ALICE, notify: 'Alice' }), 1);
  assert.equal(news({ id: ALICE, notify: 'Alice', verifiedName: undefined }), 0);
  assert.equal(news({ id: ALICE, name: 'Alice A.' }), 1);
  assert.equal(news({ id: ALICE, notify: 'Ally' }), 1);
  assert.equal(news({ id: ALICE, imgUrl: 'changed' }), 1);
  assert.equal(news({ id: ALICE, imgUrl: 'changed' }), 1);
  assert.equal(news({ notify: 'nobody' }), 0);
  const [event] = await groups.contactEvents([{ id: ALICE_LID, notify: 'Alice' }], addresses);
  assert.deepEqual(event.data, { contact: ALICE, name: 'Alice', push_name: 'Alice' });
});

test('a time that is none is left out', () => {
  for (const seconds of [undefined, 0, NaN, -1]) assert.equal(timeOf(seconds), undefined);
});
