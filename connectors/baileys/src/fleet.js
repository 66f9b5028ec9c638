/**
 * Decides which devices this process runs: those it is told, or all that the engine lists for it.
 *
 * Each has a session of its own; the end of one touches no other.
 */

import { pause } from './backoff.js';
import { Session } from './session.js';

export const CONNECTOR = 'baileys';
/** Sessions are begun one after the other, so that WhatsApp and the engine do not see all of them at once. */
const START_EVERY_MS = 50;

export class Fleet {
  /** @type {Map<string, Session>} */
  #sessions = new Map();
  #stopping = new AbortController();
  #options;

  /**
   * @param {Pick<import('./session.js').Options, 'config' | 'api' | 'log' | 'baileysLog'>} options
   */
  constructor(options) {
    this.#options = options;
  }

  /** Runs until it is stopped. */
  async run() {
    const { config, log } = this.#options;
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#compare();
      } catch (error) {
        log.warn({ err: error }, 'the devices could not be asked for');
      }
      await pause(config.discoverEveryMs, this.#stopping.signal);
    }
  }

  /** Ends all sessions in good order. */
  async stop() {
    this.#stopping.abort();
    await Promise.all([...this.#sessions.values()].map((session) => session.stop()));
    this.#sessions.clear();
  }

  /** Starts what is new and stops what is gone. */
  async #compare() {
    const wanted = await this.#wanted();
    for (const [id, session] of this.#sessions) {
      if (wanted.has(id)) continue;
      this.#sessions.delete(id);
      void session.stop();
    }
    for (const [id, settings] of wanted) {
      if (this.#sessions.has(id) || this.#stopping.signal.aborted) continue;
      const session = new Session({ ...this.#options, device: id, settings });
      this.#sessions.set(id, session);
      void session.run();
      await pause(START_EVERY_MS, this.#stopping.signal);
    }
  }

  /** @returns {Promise<Map<string, import('./whatsapp/connection.js').Settings>>} */
  async #wanted() {
    const { config, api } = this.#options;
    if (config.devices.length === 0) {
      return new Map((await api.devices(CONNECTOR)).map((device) => [device.id, device.settings ?? {}]));
    }
    // A key that may connect devices but not read them runs them with the usual settings.
    return new Map(
      await Promise.all(
        config.devices.map(async (id) => /** @type {[string, {}]} */ ([id, (await api.device(id))?.settings ?? {}])),
      ),
    );
  }
}
