/**
 * Holds one session's credentials in memory for Baileys, and decides when they are written.
 *
 * Changes are gathered for a moment. Whoever needs a change to be kept before the next step waits for `flush`. While an
 * incoming message is decrypted but not acknowledged by the engine nothing is written (`hold`): a write would carry a ratchet
 * that is past a message that could still be lost. Where the bytes go is not known here.
 */

import { randomBytes } from 'node:crypto';
import { initAuthCreds, proto } from 'baileys';
import { WRITER_BYTES, packWithin, unpack, writerOf } from './blob.js';

const GATHER_MS = 500;
/** Kinds whose order of use decides what is given up first. */
const RANKED = new Set(['session', 'sender-key']);
/** Kinds whose values Baileys changes in place before it decides to set them. */
const COPIED = new Set(['sender-key-memory', 'device-list']);

/**
 * @typedef {object} Place where the credentials are kept
 * @property {() => Promise<Buffer | undefined>} load
 * @property {(bytes: Uint8Array, mayReplace: (kept: Buffer | undefined) => boolean) => Promise<void>} save
 */

export class Vault {
  /** @type {import('./blob.js').State} */
  #state = { creds: initAuthCreds(), keys: new Map() };
  #place;
  #log;
  #gatherMs;
  #bytesMax;
  #writer = randomBytes(WRITER_BYTES);
  /**
   * Writers whose blobs are what is in memory, or older: ourselves and the one whose blob was taken over.
   *
   * @type {Buffer[]}
   */
  #known = [this.#writer];
  /** Counts changes; `#kept` is the count that the place has. */
  #changes = 0;
  #kept = 0;
  /** @type {Promise<void> | undefined} */
  #saving;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #holds = 0;
  /** @type {Array<() => void>} */
  #released = [];
  /** @type {unknown} */
  #failure;

  /** Called once if the credentials can be written no more. */
  onFailure = (/** @type {unknown} */ _error) => {};

  /**
   * @param {{ place: Place, log: import('pino').Logger, gatherMs?: number, bytesMax?: number }} options
   */
  constructor({ place, log, gatherMs = GATHER_MS, bytesMax }) {
    this.#place = place;
    this.#log = log;
    this.#gatherMs = gatherMs;
    this.#bytesMax = bytesMax;
  }

  /** Takes over what is kept; without anything kept, fresh credentials are written before they are used. */
  async open() {
    const blob = await this.#place.load();
    if (blob) {
      this.#state = await unpack(blob);
      this.#known = [this.#writer, /** @type {Buffer} */ (writerOf(blob))];
      this.#kept = this.#changes;
    } else {
      this.changed();
      await this.flush();
    }
  }

  /**
   * Whether what is kept was written by another connector since we read or wrote it: then what is in memory is stale.
   */
  async isStale() {
    return !this.#mayReplace(await this.#place.load());
  }

  /** Forgets everything: the session begins anew with fresh keys. */
  async reset() {
    this.#state = { creds: initAuthCreds(), keys: new Map() };
    this.changed();
    await this.flush();
  }

  /** What Baileys works with. `creds` is one object for as long as a socket lives. */
  get creds() {
    return this.#state.creds;
  }

  /** @returns {import('baileys').SignalKeyStore} */
  get keys() {
    return {
      get: async (kind, ids) => this.#get(kind, ids),
      set: (data) => this.#set(data),
    };
  }

  /**
   * Takes keys in at once, without waiting for anything.
   *
   * @param {Record<string, Record<string, any>>} data
   */
  put(data) {
    for (const [kind, changes] of Object.entries(data)) {
      let entries = this.#state.keys.get(kind);
      if (!entries) this.#state.keys.set(kind, (entries = new Map()));
      for (const [id, value] of Object.entries(changes ?? {})) {
        entries.delete(id);
        if (value !== null && value !== undefined) entries.set(id, value);
      }
    }
    this.changed();
  }

  /** Something has changed; it will be written soon. */
  changed() {
    this.#changes += 1;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.flush().catch(() => undefined);
    }, this.#gatherMs);
  }

  /** Returns when everything that has changed until now is kept. */
  async flush() {
    const wanted = this.#changes;
    while (this.#kept < wanted) {
      if (this.#failure) throw this.#failure;
      await (this.#saving ??= this.#save().finally(() => {
        this.#saving = undefined;
      }));
    }
  }

  /**
   * Nothing is written until what is returned is called.
   *
   * @returns {() => void}
   */
  hold() {
    this.#holds += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holds -= 1;
      if (this.#holds === 0) for (const released of this.#released.splice(0)) released();
    };
  }

  get isHeld() {
    return this.#holds > 0;
  }

  /** Ends the timer; what is not flushed is not written. */
  close() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** @param {Buffer | undefined} kept */
  #mayReplace(kept) {
    const writer = writerOf(kept);
    return writer === undefined || this.#known.some((known) => known.equals(writer));
  }

  async #save() {
    while (this.#holds > 0) await new Promise((resolve) => this.#released.push(() => resolve(undefined)));
    const changes = this.#changes;
    try {
      const { blob, dropped } = await packWithin(this.#state, this.#writer, this.#bytesMax);
      if (dropped > 0)
        this.#log.warn(
          { dropped, bytes: blob.length },
          'the credentials were too large: the oldest keys of peers are given up',
        );
      await this.#place.save(blob, (kept) => this.#mayReplace(kept));
      this.#kept = changes;
    } catch (error) {
      if (!this.#failure) {
        this.#failure = error;
        this.onFailure(error);
      }
      throw error;
    }
  }

  /**
   * @param {string} kind
   * @param {string[]} ids
   * @returns {any}
   */
  #get(kind, ids) {
    const entries = this.#state.keys.get(kind);
    /** @type {Record<string, any>} */
    const found = {};
    for (const id of ids) {
      const value = entries?.get(id);
      if (value === undefined) continue;
      found[id] = given(kind, value);
      if (RANKED.has(kind)) {
        entries?.delete(id);
        entries?.set(id, value);
      }
    }
    return found;
  }

  /** @param {Record<string, Record<string, any>>} data */
  async #set(data) {
    this.put(data);
    // New pre-keys are about to be published: whoever uses one must find us able to read it, also after a restart.
    const isNewPreKey = Object.values(data['pre-key'] ?? {}).some((value) => value !== null);
    if (isNewPreKey) await this.flush();
  }
}

/**
 * A value as Baileys expects it.
 *
 * @param {string} kind
 * @param {any} value
 */
function given(kind, value) {
  if (kind === 'app-state-sync-key') return proto.Message.AppStateSyncKeyData.fromObject(value);
  return COPIED.has(kind) ? structuredClone(value) : value;
}
