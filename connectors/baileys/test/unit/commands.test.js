import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import { Commander } from '../../src/commander.js';
import { LinkLost, commandNames, messageIdOf } from '../../src/whatsapp/commands.js';
import { download, isPublic } from '../../src/whatsapp/download.js';
import { Anchors } from '../../src/whatsapp/history.js';
import { contentOf, quotedOf } from '../../src/whatsapp/outgoing.js';
import { privacyChanges, shownPrivacy } from '../../src/whatsapp/privacy.js';
import { refusalOf } from '../../src/whatsapp/refused.js';

const TO = '49170@s.whatsapp.net';
const GROUP = '1203@g.us';
const fetch = async (/** @type {string} */ url) => Buffer.from(url);
const soon = () => new Date(Date.now() + 5_000).toISOString();

test('all eight commands are known', () => {
  assert.deepEqual(commandNames, [
    'message.send',
    'group.create',
    'group.info',
    'group.participants.add',
    'group.participants.remove',
    'privacy.get',
    'privacy.set',
    'history.sync',
  ]);
});

test('what a client sends becomes what Baileys sends', async () => {
  const content = (/** @type {any} */ args) => contentOf({ to: TO, ...args }, fetch);
  assert.deepEqual(await content({ text: 'hi' }), { text: 'hi', linkPreview: null });
  assert.deepEqual(await content({ text: 'look', media: { url: 'u', type: 'image' } }), {
    image: Buffer.from('u'),
    caption: 'look',
  });
  assert.deepEqual(await content({ media: { base64: 'aGk=', mimetype: 'application/pdf', file_name: 'a.pdf' } }), {
    document: Buffer.from('hi'),
    mimetype: 'application/pdf',
    fileName: 'a.pdf',
  });
  assert.deepEqual(await content({ media: { base64: 'aGk=', mimetype: 'audio/ogg', is_voice: true } }), {
    audio: Buffer.from('hi'),
    mimetype: 'audio/ogg',
    ptt: true,
  });
  assert.deepEqual(await content({ location: { latitude: 1, longitude: 2, name: 'x' } }), {
    location: { degreesLatitude: 1, degreesLongitude: 2, name: 'x', address: undefined },
  });
  assert.deepEqual(await content({ poll: { question: 'when?', options: ['now', 'then'] } }), {
    poll: { name: 'when?', values: ['now', 'then'], selectableCount: 1 },
  });
  assert.match(
    (await content({ contact: { name: 'Bob', phone: '+49 171' } })).contacts.contacts[0].vcard,
    /waid=49171:\+49171/,
  );
});

test('reactions, edits and deletions name their message', async () => {
  const content = (/** @type {any} */ args) => contentOf({ to: GROUP, ...args }, fetch);
  assert.deepEqual(await content({ reaction: { id: 'M1', sender: TO, emoji: '👍' } }), {
    react: { text: '👍', key: { remoteJid: GROUP, id: 'M1', fromMe: false, participant: TO } },
  });
  assert.deepEqual(await content({ edit: { id: 'M1', text: 'better' } }), {
    text: 'better',
    linkPreview: null,
    edit: { remoteJid: GROUP, id: 'M1', fromMe: true },
  });
  assert.deepEqual(await content({ delete: 'M1' }), { delete: { remoteJid: GROUP, id: 'M1', fromMe: true } });
  assert.deepEqual(await content({ delete: { id: 'M1', sender: TO } }), {
    delete: { remoteJid: GROUP, id: 'M1', fromMe: false, participant: TO },
  });
  assert.deepEqual(quotedOf({ to: TO, reply_to: 'M1' }), {
    key: { remoteJid: TO, id: 'M1', fromMe: false },
    message: { conversation: '' },
  });
  assert.equal(quotedOf({ to: TO }), undefined);
});

