/**
 * Fetches media that a command names by address, within limits.
 *
 * A command comes from a client of the engine, who must not reach what only this machine can: addresses that are not public
 * are refused at the moment of connecting, whatever their name resolves to.
 */

import { lookup } from 'node:dns';
import http from 'node:http';
import https from 'node:https';
import { BlockList, isIP } from 'node:net';
import { Refused } from './refused.js';

export const MEDIA_BYTES_MAX = 64 * 1024 * 1024;
const TIMEOUT_MS = 30_000;
const REDIRECTS_MAX = 3;

const NOT_PUBLIC = new BlockList();
for (const [net, prefix] of /** @type {Array<[string, number]>} */ ([
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
]))
  NOT_PUBLIC.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of /** @type {Array<[string, number]>} */ ([
  ['::', 128],
  ['::1', 128],
  ['64:ff9b::', 96],
  ['100::', 64],
  ['2001:db8::', 32],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
]))
  NOT_PUBLIC.addSubnet(net, prefix, 'ipv6');

/**
 * Whether everybody may reach an address.
 *
 * @param {string} address
 */
export function isPublic(address) {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped) return isPublic(mapped);
  if (/^::ffff:/i.test(address)) return false;
  const family = isIP(address);
  return family !== 0 && !NOT_PUBLIC.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

/**
 * @param {string} url
 * @param {{ mayBePrivate?: boolean, bytesMax?: number }} [options]
 * @returns {Promise<Buffer>}
 */
export async function download(url, { mayBePrivate = false, bytesMax = MEDIA_BYTES_MAX } = {}) {
  let at = readUrl(url);
  for (let hops = 0; hops <= REDIRECTS_MAX; hops += 1) {
    const answer = await get(at, mayBePrivate);
    const location = answer.headers.location;
    if (answer.statusCode && answer.statusCode >= 300 && answer.statusCode < 400 && location) {
      answer.destroy();
      at = readUrl(new URL(location, at).href);
      continue;
    }
    if (answer.statusCode !== 200) {
      answer.destroy();
      throw new Refused('media_unreachable', `the media's address answered ${answer.statusCode}`);
    }
    return read(answer, bytesMax);
  }
  throw new Refused('media_unreachable', `the media's address redirects more than ${REDIRECTS_MAX} times`);
}

/** @param {string} text */
function readUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol))
    throw new Refused('invalid_field', 'media.url: expected an http or https address');
  return url;
}

/**
 * @param {URL} url
 * @param {boolean} mayBePrivate
 * @returns {Promise<http.IncomingMessage>}
 */
function get(url, mayBePrivate) {
  const literal = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(literal) && !mayBePrivate && !isPublic(literal)) throw notPublic();
  const { get: ask } = url.protocol === 'https:' ? https : http;
  return new Promise((resolve, reject) => {
    const failed = (/** @type {Error} */ error) =>
      reject(
        error instanceof Refused
          ? error
          : new Refused('media_unreachable', `the media could not be fetched: ${error.message}`),
      );
    const options = { signal: AbortSignal.timeout(TIMEOUT_MS), ...(mayBePrivate ? {} : { lookup: publicLookup }) };
    ask(url, options, resolve).on('error', failed);
  });
}

/**
 * Resolves names like the system does, to public addresses only.
 *
 * @type {import('node:net').LookupFunction}
 */
function publicLookup(hostname, options, callback) {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, '', 0);
    const [first] = addresses;
    if (!first || addresses.some(({ address }) => !isPublic(address))) return callback(notPublic(), '', 0);
    return options.all ? callback(null, addresses) : callback(null, first.address, first.family);
  });
}

/**
 * @param {http.IncomingMessage} answer
 * @param {number} bytesMax
 */
async function read(answer, bytesMax) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of answer) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Refused('media_too_large', `expected media of at most ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function notPublic() {
  return new Refused('invalid_field', 'media.url: expected a public address');
}
