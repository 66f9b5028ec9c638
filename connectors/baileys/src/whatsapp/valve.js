/**
 * Decides when Baileys may work on what WhatsApp sends: one stanza of a kind at a time, and none while the engine cannot
 * take what comes of it.
 *
 * It stands before Baileys' own handlers. What it holds back is neither worked on nor acknowledged, so WhatsApp keeps it;
 * when too much is held back the connection itself is not read. It does not look into messages.
 */

const KINDS = /** @type {const} */ (['message', 'receipt', 'notification']);
const HELD_MAX = 500;
const HELD_LOW = 100;

/** @typedef {(typeof KINDS)[number]} Kind */

export class Valve {
  /** @type {Record<Kind, any[]>} */
  #queues = { message: [], receipt: [], notification: [] };
  /** @type {Record<Kind, any>} */
  #current = { message: undefined, receipt: undefined, notification: undefined };
  /** @type {Map<Kind, Function[]>} */
  #handlers = new Map();
  #ws;
  #admit;
  #around;
  #signal;
  #isPaused = false;

  /**
   * @param {object} options
   * @param {any} options.ws Baileys' WebSocket client, whose handlers are all in place
   * @param {() => Promise<void>} options.admit returns when there is room for what the next stanza brings
   * @param {(kind: Kind, node: any, handle: () => Promise<void>) => Promise<void>} options.around what else is done with a stanza
   * @param {AbortSignal} options.signal the socket is over
   */
  constructor({ ws, admit, around, signal }) {
    this.#ws = ws;
    this.#admit = admit;
    this.#around = around;
    this.#signal = signal;
    for (const kind of KINDS) this.#take(kind);
  }

  /**
   * The stanza of a kind that is being worked on.
   *
   * @param {Kind} kind
   */
  current(kind) {
    return this.#current[kind];
  }

  /** @param {Kind} kind */
  #take(kind) {
    const event = `CB:${kind}`;
    const handlers = this.#ws.listeners(event);
    if (handlers.length === 0)
      throw new Error(`Baileys does not listen to ${event}: this connector does not fit its version`);
    this.#handlers.set(kind, handlers);
    this.#ws.removeAllListeners(event);
    this.#ws.on(event, (/** @type {any} */ node) => this.#hold(kind, node));
  }

  /**
   * @param {Kind} kind
   * @param {any} node
   */
  #hold(kind, node) {
    const queue = this.#queues[kind];
    queue.push(node);
    if (this.#held() >= HELD_MAX) this.#pause(true);
    if (this.#current[kind] === undefined) void this.#work(kind);
  }

  /** @param {Kind} kind */
  async #work(kind) {
    const queue = this.#queues[kind];
    while (queue.length > 0 && !this.#signal.aborted) {
      const node = queue.shift();
      this.#current[kind] = node;
      await this.#admit();
      if (this.#signal.aborted) break;
      await this.#around(kind, node, () => this.#handle(kind, node));
      if (this.#held() <= HELD_LOW) this.#pause(false);
    }
    this.#current[kind] = undefined;
  }

  /**
   * @param {Kind} kind
   * @param {any} node
   */
  async #handle(kind, node) {
    for (const handler of this.#handlers.get(kind) ?? []) await handler(node);
  }

  #held() {
    return KINDS.reduce((sum, kind) => sum + this.#queues[kind].length, 0);
  }

  /** @param {boolean} isPaused */
  #pause(isPaused) {
    if (this.#isPaused === isPaused) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#ws.socket?.pause();
    else this.#ws.socket?.resume();
  }
}