test('what cannot be sent is refused with the member that is wrong', async () => {
  const wrong = /** @type {Array<[any, RegExp]>} */ ([
    [{}, /one of media/],
    [{ text: 7 }, /^text/],
    [{ media: { type: 'image' } }, /url or base64/],
    [{ media: { type: 'hologram', base64: 'aGk=' } }, /media.type/],
    [{ location: { latitude: 1 } }, /location/],
    [{ poll: { name: 'x', options: ['one'] } }, /poll.options/],
    [{ reaction: {} }, /reaction.id/],
  ]);
  for (const [args, message] of wrong)
    await assert.rejects(
      contentOf({ to: TO, ...args }, fetch),
      (/** @type {any} */ error) => error.code === 'invalid_field' && message.test(error.message),
    );
});

test('privacy settings are translated both ways', () => {
  assert.deepEqual(shownPrivacy({ online: 'match_last_seen', last: 'contact_blacklist', profile: 'all' }), {
    online: 'matches',
    lastSeen: 'contact_blacklist',
  });
  assert.deepEqual(privacyChanges({ online: 'matches', groupAdd: 'contacts' }), [
    { change: 'updateOnlinePrivacy', value: 'match_last_seen' },
    { change: 'updateGroupsAddPrivacy', value: 'contacts' },
  ]);
  assert.throws(() => privacyChanges({ shoeSize: 'all' }), { code: 'unknown_field' });
  assert.throws(() => privacyChanges({ online: 'none' }), { code: 'invalid_field' });
});

test('a command makes the same WhatsApp message each time', () => {
  assert.match(messageIdOf('msg_1'), /^3EB0[0-9A-F]{18}$/);
  assert.equal(messageIdOf('msg_1'), messageIdOf('msg_1'));
  assert.notEqual(messageIdOf('msg_1'), messageIdOf('msg_2'));
});

test('what WhatsApp answers becomes a code', () => {
  assert.deepEqual(refusalOf(Object.assign(new Error('forbidden'), { data: 403 })), {
    code: 'whatsapp_403',
    message: 'forbidden',
  });
  assert.deepEqual(refusalOf(Object.assign(new Error('gone'), { output: { statusCode: 410 } })), {
    code: 'whatsapp_410',
    message: 'gone',
  });
  assert.deepEqual(refusalOf(new Error('oh')), { code: 'failed', message: 'oh' });
});

/** A socket that answers `privacy.get`, as often as it is allowed to. */
function answering(/** @type {() => any} */ answer) {
  return /** @type {any} */ ({
    sock: { ws: new EventEmitter(), ev: new EventEmitter(), fetchPrivacySettings: async () => answer() },
  });
}

test('a command is carried out once, however often it comes', async () => {
  let count = 0;
  const commander = new Commander(async () => answering(() => ({ online: ((count += 1), 'all') })));
  const command = { id: 'cmd_1', name: 'privacy.get', args: {}, deadline: soon() };
  const results = await Promise.all([commander.carryOut(command), commander.carryOut(command)]);
  assert.deepEqual(results[0], { id: 'cmd_1', ok: true, data: { online: 'all' } });
  assert.equal(results[1], results[0]);
  assert.equal(count, 1);
});

test('a command whose connection breaks is carried out on the next, if it may be repeated', async () => {
  let tries = 0;
  const commander = new Commander(async () =>
    answering(() => {
      tries += 1;
      if (tries === 1) throw new LinkLost();
      return { online: 'all' };
    }),
  );
  const result = await commander.carryOut({ id: 'cmd_1', name: 'privacy.get', args: {}, deadline: soon() });
  assert.equal(result.ok, true);
  assert.equal(tries, 2);
});

test('a command that is not known, has no connection or is late is refused', async () => {
  const code = async (/** @type {any} */ connected, /** @type {any} */ command) => {
    const result = await new Commander(connected).carryOut({ id: 'cmd_1', args: {}, deadline: soon(), ...command });
    return result.ok ? 'ok' : result.error.code;
  };
  assert.equal(await code(async () => answering(() => ({})), { name: 'teapot.boil' }), 'unknown_command');
  assert.equal(await code(async () => answering(() => ({})), { name: 'toString' }), 'unknown_command');
  assert.equal(await code(async () => undefined, { name: 'group.info' }), 'not_connected');
  const never = (/** @type {AbortSignal} */ signal) =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined)));
  assert.equal(await code(never, { name: 'group.info', deadline: new Date(0).toISOString() }), 'deadline');
});

