/**
 * Runs one device: its session at the engine, and its connection to WhatsApp while there is one.
 *
 * WhatsApp is connected only under a session of the engine, with the credentials that the engine keeps. Whoever replaces the
 * device, at the engine or at WhatsApp, is obeyed: the session stays down.
 */

import { once } from 'node:events';
import { Backoff, pause } from './backoff.js';
import { Commander } from './commander.js';
import { EngineCredentials, Fenced, Stopped } from './engine/credentials.js';
import { GatewayLink } from './engine/link.js';
import { Connection } from './whatsapp/connection.js';
import { Contacts } from './whatsapp/contacts.js';
import { download } from './whatsapp/download.js';
import { endingOf } from './whatsapp/endings.js';
import { Anchors } from './whatsapp/history.js';
import { Vault } from './whatsapp/vault.js';

export const GATEWAY = 'trunkline-baileys/0.1.0';
const STOP_WITHIN_MS = 5_000;

/**
 * @typedef {object} Options
 * @property {string} device
 * @property {import('./whatsapp/connection.js').Settings} settings
 * @property {import('./config.js').Config} config
 * @property {import('./engine/api.js').EngineApi} api
 * @property {import('pino').Logger} log
 * @property {import('pino').Logger} baileysLog
 */

export class Session {
  #options;
  #log;
  #link;
  #credentials;
  #commander;
  #anchors = new Anchors();
  #contacts = new Contacts();
  #stopping = new AbortController();
  #backoff = new Backoff({ firstMs: 1_000, maxMs: 60_000 });
  /** @type {Vault | undefined} */
  #vault;
  /** @type {Connection | undefined} */
  #connection;
  /** @type {import('./engine/link.js').DeviceState['state']} */
  #state = 'offline';
  /** @type {Promise<void> | undefined} */
  #running;
  /** @type {Set<() => void>} */
  #watchers = new Set();

