/**
 * Decides which event frames still have to be sent, in which order, and when there is room for more.
 *
 * A frame stays until the engine has acknowledged or refused it. It knows no socket: the link takes the frames from here.
 */

/**
 * @typedef {object} MessageKey
 * @property {string} chat
 * @property {string} sender empty = the device itself
 * @property {string} id
 *
 * @typedef {object} EventFrame
 * @property {string} id names the frame for its ack; the same thing that happened has the same id
 * @property {string} type
 * @property {string} [at]
 * @property {MessageKey} [key]
 * @property {unknown} data
 *
 * @typedef {{ stored: true, position: unknown } | { stored: false, code: string, message: string }} Settled
 */

export const FRAMES_MAX = 64;
export const BYTES_MAX = 1024 * 1024;

export class Outbox {
  /** @type {Map<string, { text: string, settled: Promise<Settled>, settle: (settled: Settled) => void }>} */
  #frames = new Map();
  #bytes = 0;
  #isOpen = false;
  /** @type {Set<() => void>} */
  #waiting = new Set();
  #limits;

  /** Called with the text of each frame that is new, in order. */
  onFrame = (/** @type {string} */ _text) => {};

  /** @param {{ framesMax?: number, bytesMax?: number }} [limits] */
  constructor({ framesMax = FRAMES_MAX, bytesMax = BYTES_MAX } = {}) {
    this.#limits = { framesMax, bytesMax };
  }

  /** How many frames are not acknowledged. */
  get size() {
    return this.#frames.size;
  }

  /**
   * Takes a frame in. The promise says what the engine did with it; it never fails.
   * A frame whose id is still on its way is not taken twice.
   *
   * @param {EventFrame} frame
   * @returns {Promise<Settled>}
   */
  push(frame) {
    const known = this.#frames.get(frame.id);
    if (known) return known.settled;
    const text = JSON.stringify({ kind: 'event', ...frame });
    /** @type {(settled: Settled) => void} */
    let settle = () => {};
    const settled = new Promise((/** @type {(settled: Settled) => void} */ resolve) => {
      settle = resolve;
    });
    this.#frames.set(frame.id, { text, settled, settle });
    this.#bytes += text.length;
    this.onFrame(text);
    return settled;
  }

  /**
   * The engine has answered: the frame is done with.
   *
   * @param {string} id
   * @param {Settled} outcome
   */
  settle(id, outcome) {
    const frame = this.#frames.get(id);
    if (!frame) return;
    this.#frames.delete(id);
    this.#bytes -= frame.text.length;
    frame.settle(outcome);
    this.#wake();
  }

  /** The frames to send again after a reconnect, oldest first. */
  unsettled() {
    return [...this.#frames.values()].map((frame) => frame.text);
  }

  /**
   * The link is up or down. While it is down there is no room: what WhatsApp has not handed over yet, it keeps.
   *
   * @param {boolean} isOpen
   */
  setOpen(isOpen) {
    this.#isOpen = isOpen;
    this.#wake();
  }

  get hasRoom() {
    return this.#isOpen && this.#frames.size < this.#limits.framesMax && this.#bytes < this.#limits.bytesMax;
  }

  /**
   * Waits until more may be taken in.
   *
   * @param {AbortSignal} [signal]
   */
  async room(signal) {
    while (!this.hasRoom && !signal?.aborted) await this.#change(signal);
  }

  /**
   * Waits until everything is acknowledged.
   *
   * @param {AbortSignal} [signal]
   */
  async idle(signal) {
    while (this.#frames.size > 0 && !signal?.aborted) await this.#change(signal);
  }

  /** @param {AbortSignal} [signal] */
  #change(signal) {
    return new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }

  #wake() {
    for (const wake of [...this.#waiting]) wake();
  }
}
