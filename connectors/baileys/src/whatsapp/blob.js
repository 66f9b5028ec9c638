/**
 * Decides how a session's credentials become one blob that the engine keeps, and what is left out when they are too large.
 *
 * The blob is a mark, the id of its writer and brotli over JSON. What is left out is what WhatsApp or the peers give again
 * by themselves: first caches, then the sender keys and sessions that were not used for longest. The account's own keys are
 * never left out.
 */

import { promisify } from 'node:util';
import { brotliCompress, brotliDecompress, constants } from 'node:zlib';
import { BufferJSON } from 'baileys';

/** What the engine takes. */
export const BLOB_BYTES_MAX = 1024 * 1024;
export const WRITER_BYTES = 16;
const MARK = Buffer.from('TLB1');
/** Decompressed credentials above this are no credentials. */
const JSON_BYTES_MAX = 64 * 1024 * 1024;
/** How far below the limit is aimed when something is left out, so that it is not done at each write. */
const AIM = 0.8;
const ROUNDS_MAX = 8;

/**
 * Kinds of keys that may be left out, in this order.
 *
 * - `sender-key-memory`, `device-list`: caches; the next message to a group sends our key again, devices are asked for.
 * - `sender-key`: a group's member; the next message fails once, and is sent again on our retry receipt, with its key.
 * - `session`: a peer; likewise, and our next message to them begins a new session.
 * - the rest: learnt again from the next message or the next synchronisation.
 */
const DISPENSABLE = [
  'sender-key-memory',
  'device-list',
  'sender-key',
  'session',
  'identity-key',
  'tctoken',
  'lid-mapping',
  'app-state-sync-version',
];

const compress = promisify(brotliCompress);
const decompress = promisify(brotliDecompress);

/**
 * @typedef {import('baileys').AuthenticationCreds} Creds
 * @typedef {Map<string, Map<string, any>>} Keys kind → id → value, the one used last at the end
 * @typedef {{ creds: Creds, keys: Keys }} State
 */

/** The credentials do not fit, whatever is left out. */
export class TooLarge extends Error {
  /** @param {number} bytes */
  constructor(bytes) {
    super(`the credentials are ${bytes} bytes although everything that can be given up is left out`);
  }
}

/**
 * The state as text, at this moment.
 *
 * @param {State} state
 */
export function toText(state) {
  const keys = Object.fromEntries([...state.keys].map(([kind, entries]) => [kind, [...entries]]));
  return JSON.stringify({ creds: state.creds, keys }, BufferJSON.replacer);
}

/**
 * The blob for a text.
 *
 * @param {string} text
 * @param {Buffer} writer
 */
export async function pack(text, writer) {
  const packed = await compress(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
  return Buffer.concat([MARK, writer, packed]);
}

/**
 * Reads a blob.
 *
 * @param {Buffer} blob
 * @returns {Promise<State>}
 */
export async function unpack(blob) {
  if (!isBlob(blob)) throw new Error('the credentials at the engine are not of this connector');
  const text = await decompress(blob.subarray(MARK.length + WRITER_BYTES), { maxOutputLength: JSON_BYTES_MAX });
  const { creds, keys } = JSON.parse(text.toString(), BufferJSON.reviver);
  return { creds, keys: new Map(Object.entries(keys).map(([kind, entries]) => [kind, new Map(entries)])) };
}

/**
 * Who wrote a blob; undefined if it is none.
 *
 * @param {Buffer | undefined} blob
 */
export function writerOf(blob) {
  return blob && isBlob(blob) ? blob.subarray(MARK.length, MARK.length + WRITER_BYTES) : undefined;
}

/**
 * The blob for a state, of at most so many bytes. What had to be left out is taken from the state too, so that what runs
 * and what is kept are the same.
 *
 * @param {State} state
 * @param {Buffer} writer
 * @param {number} [bytesMax]
 * @returns {Promise<{ blob: Buffer, dropped: number }>}
 */
export async function packWithin(state, writer, bytesMax = BLOB_BYTES_MAX) {
  let dropped = 0;
  let text = toText(state);
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const blob = await pack(text, writer);
    if (blob.length <= bytesMax) return { blob, dropped };
    const spare = Math.ceil(text.length * (1 - (AIM * bytesMax) / blob.length));
    const given = giveUp(state.keys, spare);
    if (given === 0) throw new TooLarge(blob.length);
    dropped += given;
    text = toText(state);
  }
  throw new TooLarge(text.length);
}

/**
 * Takes entries out until so many characters are spared.
 *
 * @param {Keys} keys
 * @param {number} spare
 * @returns {number} how many entries went
 */
export function giveUp(keys, spare) {
  let dropped = 0;
  let left = spare;
  for (const kind of DISPENSABLE) {
    const entries = keys.get(kind) ?? new Map();
    for (const [id, value] of entries) {
      if (left <= 0) return dropped;
      left -= JSON.stringify([id, value], BufferJSON.replacer).length;
      entries.delete(id);
      dropped += 1;
    }
  }
  return dropped;
}

/** @param {Buffer} blob */
function isBlob(blob) {
  return blob.length > MARK.length + WRITER_BYTES && blob.subarray(0, MARK.length).equals(MARK);
}
