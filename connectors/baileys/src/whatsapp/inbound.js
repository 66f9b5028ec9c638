/**
 * Makes incoming messages durable before WhatsApp is told that they were delivered.
 *
 * Baileys sends the receipt right after it has decrypted a message and tells its caller about the message only afterwards.
 * The one step before the receipt that its caller may replace is the Signal repository: here, the decryption of a message's
 * last part returns only when the engine has acknowledged the message. Likewise nothing that is encrypted leaves before the
 * advanced session is kept. What a message means is not known here.
 */

import { proto, unpadRandomMax16 } from 'baileys';

/** Kinds that the Signal repository changes inside of a transaction that Baileys ends only after it has sent. */
const WRITTEN_THROUGH = ['session', 'sender-key'];

/**
 * @typedef {object} Parts what is known of a message that is being decrypted
 * @property {any} node
 * @property {number} left parts that are not decrypted
 * @property {any} message
 * @property {boolean} isNewSession whether keys came along that no one would send again by himself
 * @property {() => void} release lets credentials be written again
 */

export class Inbound {
  /** @type {WeakMap<object, Parts>} encrypted bytes → the message they are a part of */
  #parts = new WeakMap();
  #vault;
  #commit;
  #log;

  /**
   * @param {object} options
   * @param {import('./vault.js').Vault} options.vault
   * @param {(node: any, message: any) => Promise<void>} options.commit returns when the engine has the message
   * @param {import('pino').Logger} options.log
   */
  constructor({ vault, commit, log }) {
    this.#vault = vault;
    this.#commit = commit;
    this.#log = log;
  }

  /**
   * Runs Baileys' handler for a message stanza. Until the message is durable no credentials are written, so that after a
   * crash it can be decrypted again.
   *
   * @param {any} node
   * @param {() => Promise<void>} handle
   */
  async during(node, handle) {
    const encrypted = (Array.isArray(node.content) ? node.content : []).filter(isEncrypted);
    if (encrypted.length === 0) return handle();
    const parts = {
      node,
      left: encrypted.length,
      message: undefined,
      isNewSession: false,
      release: this.#vault.hold(),
    };
    for (const { content } of encrypted) this.#parts.set(content, parts);
    try {
      await handle();
    } finally {
      parts.release();
    }
  }

  /**
   * The maker of Signal repositories to give to Baileys.
   *
   * @param {Function} make Baileys' own
   */
  repositories(make) {
    return (/** @type {any} */ auth, /** @type {any[]} */ ...rest) => {
      const repository = make({ ...auth, keys: this.#writtenThrough(auth.keys) }, ...rest);
      return { ...repository, ...this.#decryption(repository), ...this.#encryption(repository) };
    };
  }

  /** @param {any} repository */
  #decryption(repository) {
    return {
      decryptMessage: (/** @type {any} */ asked) =>
        this.#decrypted(asked.ciphertext, asked.type === 'pkmsg', () => repository.decryptMessage(asked)),
      decryptGroupMessage: (/** @type {any} */ asked) =>
        this.#decrypted(asked.msg, false, () => repository.decryptGroupMessage(asked)),
      processSenderKeyDistributionMessage: async (/** @type {any} */ asked) => {
        await repository.processSenderKeyDistributionMessage(asked);
        // While the message is held the flush after its commit carries the key.
        if (!this.#vault.isHeld) await this.#vault.flush();
      },
    };
  }

  /** @param {any} repository */
  #encryption(repository) {
    const kept = (/** @type {string} */ name) => async (/** @type {any} */ asked) => {
      const encrypted = await repository[name](asked);
      await this.#vault.flush();
      return encrypted;
    };
    return {
      encryptMessage: kept('encryptMessage'),
      encryptGroupMessage: kept('encryptGroupMessage'),
      getSenderKeyDistributionMessage: kept('getSenderKeyDistributionMessage'),
    };
  }

  /**
   * @param {object} bytes
   * @param {boolean} isNewSession
   * @param {() => Promise<Uint8Array>} decrypt
   */
  async #decrypted(bytes, isNewSession, decrypt) {
    const parts = this.#parts.get(bytes);
    if (!parts) return decrypt();
    const plain = await this.#releasingOnFailure(parts, decrypt);
    const message = proto.Message.decode(unpadRandomMax16(plain));
    const content = message.deviceSentMessage?.message ?? message;
    parts.message = parts.message ? Object.assign(parts.message, content) : content;
    parts.isNewSession ||= isNewSession || !!content.senderKeyDistributionMessage;
    parts.left -= 1;
    if (parts.left === 0) {
      await this.#commit(parts.node, parts.message);
      parts.release();
      if (parts.isNewSession) await this.#vault.flush();
    }
    return plain;
  }

  /**
   * A message that cannot be decrypted is asked for again, which needs credentials to be written.
   *
   * @template T
   * @param {Parts} parts
   * @param {() => Promise<T>} decrypt
   */
  async #releasingOnFailure(parts, decrypt) {
    try {
      return await decrypt();
    } catch (error) {
      this.#log.info({ id: parts.node.attrs.id, err: error }, 'a message could not be decrypted');
      parts.release();
      throw error;
    }
  }

  /** @param {any} keys */
  #writtenThrough(keys) {
    return {
      ...keys,
      set: async (/** @type {any} */ data) => {
        await keys.set(data);
        const now = Object.fromEntries(Object.entries(data).filter(([kind]) => WRITTEN_THROUGH.includes(kind)));
        if (Object.keys(now).length > 0) this.#vault.put(now);
      },
    };
  }
}

/** @param {any} part */
function isEncrypted(part) {
  return part.tag === 'enc' && part.content instanceof Uint8Array && part.attrs.type !== 'msmsg';
}
