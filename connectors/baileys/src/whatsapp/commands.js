/**
 * Carries out the engine's commands on a WhatsApp socket.
 *
 * Each returns what the engine gets as `data`, or throws `Refused`. When and how often a command is tried is decided by the
 * session.
 */

import { createHash } from 'node:crypto';
import { contentOf, quotedOf } from './outgoing.js';
import { groupData } from './groups.js';
import { privacyChanges, shownPrivacy } from './privacy.js';
import { Refused } from './refused.js';
import { compact, numberOf } from './frames.js';

const MESSAGE_ID_PREFIX = '3EB0';
const MESSAGE_ID_DIGITS = 18;
const HISTORY_COUNT = 50;
const HISTORY_CHATS_MAX = 20;

/** The connection ended before WhatsApp had answered: the same command may be tried again on the next. */
export class LinkLost extends Error {
  constructor() {
    super('the connection to WhatsApp ended before it answered');
  }
}

/**
 * @typedef {object} Context
 * @property {any} sock Baileys' socket
 * @property {import('./addresses.js').Addresses} addresses
 * @property {import('./history.js').Anchors} anchors
 * @property {(url: string) => Promise<Buffer>} fetch
 */

/** @type {Record<string, (context: Context, args: any, id: string) => Promise<unknown>>} */
const COMMANDS = {
  'message.send': sendMessage,
  'group.create': async ({ sock, addresses }, { subject, participants }) =>
    groupData(await sock.groupCreate(subject, participants ?? []), addresses),
  'group.info': async ({ sock, addresses }, args) => groupData(await sock.groupMetadata(groupOf(args)), addresses),
  'group.participants.add': (context, args) => changeParticipants(context, args, 'add'),
  'group.participants.remove': (context, args) => changeParticipants(context, args, 'remove'),
  'privacy.get': async ({ sock }) => shownPrivacy(await sock.fetchPrivacySettings(true)),
  'privacy.set': setPrivacy,
  'history.sync': syncHistory,
};

/**
 * @param {Context} context
 * @param {import('../engine/link.js').Command} command
 * @returns {Promise<unknown>}
 */
export function carryOut(context, { id, name, args }) {
  const run = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!run) throw new Refused('unknown_command', `this connector does not know ${name}`);
  return run(context, args ?? {}, id);
}

/** The names of all commands. */
export const commandNames = Object.keys(COMMANDS);

/**
 * The id of the WhatsApp message that a command becomes: always the same one, so that a command that is carried out twice
 * is shown once.
 *
 * @param {string} command
 */
export function messageIdOf(command) {
  const digest = createHash('sha256').update(command).digest('hex').toUpperCase();
  return MESSAGE_ID_PREFIX + digest.slice(0, MESSAGE_ID_DIGITS);
}

/**
 * @param {Context} context
 * @param {any} args
 * @param {string} id
 */
async function sendMessage({ sock, fetch, addresses }, args, id) {
  const content = await contentOf(args, fetch);
  const messageId = messageIdOf(args.id ?? id);
  const answer = serverAck(sock, messageId);
  try {
    await sock.sendMessage(args.to, content, { messageId, quoted: quotedOf(args) });
    const { attrs } = await answer.came;
    if (attrs.error)
      throw new Refused(`whatsapp_${attrs.error}`, `WhatsApp refused the message with error ${attrs.error}`);
    const key = { chat: await addresses.known(args.to), sender: '', id: messageId };
    return compact({ key, timestamp: numberOf(attrs.t) });
  } finally {
    answer.forget();
  }
}

/**
 * Waits for WhatsApp's server to take a message. Baileys itself does not.
 *
 * @param {any} sock
 * @param {string} id
 */
function serverAck(sock, id) {
  const event = `CB:ack,id:${id}`;
  let forget = () => {};
  /** @type {Promise<any>} */
  const came = new Promise((resolve, reject) => {
    const lost = (/** @type {any} */ update) => {
      if (update.connection === 'close') reject(new LinkLost());
    };
    sock.ws.on(event, resolve);
    sock.ev.on('connection.update', lost);
    forget = () => {
      sock.ws.off(event, resolve);
      sock.ev.off('connection.update', lost);
    };
  });
  // Nobody listens if the message could not even be sent.
  came.catch(() => undefined);
  return { came, forget };
}

/**
 * @param {Context} context
 * @param {any} args
 * @param {'add' | 'remove'} action
 */
async function changeParticipants({ sock, addresses }, args, action) {
  const group = groupOf(args);
  const changed = await sock.groupParticipantsUpdate(group, args.participants ?? [], action);
  const participants = await Promise.all(
    changed.map(async (/** @type {any} */ one) => ({
      jid: await addresses.known(one.jid, one.content?.attrs?.phone_number),
      status: String(one.status),
    })),
  );
  return { group, participants };
}

/**
 * @param {Context} context
 * @param {any} args
 */
async function setPrivacy({ sock }, args) {
  for (const { change, value } of privacyChanges(args)) await sock[change](value);
  return shownPrivacy(await sock.fetchPrivacySettings(true));
}

/**
 * Asks the phone for older messages. They come as events.
 *
 * @param {Context} context
 * @param {any} args
 */
async function syncHistory({ sock, anchors }, args) {
  const count = args.count ?? HISTORY_COUNT;
  const points = args.before ? [pointOf(args)] : anchors.of(args.chat, HISTORY_CHATS_MAX);
  if (points.length === 0) {
    throw new Refused(
      'no_anchor',
      'no message of this chat was seen since the start: name one with chat and before {id, at}',
    );
  }
  const requests = [];
  for (const { key, timestamp } of points) requests.push(await sock.fetchMessageHistory(count, key, timestamp * 1000));
  return { requests, chats: points.map(({ key }) => key.remoteJid) };
}

/** @param {any} args */
function pointOf({ chat, before }) {
  if (!chat || !before.at) throw new Refused('invalid_field', 'before: expected chat, and id and at of a message');
  const fromMe = before.from_me ?? false;
  const participant = !fromMe && chat.endsWith('@g.us') ? before.sender : undefined;
  return {
    key: { remoteJid: chat, id: before.id, fromMe, participant },
    timestamp: Math.floor(Date.parse(before.at) / 1000),
  };
}

/** @param {any} args */
function groupOf(args) {
  const group = args.group ?? args.jid;
  if (typeof group !== 'string' || !group) throw new Refused('invalid_field', 'group: expected the JID of a group');
  return group;
}
