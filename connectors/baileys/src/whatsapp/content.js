/**
 * Describes what a WhatsApp message contains in the words of the engine's events.
 *
 * Pure. The network's own object goes along whole, so that nothing that is not understood here is lost.
 */

import { getContentType, normalizeMessageContent, proto } from 'baileys';
import { compact, fits, numberOf } from './frames.js';

const { ProtocolMessage } = proto.Message;
const KINDS = /** @type {Record<string, string>} */ ({
  conversation: 'text',
  extendedTextMessage: 'text',
  imageMessage: 'image',
  videoMessage: 'video',
  ptvMessage: 'video',
  audioMessage: 'audio',
  documentMessage: 'document',
  stickerMessage: 'sticker',
  locationMessage: 'location',
  liveLocationMessage: 'location',
  contactMessage: 'contact',
  contactsArrayMessage: 'contact',
  reactionMessage: 'reaction',
  pollCreationMessage: 'poll',
  pollCreationMessageV2: 'poll',
  pollCreationMessageV3: 'poll',
  pollUpdateMessage: 'poll',
});
const MEDIA = new Set([
  'imageMessage',
  'videoMessage',
  'ptvMessage',
  'audioMessage',
  'documentMessage',
  'stickerMessage',
]);
/** What accompanies a message and is none. */
const SILENT = new Set(['senderKeyDistributionMessage', 'messageContextInfo', 'protocolMessage']);
/** Members that are large and can be had again; dropped, in this order, from a message that does not fit. */
const LARGE = ['jpegThumbnail', 'scansSidecar', 'streamingSidecar', 'messageContextInfo', 'contextInfo'];

/** What is kept free for the rest of the event's data. */
const ROOM_BYTES = 64 * 1024;

/**
 * @typedef {{ what: 'received', content: any }
 *   | { what: 'updated', target: any, content: any }
 *   | { what: 'deleted', target: any }
 *   | { what: 'nothing' }} Meaning
 */

/**
 * What a message does: it is one, or it changes or takes back another, or it is for Baileys only.
 *
 * @param {any} message `WebMessageInfo.message`
 * @returns {Meaning}
 */
export function meaningOf(message) {
  const content = normalizeMessageContent(message);
  const protocol = content?.protocolMessage;
  if (protocol?.type === ProtocolMessage.Type.REVOKE && protocol.key?.id)
    return { what: 'deleted', target: protocol.key };
  if (protocol?.type === ProtocolMessage.Type.MESSAGE_EDIT && protocol.key?.id) {
    return { what: 'updated', target: protocol.key, content: protocol.editedMessage };
  }
  const says = Object.entries(content ?? {}).some(
    ([name, value]) => value !== null && value !== undefined && !SILENT.has(name),
  );
  return says ? { what: 'received', content } : { what: 'nothing' };
}

/**
 * What is in a message, in the words that all connectors share.
 *
 * @param {any} message
 */
export function describe(message) {
  const content = normalizeMessageContent(message) ?? {};
  const type = getContentType(content) ?? '';
  const body = /** @type {Record<string, any>} */ (content)[type];
  const context = typeof body === 'object' ? body?.contextInfo : undefined;
  return compact({
    kind: KINDS[type] ?? 'other',
    text: textOf(type, body),
    reply_to: context?.stanzaId || undefined,
    mentions: context?.mentionedJid?.length ? context.mentionedJid : undefined,
    media: MEDIA.has(type) ? mediaOf(body) : undefined,
    location: KINDS[type] === 'location' ? locationOf(body) : undefined,
    reaction: type === 'reactionMessage' ? { to: body.key?.id, emoji: body.text ?? '' } : undefined,
    poll: type.startsWith('pollCreation') ? pollOf(body) : undefined,
    message: ownObject(message),
  });
}

/**
 * @param {string} type
 * @param {any} body
 */
function textOf(type, body) {
  if (type === 'conversation') return body;
  const text =
    body?.text ?? body?.caption ?? body?.displayName ?? (type.startsWith('pollCreation') ? body?.name : undefined);
  return text || undefined;
}

/** @param {any} body */
function mediaOf(body) {
  return compact({
    mimetype: body.mimetype,
    size: numberOf(body.fileLength),
    file_name: body.fileName || body.title,
    seconds: body.seconds,
    width: body.width,
    height: body.height,
    is_voice: body.ptt || undefined,
    sha256: base64(body.fileSha256),
    url: body.url,
    direct_path: body.directPath,
    media_key: base64(body.mediaKey),
  });
}

/** @param {any} body */
function locationOf(body) {
  return compact({
    latitude: body.degreesLatitude,
    longitude: body.degreesLongitude,
    name: body.name,
    address: body.address,
  });
}

/** @param {any} body */
function pollOf(body) {
  return {
    options: (body.options ?? []).map((/** @type {any} */ option) => option.optionName),
    max: body.selectableOptionsCount,
  };
}

/**
 * The network's own object as JSON, without its largest members if it would not fit else.
 *
 * @param {any} message
 */
function ownObject(message) {
  const object = toObject(message);
  for (const name of LARGE) {
    if (fits(object, ROOM_BYTES)) return object;
    without(object, name);
  }
  return fits(object, ROOM_BYTES) ? object : undefined;
}

/** @param {any} message */
function toObject(message) {
  return proto.Message.toObject(proto.Message.fromObject(message), { bytes: String, longs: String, enums: String });
}

/**
 * Removes a member wherever it is.
 *
 * @param {any} object
 * @param {string} name
 */
function without(object, name) {
  if (!object || typeof object !== 'object') return;
  delete object[name];
  for (const value of Object.values(object)) without(value, name);
}

/** @param {Uint8Array | null | undefined} bytes */
function base64(bytes) {
  return bytes?.length ? Buffer.from(bytes).toString('base64') : undefined;
}
