/**
 * Asks the engine's REST side: which devices there are, and for their credentials.
 *
 * One request each; when to try again is decided by the caller.
 */

const TIMEOUT_MS = 30_000;
const PAGE = 500;

/** The engine did not do what was asked. */
export class EngineError extends Error {
  /**
   * @param {string} what
   * @param {number | undefined} status undefined = no answer came
   * @param {unknown} [cause]
   */
  constructor(what, status, cause) {
    super(status ? `${what}: the engine answered ${status}` : `${what}: the engine did not answer`, { cause });
    this.status = status;
  }
}

/**
 * @typedef {object} Device
 * @property {string} id
 * @property {string} name
 * @property {string} connector
 * @property {Record<string, unknown> | null} [settings]
 */

export class EngineApi {
  #url;
  #apiKey;

  /** @param {{ engineUrl: URL, apiKey: string }} config */
  constructor({ engineUrl, apiKey }) {
    this.#url = engineUrl;
    this.#apiKey = apiKey;
  }

  /** What a WebSocket of this engine has to show. */
  get headers() {
    return { authorization: `Bearer ${this.#apiKey}` };
  }

  /**
   * Where a device's session is opened.
   *
   * @param {string} device
   */
  sessionUrl(device) {
    const url = this.#at(`/v1/devices/${encodeURIComponent(device)}/session`);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    return url;
  }

  /**
   * One device, or undefined if the key may not see it.
   *
   * @param {string} id
   * @returns {Promise<Device | undefined>}
   */
  async device(id) {
    const answer = await this.#ask('asking for a device', `/v1/devices/${encodeURIComponent(id)}`);
    if (answer.status === 403 || answer.status === 404) return undefined;
    return (await okJson('asking for a device', answer)).data;
  }

  /**
   * All devices with this connector.
   *
   * @param {string} connector
   * @returns {Promise<Device[]>}
   */
  async devices(connector) {
    const devices = [];
    let cursor;
    do {
      const query = new URLSearchParams({ limit: String(PAGE), ...(cursor ? { cursor } : {}) });
      const page = await okJson('listing devices', await this.#ask('listing devices', `/v1/devices?${query}`));
      devices.push(...page.data);
      cursor = page.meta?.next_cursor;
    } while (cursor);
    return devices.filter((device) => device.connector === connector);
  }

  /**
   * The credentials that the engine keeps, or undefined if there are none yet.
   *
   * @param {string} device
   * @returns {Promise<Buffer | undefined>}
   */
  async credentials(device) {
    const what = 'reading credentials';
    const answer = await this.#ask(what, credentialsPath(device));
    if (answer.status === 204) return undefined;
    if (!answer.ok) throw await failed(what, answer);
    const bytes = Buffer.from(await answer.arrayBuffer());
    return bytes.length > 0 ? bytes : undefined;
  }

  /**
   * Replaces the credentials, if the session with this fence is still the device's session.
   *
   * @param {string} device
   * @param {number} fence
   * @param {Uint8Array} bytes
   */
  async putCredentials(device, fence, bytes) {
    const what = 'writing credentials';
    const answer = await this.#ask(what, credentialsPath(device), {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream', 'if-match': `"${fence}"` },
      body: bytes,
    });
    if (!answer.ok) throw await failed(what, answer);
    await answer.arrayBuffer();
  }

  /** @param {string} path */
  #at(path) {
    return new URL(path, this.#url);
  }

  /**
   * @param {string} what
   * @param {string} path
   * @param {RequestInit} [request]
   */
  async #ask(what, path, request = {}) {
    try {
      return await fetch(this.#at(path), {
        ...request,
        headers: { ...this.headers, ...request.headers },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      throw new EngineError(what, undefined, error);
    }
  }
}

/** @param {string} device */
function credentialsPath(device) {
  return `/v1/devices/${encodeURIComponent(device)}/credentials`;
}

/**
 * @param {string} what
 * @param {Response} answer
 * @returns {Promise<any>}
 */
async function okJson(what, answer) {
  if (!answer.ok) throw await failed(what, answer);
  return answer.json();
}

/**
 * @param {string} what
 * @param {Response} answer
 */
async function failed(what, answer) {
  // The body is read so that the connection can be used again; it says nothing that the status does not.
  await answer.arrayBuffer().catch(() => undefined);
  return new EngineError(what, answer.status);
}
