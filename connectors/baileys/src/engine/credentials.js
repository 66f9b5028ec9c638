/**
 * Carries one device's credentials to the engine and back, under the fence of its session.
 *
 * A write waits for a session and is tried again until the engine has it. It ends when someone else has, or meanwhile had,
 * the session: then what would be written is stale.
 */

import { once } from 'node:events';
import { Backoff, pause } from '../backoff.js';
import { EngineError } from './api.js';

/** Someone else has the session. */
export class Fenced extends Error {
  constructor() {
    super('the credentials belong to a newer session');
  }
}

/** The connector is stopping. */
export class Stopped extends Error {
  constructor() {
    super('the connector is stopping');
  }
}

/** Statuses after which the same bytes are refused again. */
const FINAL_STATUSES = new Set([400, 401, 403, 404, 413]);

export class EngineCredentials {
  #api;
  #link;
  #device;
  #log;
  #signal;
  /** @type {number | undefined} the session under which is known that nobody else has written */
  #checked;

  /**
   * @param {{ api: import('./api.js').EngineApi, link: import('./link.js').GatewayLink, device: string,
   *   log: import('pino').Logger, signal: AbortSignal }} options
   */
  constructor({ api, link, device, log, signal }) {
    this.#api = api;
    this.#link = link;
    this.#device = device;
    this.#log = log;
    this.#signal = signal;
  }

  /** What the engine keeps, or undefined. */
  load() {
    return this.#untilDone(() => this.#api.credentials(this.#device));
  }

  /**
   * Writes; returns when the engine has it.
   *
   * @param {Uint8Array} bytes
   * @param {(kept: Buffer | undefined) => boolean} mayReplace whether what the engine keeps is older than these bytes
   */
  async save(bytes, mayReplace) {
    await this.#untilDone(async (fence) => {
      await this.#check(fence, mayReplace);
      try {
        await this.#api.putCredentials(this.#device, fence, bytes);
      } catch (error) {
        // The session may have been opened anew by ourselves while the request was on its way.
        const isFenced = error instanceof EngineError && error.status === 412;
        if (isFenced && this.#link.fence === fence) throw new Fenced();
        throw error;
      }
    });
  }

  /**
   * Between two sessions of ours there may have been one of another connector. Its credentials are newer than ours.
   *
   * @param {number} fence
   * @param {(kept: Buffer | undefined) => boolean} mayReplace
   */
  async #check(fence, mayReplace) {
    if (this.#checked === fence) return;
    if (!mayReplace(await this.#api.credentials(this.#device))) throw new Fenced();
    this.#checked = fence;
  }

  /**
   * @template T
   * @param {(fence: number) => Promise<T>} attempt
   * @returns {Promise<T>}
   */
  async #untilDone(attempt) {
    const backoff = new Backoff({ firstMs: 200, maxMs: 10_000 });
    for (;;) {
      const fence = await this.#fence();
      try {
        return await attempt(fence);
      } catch (error) {
        if (!(error instanceof EngineError) || FINAL_STATUSES.has(error.status ?? 0)) throw error;
        this.#log.warn({ err: error }, 'credentials will be tried again');
      }
      await pause(backoff.next(), this.#signal);
    }
  }

  /** The fence of the session, as soon as there is one. */
  async #fence() {
    for (;;) {
      if (this.#signal.aborted) throw new Stopped();
      if (this.#link.fence !== undefined) return this.#link.fence;
      await once(this.#link, 'up', { signal: this.#signal }).catch(() => undefined);
    }
  }
}
