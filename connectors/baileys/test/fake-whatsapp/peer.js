/**
 * Somebody on WhatsApp with one phone: has Signal keys, encrypts to a device of the connector and decrypts from it.
 */

import {
  Curve,
  DEFAULT_CONNECTION_CONFIG,
  addTransactionCapability,
  encodeBigEndian,
  encodeWAMessage,
  generateSignalPubKey,
  initAuthCreds,
  proto,
  unpadRandomMax16,
  xmppPreKey,
  xmppSignedPreKey,
} from 'baileys';
import pino from 'pino';

const log = pino({ level: 'silent' });
const PRE_KEY = 1;

export class Peer {
  number;
  jid;
  lid;
  #creds = initAuthCreds();
  #keys = memoryKeys();
  #repository;
  #preKey = Curve.generateKeyPair();
  #isAcquainted = new Set();

  /** @param {string} number */
  constructor(number) {
    this.number = number;
    this.jid = `${number}@s.whatsapp.net`;
    this.lid = `9${number}@lid`;
    const keys = addTransactionCapability(this.#keys, log, { maxCommitRetries: 1, delayBetweenTriesMs: 1 });
    void this.#keys.set({ 'pre-key': { [PRE_KEY]: this.#preKey } });
    this.#repository = DEFAULT_CONNECTION_CONFIG.makeSignalRepository(
      /** @type {any} */ ({ creds: this.#creds, keys }),
      log,
    );
  }

  /** What WhatsApp gives to those who want to write to this peer. */
  bundle(/** @type {string} */ jid) {
    return {
      tag: 'user',
      attrs: { jid },
      content: [
        { tag: 'registration', attrs: {}, content: encodeBigEndian(this.#creds.registrationId) },
        { tag: 'type', attrs: {}, content: Buffer.from([5]) },
        { tag: 'identity', attrs: {}, content: this.#creds.signedIdentityKey.public },
        xmppPreKey(this.#preKey, PRE_KEY),
        xmppSignedPreKey(this.#creds.signedPreKey),
      ],
    };
  }

  /**
   * Encrypts a message to a device; the first time with one of the keys that it has published.
   *
   * @param {import('./server.js').Account} account
   * @param {any} message
   */
  async encrypt(account, message) {
    if (!this.#isAcquainted.has(account.jid)) {
      await this.#repository.injectE2ESession({ jid: account.jid, session: account.takeBundle() });
      this.#isAcquainted.add(account.jid);
    }
    const { type, ciphertext } = await this.#repository.encryptMessage({
      jid: account.jid,
      data: encodeWAMessage(message),
    });
    return { tag: 'enc', attrs: { v: '2', type }, content: ciphertext };
  }

  /**
   * Encrypts a message to a group, with this peer's key for those who have it not.
   *
   * @param {import('./server.js').Account} account
   * @param {string} group
   * @param {any} message
   */
  async encryptToGroup(account, group, message) {
    const data = encodeWAMessage(message);
    const { ciphertext, senderKeyDistributionMessage } = await this.#repository.encryptGroupMessage({
      group,
      meId: this.jid,
      data,
    });
    const key = {
      senderKeyDistributionMessage: {
        groupId: group,
        axolotlSenderKeyDistributionMessage: senderKeyDistributionMessage,
      },
    };
    return [await this.encrypt(account, key), { tag: 'enc', attrs: { v: '2', type: 'skmsg' }, content: ciphertext }];
  }

  /**
   * What a stanza of the connector says to this peer.
   *
   * @param {import('./server.js').Account} account
   * @param {any} node
   */
  async decrypt(account, node) {
    const to = childrenOf(childOf(node, 'participants')).find((to) =>
      [this.jid, this.lid].includes(plain(to.attrs.jid)),
    );
    const enc = childOf(to, 'enc');
    const bytes = await this.#repository.decryptMessage({
      jid: account.jid,
      type: enc.attrs.type,
      ciphertext: enc.content,
    });
    this.#isAcquainted.add(account.jid);
    return proto.Message.decode(unpadRandomMax16(bytes));
  }

  /**
   * What a stanza of the connector to a group says to this peer.
   *
   * @param {import('./server.js').Account} account
   * @param {any} node
   */
  async decryptFromGroup(account, node) {
    const key = await this.decrypt(account, node);
    await this.#repository.processSenderKeyDistributionMessage({
      item: /** @type {any} */ (key.senderKeyDistributionMessage),
      authorJid: account.jid,
    });
    const bytes = await this.#repository.decryptGroupMessage({
      group: node.attrs.to,
      authorJid: account.jid,
      msg: childOf(node, 'enc').content,
    });
    return proto.Message.decode(unpadRandomMax16(bytes));
  }
}

/** What a device has published, one pre-key less each time. */
export function bundleOf(/** @type {any} */ upload, /** @type {any[]} */ preKeys) {
  const signed = childOf(upload, 'skey');
  const preKey = preKeys.shift();
  const keyOf = (/** @type {any} */ node) => ({
    keyId: Buffer.from(childOf(node, 'id').content).readUIntBE(0, 3),
    publicKey: generateSignalPubKey(childOf(node, 'value').content),
  });
  return {
    registrationId: Buffer.from(childOf(upload, 'registration').content).readUInt32BE(),
    identityKey: generateSignalPubKey(childOf(upload, 'identity').content),
    signedPreKey: { ...keyOf(signed), signature: childOf(signed, 'signature').content },
    preKey: keyOf(preKey),
  };
}

/** @returns {any[]} */
export function childrenOf(/** @type {any} */ node) {
  return Array.isArray(node?.content) ? node.content : [];
}

/** @returns {any} */
export function childOf(/** @type {any} */ node, /** @type {string} */ tag) {
  return childrenOf(node).find((child) => child.tag === tag);
}

/** A JID without its device. */
export function plain(/** @type {string} */ jid) {
  return jid.replace(/:\d+@/, '@');
}

/** @returns {any} */
function memoryKeys() {
  /** @type {Record<string, any>} */
  const kept = {};
  return {
    get: async (/** @type {string} */ kind, /** @type {string[]} */ ids) =>
      Object.fromEntries(ids.filter((id) => kept[`${kind}/${id}`]).map((id) => [id, kept[`${kind}/${id}`]])),
    set: async (/** @type {any} */ data) => {
      for (const [kind, entries] of Object.entries(data))
        for (const [id, value] of Object.entries(/** @type {any} */ (entries))) kept[`${kind}/${id}`] = value;
    },
  };
}
