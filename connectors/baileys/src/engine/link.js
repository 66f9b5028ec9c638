/**
 * Keeps one device's session at the engine: the gateway WebSocket, its heartbeat, its reconnects.
 *
 * After each reconnect the device's state is said again and every unacknowledged frame is sent again in order; the engine
 * drops what it has. What the frames mean is not known here. `replaced` and `revoked` are obeyed: the link stays down.
 */

import { EventEmitter } from 'node:events';
import WebSocket from 'ws';
import { Backoff, pause } from '../backoff.js';
import { Outbox } from './outbox.js';

export const SUBPROTOCOL = 'trunkline.v1';
const FRAME_BYTES_MAX = 1024 * 1024;
const HANDSHAKE_TIMEOUT_MS = 20_000;
/** How long a link has to last before the next failure counts as a first one. */
const SETTLED_AFTER_MS = 10_000;
/** Answers that trying again soon does not change: the key or the device is not there. */
const LASTING_REFUSALS = new Set([400, 401, 403, 404]);
const LASTING_REFUSAL_PAUSE_MS = 60_000;
const FINAL_BYES = new Set(['replaced', 'revoked']);

/**
 * @typedef {{ state: 'pairing' | 'connected' | 'offline', qr?: string, reason?: string }} DeviceState
 * @typedef {{ id: string, name: string, args: any, deadline: string }} Command
 * @typedef {{ id: string, ok: true, data: unknown } | { id: string, ok: false, error: { code: string, message: string } }} CommandResult
 */

/**
 * Emits `up` (fence), `down`, `command` (Command) and, once, `over` (the bye's reason).
 */
export class GatewayLink extends EventEmitter {
  outbox;
  #url;
  #headers;
  #gateway;
  #log;
  /** @type {WebSocket | undefined} */
  #socket;
  #isUp = false;
  /** @type {DeviceState | undefined} */
  #state;
  /** @type {number | undefined} */
  #fence;
  #ending = new AbortController();
  #backoff = new Backoff({ firstMs: 500, maxMs: 30_000 });
  /** @type {Promise<void> | undefined} */
  #running;

  /**
   * @param {{ url: URL, headers: Record<string, string>, gateway: string, log: import('pino').Logger, outbox?: Outbox }} options
   */
  constructor({ url, headers, gateway, log, outbox = new Outbox() }) {
    super();
    this.#url = url;
    this.#headers = headers;
    this.#gateway = gateway;
    this.#log = log;
    this.outbox = outbox;
    outbox.onFrame = (text) => this.#sendText(text);
  }

  /** The fence of the open session; undefined while the link is down. */
  get fence() {
    return this.#isUp ? this.#fence : undefined;
  }

  /** Starts to connect, and goes on until the end. */
  start() {
    this.#running ??= this.#run();
  }

