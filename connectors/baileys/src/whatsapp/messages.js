/**
 * Maps WhatsApp messages and what happens to them to the engine's `message.*` and `receipt.*` events.
 *
 * Stubs (Baileys' notes about groups, calls and what it could not decrypt) become nothing here: groups have events of their
 * own, and what could not be decrypted comes again under the same id.
 */

import { proto } from 'baileys';
import { describe, meaningOf } from './content.js';
import { compact, idOf, numberOf, timeOf } from './frames.js';

const { Status } = proto.WebMessageInfo;

/**
 * @typedef {import('./frames.js').EventFrame} EventFrame
 * @typedef {import('./frames.js').MessageKey} MessageKey
 * @typedef {import('./addresses.js').Addresses} Addresses
 */

/**
 * The key of a message as the engine knows it. What the account sent itself, from here or from the phone, has no sender.
 *
 * @param {any} key a `WAMessageKey`
 * @param {Addresses} addresses
 * @returns {Promise<MessageKey>}
 */
export async function keyOf(key, addresses) {
  const chat = await addresses.known(key.remoteJid, key.remoteJidAlt);
  if (key.fromMe) return { chat, sender: '', id: key.id ?? '' };
  const sender = key.participant ? await addresses.known(key.participant, key.participantAlt) : chat;
  return { chat, sender, id: key.id ?? '' };
}

/**
 * The events that a message is: one or none.
 *
 * @param {any} info a `WebMessageInfo`
 * @param {Addresses} addresses
 * @param {{ isHistory?: boolean }} [options]
 * @returns {Promise<EventFrame[]>}
 */
export async function messageEvents(info, addresses, { isHistory = false } = {}) {
  if (info.messageStubType || !info.key?.remoteJid || !info.key.id || info.category === 'peer') return [];
  const meaning = meaningOf(info.message);
  if (meaning.what === 'nothing') return [];
  const own = await keyOf(info.key, addresses);
  const timestamp = numberOf(info.messageTimestamp);
  const at = timeOf(timestamp);
  switch (meaning.what) {
    case 'received': {
      const data = {
        key: own,
        ...aboutMessage(info, timestamp),
        ...(isHistory ? { is_history: true } : {}),
        ...describe(info.message),
      };
      return [frame('message.received', own, at, data, idOf('received', own.chat, own.sender, own.id))];
    }
    case 'updated': {
      const key = { ...own, id: meaning.target.id };
      const data = { key, ...aboutMessage(info, timestamp), ...describe(meaning.content) };
      return [frame('message.updated', key, at, data, idOf('updated', key.chat, key.sender, key.id, own.id))];
    }
    case 'deleted': {
      const key = { ...own, sender: await authorOf(meaning.target, own, addresses), id: meaning.target.id };
      const data = compact({ key, from_me: !!info.key.fromMe, by: own.sender, timestamp });
      return [frame('message.deleted', key, at, data, idOf('deleted', key.chat, key.sender, key.id, own.id))];
    }
  }
}

/**
 * Messages that were removed from this account only, for instance on the phone.
 *
 * @param {any} deletion Baileys' `messages.delete`
 * @param {Addresses} addresses
 * @returns {Promise<EventFrame[]>}
 */
export async function deletionEvents(deletion, addresses) {
  // A whole chat that was emptied names no messages.
  const keys = deletion.keys ?? [];
  return Promise.all(
    keys.map(async (/** @type {any} */ raw) => {
      const key = await keyOf(raw, addresses);
      return frame(
        'message.deleted',
        key,
        undefined,
        { key, from_me: true, by: '', only_here: true },
        idOf('hidden', key.chat, key.sender, key.id),
      );
    }),
  );
}

/**
 * Receipts in chats with one person, which Baileys tells as a message's new status.
 *
 * @param {any[]} updates Baileys' `messages.update`
 * @param {Addresses} addresses
 * @returns {Promise<EventFrame[]>}
 */
export async function statusEvents(updates, addresses) {
  const events = [];
  for (const { key: raw, update } of updates) {
    // Edits and deletions come here too; they were told when the message that carries them came.
    const type = receiptType(update?.status);
    if (!type || !raw.id) continue;
    const key = await keyOf(raw, addresses);
    const by = raw.fromMe ? key.chat : '';
    events.push(receipt(type, key, by, numberOf(update.messageTimestamp), update.status === Status.PLAYED));
  }
  return events;
}

/**
 * Receipts of a group's members.
 *
 * @param {any[]} updates Baileys' `message-receipt.update`
 * @param {Addresses} addresses
 * @returns {Promise<EventFrame[]>}
 */
export async function receiptEvents(updates, addresses) {
  const events = [];
  for (const { key: raw, receipt: told } of updates) {
    if (!raw.id) continue;
    const key = await keyOf({ ...raw, participant: raw.fromMe ? undefined : raw.participant }, addresses);
    const by = await addresses.known(told.userJid);
    const read = numberOf(told.playedTimestamp ?? told.readTimestamp);
    const type = read ? 'receipt.read' : 'receipt.delivery';
    events.push(receipt(type, key, by, read ?? numberOf(told.receiptTimestamp), !!told.playedTimestamp));
  }
  return events;
}

/** @param {number | null | undefined} status */
function receiptType(status) {
  if (status === Status.DELIVERY_ACK) return 'receipt.delivery';
  return status === Status.READ || status === Status.PLAYED ? 'receipt.read' : undefined;
}

/**
 * @param {string} type
 * @param {MessageKey} key
 * @param {string} by
 * @param {number | undefined} timestamp
 * @param {boolean} wasPlayed
 */
function receipt(type, key, by, timestamp, wasPlayed) {
  const data = { ...compact({ key, by, timestamp }), ...(wasPlayed ? { played: true } : {}) };
  return frame(
    type,
    key,
    timeOf(timestamp),
    data,
    idOf(type, key.chat, key.sender, key.id, by, timestamp, wasPlayed ? 'played' : ''),
  );
}

/**
 * Who wrote a message that is taken back: an administrator may take back somebody else's.
 *
 * @param {any} target the key in the eyes of who takes it back
 * @param {MessageKey} own the key of the message that says so
 * @param {Addresses} addresses
 */
async function authorOf(target, own, addresses) {
  if (target.fromMe || !target.participant) return own.sender;
  return addresses.isMe(target.participant) ? '' : addresses.known(target.participant);
}

/**
 * @param {any} info
 * @param {number | undefined} timestamp
 */
function aboutMessage(info, timestamp) {
  return compact({
    from_me: !!info.key.fromMe,
    push_name: info.pushName || undefined,
    timestamp,
    chat_lid: lidOf(info.key.remoteJid, info.key.remoteJidAlt),
    sender_lid: lidOf(info.key.participant, info.key.participantAlt),
  });
}

/**
 * WhatsApp's own number for a person, for those who need it beside the telephone number.
 *
 * @param {Array<string | null | undefined>} jids
 */
function lidOf(...jids) {
  return jids.find((jid) => jid?.endsWith('@lid')) ?? undefined;
}

/**
 * @param {string} type
 * @param {MessageKey} key
 * @param {string | undefined} at
 * @param {unknown} data
 * @param {string} id
 * @returns {EventFrame}
 */
function frame(type, key, at, data, id) {
  return { id, type, ...(at ? { at } : {}), key, data };
}
