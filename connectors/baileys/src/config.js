/**
 * Decides what the connector was told: where the engine is, which devices, with which key.
 *
 * Everything comes from the environment, so that the program runs the same way by hand, in a container and in a test.
 * It reads nothing else and connects to nothing.
 */

const MINUTE_MS = 60_000;

/**
 * @typedef {object} Config
 * @property {URL} engineUrl where the engine's API is
 * @property {string} apiKey a key with `devices:connect` (and `devices:read` to find devices)
 * @property {string[]} devices the devices to run; empty = those that the engine lists with connector `baileys`
 * @property {number} discoverEveryMs how often the engine is asked for devices
 * @property {string | undefined} whatsappUrl another address of WhatsApp, for tests
 * @property {'none' | 'on_demand' | 'all'} history which messages of the past become events
 * @property {boolean} mediaFromPrivateNetworks whether `media.url` of a command may name a private address
 * @property {string} logLevel level of the connector's own log
 * @property {string} baileysLogLevel level of Baileys' log
 */

const HISTORY = ['none', 'on_demand', 'all'];

/**
 * Reads the configuration, or says what is wrong with it.
 *
 * @param {Record<string, string | undefined>} env
 * @returns {Config}
 */
export function readConfig(env) {
  const apiKey = env.TRUNKLINE_API_KEY ?? '';
  if (!apiKey) throw new Error('TRUNKLINE_API_KEY is missing: expected a key with the permission devices:connect');
  const history = env.BAILEYS_HISTORY || 'on_demand';
  if (!HISTORY.includes(history))
    throw new Error(`BAILEYS_HISTORY: expected one of ${HISTORY.join(', ')}, got ${history}`);
  return {
    engineUrl: readUrl(env.TRUNKLINE_URL || 'http://127.0.0.1:8080'),
    apiKey,
    devices: (env.TRUNKLINE_DEVICES ?? '')
      .split(',')
      .map((id) => id.trim())
      .filter(Boolean),
    discoverEveryMs: readSeconds('TRUNKLINE_DISCOVER_SECONDS', env.TRUNKLINE_DISCOVER_SECONDS, MINUTE_MS / 2),
    whatsappUrl: env.WHATSAPP_URL || undefined,
    history: /** @type {Config['history']} */ (history),
    mediaFromPrivateNetworks: env.BAILEYS_MEDIA_FROM_PRIVATE_NETWORKS === 'true',
    logLevel: env.LOG_LEVEL || 'info',
    baileysLogLevel: env.BAILEYS_LOG_LEVEL || 'silent',
  };
}

/** @param {string} text */
function readUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new Error(`TRUNKLINE_URL: expected an http or https address, got ${text}`);
  }
  return url;
}

/**
 * @param {string} name
 * @param {string | undefined} text
 * @param {number} otherwise
 */
function readSeconds(name, text, otherwise) {
  if (!text) return otherwise;
  const seconds = Number(text);
  if (!(seconds > 0)) throw new Error(`${name}: expected a number of seconds above 0, got ${text}`);
  return seconds * 1000;
}
