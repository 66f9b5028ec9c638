/**
 * Remembers, for a few chats, the oldest message seen: from there the phone can be asked for older ones.
 *
 * Keys only, no content, a bounded number, and in memory only.
 */

import { Recent } from '../recent.js';
import { numberOf } from './frames.js';

const CHATS_MAX = 200;

/** @typedef {{ key: any, timestamp: number }} Anchor */

export class Anchors {
  /** @type {Recent<string, Anchor>} */
  #oldest = new Recent(CHATS_MAX);

  /**
   * A message was seen.
   *
   * @param {any} info a `WebMessageInfo`
   * @param {string} chat the chat as the engine knows it
   */
  saw(info, chat) {
    const timestamp = numberOf(info.messageTimestamp);
    if (!timestamp || !info.key?.id) return;
    const known = this.#oldest.get(chat);
    if (known && known.timestamp <= timestamp) return;
    const { remoteJid, id, fromMe, participant } = info.key;
    this.#oldest.set(chat, {
      key: { remoteJid, id, fromMe: !!fromMe, participant: participant || undefined },
      timestamp,
    });
  }

  /**
   * From where to ask for a chat, or for those that were active last.
   *
   * @param {string | undefined} chat
   * @param {number} max
   * @returns {Anchor[]}
   */
  of(chat, max) {
    const chats = chat ? [chat] : this.#oldest.keys().slice(-max);
    return chats.flatMap((name) => this.#oldest.get(name) ?? []);
  }
}