test('messages to one chat keep their order', async () => {
  /** @type {Array<() => void>} */
  const releases = [];
  /** @type {string[]} */
  const begun = [];
  const sock = {
    ws: new EventEmitter(),
    ev: new EventEmitter(),
    sendMessage: async (/** @type {string} */ _to, /** @type {any} */ { text }, /** @type {any} */ { messageId }) => {
      begun.push(text);
      await new Promise((resolve) => releases.push(() => resolve(undefined)));
      sock.ws.emit(`CB:ack,id:${messageId}`, { attrs: {} });
    },
  };
  const commander = new Commander(
    async () => /** @type {any} */ ({ sock, fetch, addresses: { known: async (/** @type {string} */ jid) => jid } }),
  );
  const send = (/** @type {string} */ to, /** @type {string} */ text) =>
    commander.carryOut({ id: `msg_${text}`, name: 'message.send', args: { to, text }, deadline: soon() });
  const results = [send(TO, 'one'), send(TO, 'two'), send(GROUP, 'three')];
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(begun, ['one', 'three']);
  releases.splice(0).forEach((release) => release());
  await results[0];
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(begun, ['one', 'three', 'two']);
  releases.splice(0).forEach((release) => release());
  assert.ok((await Promise.all(results)).every((result) => result.ok));
});

test('history begins at the oldest message that was seen', () => {
  const anchors = new Anchors();
  for (const [id, messageTimestamp] of /** @type {Array<[string, number]>} */ ([
    ['M2', 20],
    ['M1', 10],
    ['M3', 30],
  ])) {
    anchors.saw({ key: { remoteJid: TO, id, fromMe: false }, messageTimestamp }, TO);
  }
  assert.deepEqual(
    anchors.of(TO, 5).map(({ key, timestamp }) => [key.id, timestamp]),
    [['M1', 10]],
  );
  assert.deepEqual(anchors.of(GROUP, 5), []);
  assert.equal(anchors.of(undefined, 5).length, 1);
});

test('addresses that not everybody can reach are known', () => {
  for (const address of [
    '127.0.0.1',
    '10.1.2.3',
    '169.254.169.254',
    '192.168.1.1',
    '::1',
    'fe80::1',
    'fc00::1',
    '::ffff:10.0.0.1',
    'nonsense',
  ])
    assert.equal(isPublic(address), false, address);
  for (const address of ['1.1.1.1', '2606:4700::1111', '::ffff:1.1.1.1'])
    assert.equal(isPublic(address), true, address);
});

test('media are fetched from public addresses only, and not without end', async (t) => {
  const server = http.createServer((request, response) => {
    if (request.url === '/moved') return response.writeHead(302, { location: '/file' }).end();
    if (request.url === '/gone') return response.writeHead(404).end();
    return response.end('x'.repeat(100));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => server.close());
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const at = (/** @type {string} */ path, host = '127.0.0.1') => `http://${host}:${port}${path}`;
  await assert.rejects(download(at('/file')), { code: 'invalid_field' });
  await assert.rejects(download(at('/file', 'localhost')), { code: 'invalid_field' });
  await assert.rejects(download('file:///etc/passwd', { mayBePrivate: true }), { code: 'invalid_field' });
  assert.equal((await download(at('/moved'), { mayBePrivate: true })).length, 100);
  await assert.rejects(download(at('/gone'), { mayBePrivate: true }), { code: 'media_unreachable' });
  await assert.rejects(download(at('/file'), { mayBePrivate: true, bytesMax: 99 }), { code: 'media_too_large' });
});
