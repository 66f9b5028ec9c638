/**
 * Makes event frames for the engine: ids, times, and data that fits.
 *
 * A frame's id is made of what happened, so that the same thing told twice (WhatsApp delivers again what was not
 * acknowledged) is one event in the log.
 */

import { createHash, randomUUID } from 'node:crypto';

/** Bytes of `data`: the engine's limit for a payload. */
export const DATA_BYTES_MAX = 256 * 1024;
const ID_LENGTH = 32;

/** @typedef {import('../engine/outbox.js').EventFrame} EventFrame */
/** @typedef {import('../engine/outbox.js').MessageKey} MessageKey */

/**
 * An id for what these parts say.
 *
 * @param {Array<string | number | undefined>} parts
 */
export function idOf(...parts) {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, ID_LENGTH);
}

/** An id for something that WhatsApp gives no name. */
export function freshId() {
  return randomUUID();
}

/**
 * Unix seconds as the API shows times; undefined if there are none.
 *
 * @param {number | undefined} seconds
 */
export function timeOf(seconds) {
  return seconds && Number.isFinite(seconds) && seconds > 0 ? new Date(seconds * 1000).toISOString() : undefined;
}

/**
 * A number that protobuf may have given as an object or a text.
 *
 * @param {any} value
 * @returns {number | undefined}
 */
export function numberOf(value) {
  if (value === null || value === undefined) return undefined;
  const number = typeof value === 'object' && 'toNumber' in value ? value.toNumber() : Number(value);
  return Number.isFinite(number) ? number : undefined;
}

/**
 * The object without its undefined and null members.
 *
 * @template {Record<string, unknown>} T
 * @param {T} object
 * @returns {Partial<T>}
 */
export function compact(object) {
  return /** @type {Partial<T>} */ (
    Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined && value !== null))
  );
}

/**
 * Whether data is small enough for the engine, with so much room left.
 *
 * @param {unknown} data
 * @param {number} [room]
 */
export function fits(data, room = 0) {
  return Buffer.byteLength(JSON.stringify(data) ?? '') + room <= DATA_BYTES_MAX;
}
