/**
 * Translates what a client of the engine wants to send into what Baileys sends.
 *
 * Pure but for media, which are fetched by the function that is passed in. `text`, `media`, `location`, `contact`, `poll`,
 * `reaction`, `edit` and `delete` are known; exactly one of them says what is sent.
 */

import { Refused } from './refused.js';

const MEDIA_KINDS = ['image', 'video', 'audio', 'document', 'sticker'];
const BODIES = ['media', 'location', 'contact', 'poll', 'reaction', 'edit', 'delete', 'text'];

/**
 * @typedef {(url: string) => Promise<Buffer>} Fetch
 */

/**
 * @param {any} args of `message.send`
 * @param {Fetch} fetch
 * @returns {Promise<any>} an `AnyMessageContent`
 */
export async function contentOf(args, fetch) {
  const body = BODIES.find((name) => args[name] !== undefined && args[name] !== null);
  if (!body) throw new Refused('invalid_field', `expected one of ${BODIES.join(', ')}`);
  const mentions = Array.isArray(args.mentions) ? { mentions: args.mentions } : {};
  switch (body) {
    case 'text':
      // Previews would be fetched from wherever the text points to.
      return { text: text('text', args.text), linkPreview: null, ...mentions };
    case 'media':
      return { ...(await mediaContent(args.media, args.text, fetch)), ...mentions };
    case 'location':
      return { location: location(args.location) };
    case 'contact':
      return { contacts: contacts(args.contact) };
    case 'poll':
      return { poll: poll(args.poll) };
    case 'reaction':
      return {
        react: { text: String(args.reaction.emoji ?? ''), key: target('reaction', args.reaction, args.to, false) },
      };
    case 'edit':
      return {
        text: text('edit.text', args.edit.text ?? args.text),
        linkPreview: null,
        edit: target('edit', args.edit, args.to, true),
      };
    default:
      return { delete: target('delete', args.delete, args.to, true) };
  }
}

/**
 * What is answered to, as Baileys wants it; undefined if nothing.
 *
 * @param {any} args
 */
export function quotedOf(args) {
  if (!args.reply_to) return undefined;
  const to = typeof args.reply_to === 'string' ? { id: args.reply_to } : args.reply_to;
  return { key: target('reply_to', to, args.to, false), message: { conversation: String(to.text ?? '') } };
}

/**
 * @param {any} media
 * @param {string | undefined} caption
 * @param {Fetch} fetch
 */
async function mediaContent(media, caption, fetch) {
  const kind = media.type ?? media.kind ?? kindOf(media.mimetype);
  if (!MEDIA_KINDS.includes(kind))
    throw new Refused('invalid_field', `media.type: expected one of ${MEDIA_KINDS.join(', ')}`);
  const bytes = await mediaBytes(media, fetch);
  const words = media.caption ?? caption;
  return {
    [kind]: bytes,
    ...(words ? { caption: String(words) } : {}),
    ...(media.mimetype ? { mimetype: String(media.mimetype) } : {}),
    ...(kind === 'document'
      ? {
          mimetype: String(media.mimetype ?? 'application/octet-stream'),
          fileName: String(media.file_name ?? 'document'),
        }
      : {}),
    ...(kind === 'audio' && media.is_voice ? { ptt: true } : {}),
  };
}

/**
 * @param {any} media
 * @param {Fetch} fetch
 */
async function mediaBytes(media, fetch) {
  const base64 = media.base64 ?? media.data;
  if (typeof base64 === 'string') {
    const bytes = Buffer.from(base64, 'base64');
    if (bytes.length === 0) throw new Refused('invalid_field', 'media.base64: expected base64');
    return bytes;
  }
  if (typeof media.url !== 'string') throw new Refused('invalid_field', 'media: expected url or base64');
  return fetch(media.url);
}

/** @param {string | undefined} mimetype */
function kindOf(mimetype) {
  const top = String(mimetype ?? '').split('/')[0];
  return MEDIA_KINDS.includes(top) ? top : 'document';
}

/** @param {any} place */
function location(place) {
  const { latitude, longitude } = place;
  if (!Number.isFinite(latitude) || !Number.isFinite(longitude)) {
    throw new Refused('invalid_field', 'location: expected latitude and longitude');
  }
  return { degreesLatitude: latitude, degreesLongitude: longitude, name: place.name, address: place.address };
}

/** @param {any} contact */
function contacts(contact) {
  const name = text('contact.name', contact.name);
  const vcard = contact.vcard ?? vcardOf(name, text('contact.phone', contact.phone));
  return { displayName: name, contacts: [{ displayName: name, vcard }] };
}

/**
 * @param {string} name
 * @param {string} phone
 */
function vcardOf(name, phone) {
  const digits = phone.replace(/\D/g, '');
  const plain = name.replace(/[\r\n]/g, ' ');
  return `BEGIN:VCARD\nVERSION:3.0\nFN:${plain}\nTEL;type=CELL;waid=${digits}:+${digits}\nEND:VCARD`;
}

/** @param {any} poll */
function poll(poll) {
  if (!Array.isArray(poll.options) || poll.options.length < 2)
    throw new Refused('invalid_field', 'poll.options: expected two or more');
  return {
    name: text('poll.name', poll.name ?? poll.question),
    values: poll.options.map(String),
    selectableCount: poll.max ?? 1,
  };
}

/**
 * The key of a message that is meant.
 *
 * @param {string} member
 * @param {any} meant
 * @param {string} chat
 * @param {boolean} isOwnByDefault
 */
function target(member, meant, chat, isOwnByDefault) {
  const named = typeof meant === 'string' ? { id: meant } : meant;
  const id = text(`${member}.id`, named.id);
  const sender = named.sender || undefined;
  const fromMe = named.from_me ?? (sender === undefined ? isOwnByDefault : false);
  return { remoteJid: chat, id, fromMe, ...(sender && chat.endsWith('@g.us') ? { participant: sender } : {}) };
}

/**
 * @param {string} member
 * @param {unknown} value
 */
function text(member, value) {
  if (typeof value !== 'string' || value === '') throw new Refused('invalid_field', `${member}: expected a text`);
  return value;
}