  /** @param {Options} options */
  constructor(options) {
    const { device, api } = options;
    this.#options = options;
    this.#log = options.log.child({ device });
    this.#link = new GatewayLink({
      url: api.sessionUrl(device),
      headers: api.headers,
      gateway: GATEWAY,
      log: this.#log,
    });
    this.#credentials = new EngineCredentials({
      api,
      link: this.#link,
      device,
      log: this.#log,
      signal: this.#stopping.signal,
    });
    this.#commander = new Commander((signal) => this.#connected(signal));
    this.#link.on('command', (command) => void this.#command(command));
    this.#link.on('over', (reason) => this.#stopFor(reason));
    this.#link.on('up', () => void this.#dropIfStale());
  }

  /** Runs until it is stopped, or told to stay down. Never fails. */
  run() {
    this.#running ??= this.#run().catch((error) => this.#log.error({ err: error }, 'the session has ended'));
    return this.#running;
  }

  /** Ends in good order: what is on its way to the engine is waited for, but not long. */
  async stop() {
    this.#connection?.close();
    if (!this.#stopping.signal.aborted) await this.#settle();
    this.#stopping.abort();
    await this.#link.stop();
    await this.#running;
  }

  async #settle() {
    const inTime = AbortSignal.timeout(STOP_WITHIN_MS);
    const flushed = this.#vault?.flush().catch(() => undefined);
    await Promise.race([Promise.all([flushed, this.#link.outbox.idle(inTime)]), once(inTime, 'abort')]);
  }

  async #run() {
    this.#link.start();
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        this.#vault ??= await this.#openVault();
        await this.#link.outbox.room(signal);
        if (!signal.aborted) await this.#connect(this.#vault);
      } catch (error) {
        if (error instanceof Stopped) return;
        this.#log.warn({ err: error }, 'the session begins anew');
        this.#dropVault();
        this.#report({ state: 'offline', reason: 'credentials_unavailable' });
        await pause(this.#backoff.next(), signal);
      }
    }
  }

  /** One connection to WhatsApp, and what follows from its end. */
  async #connect(/** @type {Vault} */ vault) {
    const { creds } = vault;
    // A pairing code that was not used leaves a number without an account, with which Baileys would try to log in.
    if (creds.me && !creds.account) delete creds.me;
    const connection = new Connection({
      ...this.#options,
      vault,
      outbox: this.#link.outbox,
      anchors: this.#anchors,
      contacts: this.#contacts,
      log: this.#log,
    });
    this.#connection = connection;
    connection.on('state', (state) => {
      if (state.state === 'connected') this.#backoff.reset();
      this.#report(state);
    });
    const ended = once(connection, 'end');
    if (this.#stopping.signal.aborted || this.#vault !== vault) connection.close();
    const [status] = await ended;
    this.#connection = undefined;
    if (this.#stopping.signal.aborted || this.#vault !== vault)
      return this.#report({ state: 'offline', reason: 'restarting' });
    await this.#follow(endingOf(status, { isPaired: !!creds.account }), vault);
  }

  /**
   * @param {import('./whatsapp/endings.js').Ending} ending
   * @param {Vault} vault
   */
  async #follow({ then, reason }, vault) {
    this.#log.info({ reason }, 'the connection to WhatsApp has ended');
    if (then !== 'at once') this.#report({ state: 'offline', reason });
    switch (then) {
      case 'at once':
        return vault.flush();
      case 'pair anew':
        return vault.reset();
      case 'stay down':
        await vault.flush();
        await this.#link.stop(STOP_WITHIN_MS);
        return this.#stopping.abort();
      case 'later':
        return pause(this.#backoff.next(), this.#stopping.signal);
    }
  }

  async #openVault() {
    const vault = new Vault({ place: this.#credentials, log: this.#log });
    vault.onFailure = (error) => {
      if (error instanceof Stopped) return;
      this.#log.error(
        { err: error },
        error instanceof Fenced ? 'another connector has the credentials' : 'the credentials cannot be written',
      );
      if (this.#vault === vault) this.#dropVault();
    };
    await vault.open();
    return vault;
  }

  /** After a reconnect somebody else may have had the session: then what is in memory is old. */
  async #dropIfStale() {
    const vault = this.#vault;
    if (!vault) return;
    const isStale = await vault.isStale().catch(() => false);
    if (!isStale || this.#vault !== vault) return;
    this.#log.warn('another connector ran this device meanwhile: its credentials are taken over');
    this.#dropVault();
  }

  #dropVault() {
    this.#vault?.close();
    this.#vault = undefined;
    this.#connection?.close();
  }

  /** @param {string} reason */
  #stopFor(reason) {
    this.#log.warn({ reason }, 'the session stays down');
    this.#state = 'offline';
    this.#stopping.abort();
    this.#dropVault();
    this.#wake();
  }

  /** @param {import('./engine/link.js').DeviceState} state */
  #report(state) {
    this.#state = state.state;
    this.#link.report(state);
    this.#wake();
  }

  /** @param {import('./engine/link.js').Command} command */
  async #command(command) {
    this.#link.answer(await this.#commander.carryOut(command));
  }

  /**
   * What commands are carried out with. A device that is being paired, or stays down, has nothing to wait for.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<import('./whatsapp/commands.js').Context | undefined>}
   */
  async #connected(signal) {
    for (;;) {
      const connection = this.#connection;
      if (connection?.isOpen) return this.#context(connection);
      const mayCome = this.#vault?.creds.account && !this.#stopping.signal.aborted && this.#state !== 'pairing';
      if (!mayCome || signal.aborted) return undefined;
      await new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
        const done = () => {
          this.#watchers.delete(done);
          resolve();
        };
        this.#watchers.add(done);
        signal.addEventListener('abort', done, { once: true });
      });
    }
  }

  /** @param {Connection} connection */
  #context(connection) {
    const { mediaFromPrivateNetworks: mayBePrivate } = this.#options.config;
    return {
      sock: connection.sock,
      addresses: connection.addresses,
      anchors: this.#anchors,
      fetch: (/** @type {string} */ url) => download(url, { mayBePrivate }),
    };
  }

  #wake() {
    for (const wake of [...this.#watchers]) wake();
  }
}
