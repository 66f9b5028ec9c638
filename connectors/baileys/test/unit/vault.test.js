import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { initAuthCreds, proto } from 'baileys';
import { TooLarge, giveUp, packWithin, unpack, writerOf } from '../../src/whatsapp/blob.js';
import { Vault } from '../../src/whatsapp/vault.js';
import { log } from '../harness.js';

const WRITER = randomBytes(16);

/** A place that keeps what it is given, and remembers each write. */
function place(/** @type {Buffer | undefined} */ kept = undefined) {
  const here = {
    kept,
    /** @type {Buffer[]} */
    writes: [],
    load: async () => here.kept,
    save: async (/** @type {any} */ bytes, /** @type {any} */ mayReplace) => {
      if (!mayReplace(here.kept)) throw new Error('stale');
      here.kept = bytes;
      here.writes.push(bytes);
    },
  };
  return here;
}

/** @returns {Promise<{ vault: Vault, here: ReturnType<typeof place> }>} */
async function opened(/** @type {any} */ options = {}) {
  const here = options.here ?? place();
  const vault = new Vault({ place: here, log, gatherMs: 1_000_000, ...options });
  await vault.open();
  return { vault, here };
}

test('a state survives being packed, bytes and all', async () => {
  const creds = initAuthCreds();
  const keys = new Map([['session', new Map([['1.0', { chain: randomBytes(40) }]])]]);
  const { blob } = await packWithin({ creds, keys }, WRITER);
  const again = await unpack(blob);
  assert.deepEqual(again.creds.noiseKey, creds.noiseKey);
  assert.deepEqual(again.keys.get('session')?.get('1.0'), keys.get('session')?.get('1.0'));
  assert.deepEqual(writerOf(blob), WRITER);
});

test('what is no blob of ours is not taken over', async () => {
  await assert.rejects(unpack(Buffer.from('something else that is long enough')), /not of this connector/);
});

test('credentials that are too large lose caches first, then what was not used for longest', async () => {
  const value = () => randomBytes(1_000).toString('base64');
  const many = (/** @type {number} */ count) =>
    new Map(Array.from({ length: count }, (_, index) => [`${index}`, value()]));
  const keys = new Map([
    ['pre-key', many(10)],
    ['session', many(40)],
    ['sender-key', many(10)],
    ['device-list', many(10)],
  ]);
  const { blob, dropped } = await packWithin({ creds: initAuthCreds(), keys }, WRITER, 50_000);
  assert.ok(blob.length <= 50_000);
  assert.ok(dropped > 20);
  assert.equal(keys.get('device-list')?.size, 0);
  assert.equal(keys.get('sender-key')?.size, 0);
  assert.equal(keys.get('pre-key')?.size, 10);
  const left = [...(keys.get('session')?.keys() ?? [])].map(Number);
  assert.ok(left.length > 0 && left.length < 40);
  assert.equal(left.at(-1), 39, 'the one used last is kept');
  assert.equal(left[0], 40 - left.length, 'the oldest went');
});

test('keys that nobody can give again are never given up', async () => {
  const keys = new Map([['pre-key', new Map([['1', randomBytes(5_000).toString('base64')]])]]);
  assert.equal(giveUp(keys, 1_000), 0);
  await assert.rejects(packWithin({ creds: initAuthCreds(), keys }, WRITER, 1_000), TooLarge);
});

test('fresh credentials are kept before anything is done with them', async () => {
  const { here } = await opened();
  assert.equal(here.writes.length, 1);
});

test('changes are gathered, and flushed as one write', async () => {
  const { vault, here } = await opened();
  for (let id = 0; id < 10; id += 1) await vault.keys.set({ session: { [id]: /** @type {any} */ ({ id }) } });
  assert.equal(here.writes.length, 1);
  await Promise.all([vault.flush(), vault.flush()]);
  assert.equal(here.writes.length, 2);
  await vault.flush();
  assert.equal(here.writes.length, 2, 'nothing has changed');
  vault.close();
});

test('new pre-keys are kept before they can be published', async () => {
  const { vault, here } = await opened();
  await vault.keys.set({
    'pre-key': { 1: /** @type {any} */ ({ public: randomBytes(32), private: randomBytes(32) }) },
  });
  assert.equal(here.writes.length, 2);
  await vault.keys.set({ 'pre-key': { 1: null } });
  assert.equal(here.writes.length, 2, 'one that is used up can wait');
  vault.close();
});

test('nothing is written while it is held', async () => {
  const { vault, here } = await opened();
  const releases = [vault.hold(), vault.hold()];
  vault.changed();
  const flushed = vault.flush();
  releases[0]();
  releases[0]();
  await Promise.resolve();
  assert.equal(here.writes.length, 1);
  releases[1]();
  await flushed;
  assert.equal(here.writes.length, 2);
  vault.close();
});

test('another vault takes over what is kept, and the first one may not write over it', async () => {
  const { vault: first, here } = await opened();
  await first.keys.set({ session: { a: /** @type {any} */ ('one') } });
  await first.flush();
  const { vault: second } = await opened({ here });
  assert.deepEqual(await second.keys.get('session', ['a', 'b']), { a: 'one' });
  assert.equal(await first.isStale(), false, 'reading alone changes nothing');
  second.changed();
  await second.flush();
  assert.equal(await first.isStale(), true);
  /** @type {unknown} */
  let failure;
  first.onFailure = (error) => (failure = error);
  first.changed();
  await assert.rejects(first.flush(), /stale/);
  assert.ok(failure);
  first.close();
  second.close();
});

test('a session that is used is not the next to be given up', async () => {
  const { vault, here } = await opened();
  await vault.keys.set({ session: { a: /** @type {any} */ (1), b: /** @type {any} */ (2) } });
  await vault.keys.get('session', ['a']);
  await vault.flush();
  const { keys } = await unpack(/** @type {Buffer} */ (here.kept));
  assert.deepEqual([...(keys.get('session')?.keys() ?? [])], ['b', 'a']);
  vault.close();
});

test('values that Baileys changes in place are given as copies', async () => {
  const { vault } = await opened();
  await vault.keys.set({ 'device-list': { 1: ['0'] } });
  const { 1: list } = await vault.keys.get('device-list', ['1']);
  list.push('9');
  assert.deepEqual(await vault.keys.get('device-list', ['1']), { 1: ['0'] });
  vault.close();
});

test('keys of the app state come back as what Baileys expects', async () => {
  const { vault, here } = await opened();
  await vault.keys.set({ 'app-state-sync-key': { k: /** @type {any} */ ({ keyData: randomBytes(32) }) } });
  await vault.flush();
  const { vault: again } = await opened({ here });
  const { k } = await again.keys.get('app-state-sync-key', ['k']);
  assert.ok(k instanceof proto.Message.AppStateSyncKeyData);
  vault.close();
  again.close();
});

test('a reset leaves nothing of the account', async () => {
  const { vault, here } = await opened();
  const { noiseKey } = vault.creds;
  await vault.keys.set({ session: { a: /** @type {any} */ (1) } });
  await vault.reset();
  const kept = await unpack(/** @type {Buffer} */ (here.kept));
  assert.equal(kept.keys.size, 0);
  assert.notDeepEqual(kept.creds.noiseKey, noiseKey);
  vault.close();
});