  /** Says what frames are on their way, waits for their acks no longer than told, and closes. */
  async stop(withinMs = 0) {
    const inTime = AbortSignal.timeout(withinMs);
    if (this.#isUp && withinMs > 0) await this.outbox.idle(inTime);
    this.#ending.abort();
    this.#socket?.close(1000);
    await this.#running;
  }

  /**
   * Says where the device stands, now and after each reconnect.
   *
   * @param {DeviceState} state
   */
  report(state) {
    this.#state = state;
    this.#send({ kind: 'state', ...state });
  }

  /**
   * Answers a command. While the link is down nothing is kept: the engine asks again after the reconnect.
   *
   * @param {CommandResult} result
   */
  answer(result) {
    this.#send({ kind: 'result', ...result });
  }

  async #run() {
    while (!this.#ending.signal.aborted) {
      const startedAt = Date.now();
      const { pauseMs } = await this.#session();
      if (this.#ending.signal.aborted) return;
      if (Date.now() - startedAt > SETTLED_AFTER_MS) this.#backoff.reset();
      await pause(Math.max(pauseMs, this.#backoff.next()), this.#ending.signal);
    }
  }

  /**
   * One connection from its beginning to its end.
   *
   * @returns {Promise<{ pauseMs: number }>} how long to wait at least before the next
   */
  #session() {
    return new Promise((resolve) => {
      const socket = new WebSocket(this.#url, SUBPROTOCOL, {
        headers: this.#headers,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        maxPayload: FRAME_BYTES_MAX,
      });
      this.#socket = socket;
      let pauseMs = 0;
      socket.on('open', () => this.#write(socket, { kind: 'hello', gateway: this.#gateway }));
      socket.on('message', (data) => this.#take(socket, String(data)));
      socket.on('unexpected-response', (request, response) => {
        pauseMs = pauseAfter(response.statusCode ?? 0, response.headers['retry-after']);
        this.#log.warn({ status: response.statusCode }, 'the engine refused the session');
        request.destroy();
        socket.terminate();
      });
      socket.on('error', (error) => this.#log.debug({ err: error }, 'the link to the engine failed'));
      socket.on('close', () => {
        this.#goDown();
        resolve({ pauseMs });
      });
    });
  }

  /**
   * @param {WebSocket} socket
   * @param {string} text
   */
  #take(socket, text) {
    const frame = parse(text);
    switch (frame?.kind) {
      case 'welcome':
        return this.#goUp(socket, frame);
      case 'ack':
        return this.outbox.settle(frame.id, { stored: true, position: frame.position });
      case 'nack':
        return this.#refused(frame);
      case 'command':
        return this.emit('command', frame);
      case 'bye':
        return this.#bye(socket, frame.reason);
      default:
        // Kinds that are not known are passed over: the engine may be newer.
        return undefined;
    }
  }

  /**
   * @param {WebSocket} socket
   * @param {{ fence: number, heartbeat_seconds: number }} welcome
   */
  #goUp(socket, welcome) {
    this.#isUp = true;
    this.#fence = welcome.fence;
    this.#watch(socket, (welcome.heartbeat_seconds || 30) * 1000);
    if (this.#state) this.#write(socket, { kind: 'state', ...this.#state });
    for (const text of this.outbox.unsettled()) socket.send(text);
    this.#log.info({ fence: welcome.fence, unacknowledged: this.outbox.size }, 'the session at the engine is open');
    this.outbox.setOpen(true);
    this.emit('up', welcome.fence);
  }

  #goDown() {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.outbox.setOpen(false);
    this.#log.info('the session at the engine is closed');
    this.emit('down');
  }

  /**
   * Says something in every heartbeat, and ends a connection on which nothing was heard for two.
   *
   * @param {WebSocket} socket
   * @param {number} heartbeatMs
   */
  #watch(socket, heartbeatMs) {
    let heardAt = Date.now();
    const heard = () => {
      heardAt = Date.now();
    };
    const timer = setInterval(() => {
      if (Date.now() - heardAt > 2 * heartbeatMs) socket.terminate();
      else this.#write(socket, { kind: 'ping' });
    }, heartbeatMs * 0.75);
    socket.on('message', heard);
    socket.on('ping', heard);
    socket.on('close', () => clearInterval(timer));
  }

  /** @param {{ id?: string | null, error: { code: string, message: string } }} nack */
  #refused({ id, error }) {
    this.#log.warn({ frame: id, code: error?.code, reason: error?.message }, 'the engine refused a frame');
    if (id) this.outbox.settle(id, { stored: false, code: error?.code, message: error?.message });
  }

  /**
   * @param {WebSocket} socket
   * @param {string} reason
   */
  #bye(socket, reason) {
    this.#log.info({ reason }, 'the engine said goodbye');
    const isFinal = FINAL_BYES.has(reason);
    if (isFinal) this.#ending.abort();
    socket.close(1000);
    if (isFinal) this.emit('over', reason);
  }

  /** @param {object} frame */
  #send(frame) {
    this.#sendText(JSON.stringify(frame));
  }

  /** @param {string} text */
  #sendText(text) {
    if (this.#isUp && this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  /**
   * @param {WebSocket} socket
   * @param {object} frame
   */
  #write(socket, frame) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  }
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * How long to wait after an answer other than the upgrade.
 *
 * @param {number} status
 * @param {string | undefined} retryAfter
 */
function pauseAfter(status, retryAfter) {
  const seconds = Number(retryAfter);
  if (seconds > 0) return seconds * 1000;
  return LASTING_REFUSALS.has(status) ? LASTING_REFUSAL_PAUSE_MS : 0;
}
