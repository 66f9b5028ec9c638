/**
 * An engine for tests: devices, credentials and the gateway protocol, in memory and under the test's control.
 */

import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import { WebSocketServer } from 'ws';

/**
 * Emits `frame` (frame, device) for all that gateways say, `session` (device, fence), `credentials` (device).
 */
export class FakeEngine extends EventEmitter {
  /** @type {Map<string, { settings: any, connector: string, fence: number, credentials?: Buffer, socket?: import('ws').WebSocket, hello?: any }>} */
  devices = new Map();
  /** Event frames that are durable, in order, each once. @type {any[]} */
  events = [];
  /** All frames, with repetitions. @type {any[]} */
  frames = [];
  /** Whether events are acknowledged. */
  acknowledges = true;
  /** Statuses with which the next writes of credentials are refused. @type {number[]} */
  refuseWrites = [];
  /** Answers to the next attempts to open a session. @type {Array<{ status: number, retryAfter?: string }>} */
  refuseSessions = [];
  /** How often credentials were written. */
  writes = 0;
  #http = http.createServer((request, response) => void this.#answer(request, response));
  #ws = new WebSocketServer({ noServer: true, handleProtocols: () => 'trunkline.v1' });
  #ids = 0;

  constructor() {
    super();
    this.setMaxListeners(0);
    this.#http.on('upgrade', (request, socket, head) => {
      const device = deviceOf(request.url ?? '');
      const refusal = this.refuseSessions.shift();
      if (refusal) return refuse(socket, refusal);
      return this.#ws.handleUpgrade(request, socket, head, (ws) => this.#open(device, ws));
    });
  }

  async start(port = 0) {
    this.#http.listen(port, '127.0.0.1');
    await once(this.#http, 'listening');
    return new URL(`http://127.0.0.1:${this.port}`);
  }

  get port() {
    return /** @type {import('node:net').AddressInfo} */ (this.#http.address()).port;
  }

  async stop() {
    this.cutAll();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  /** @param {string} id */
  addDevice(id, settings = {}, connector = 'baileys') {
    /** @type {{ settings: any, connector: string, fence: number, credentials?: Buffer, socket?: import('ws').WebSocket }} */
    const device = { settings, connector, fence: 0 };
    this.devices.set(id, device);
    return device;
  }

  /** Ends all connections without a word. */
  cutAll() {
    for (const { socket } of this.devices.values()) socket?.terminate();
  }

  /**
   * Asks a device's gateway for something and waits for the result.
   *
   * @param {string} id
   * @param {string} name
   * @param {any} args
   */
  async command(id, name, args, { command = `cmd_${++this.#ids}`, withinMs = 10_000 } = {}) {
    const deadline = new Date(Date.now() + withinMs).toISOString();
    this.send(id, { kind: 'command', id: command, name, args, deadline });
    return this.frame((frame) => frame.kind === 'result' && frame.id === command);
  }

  /**
   * @param {string} id
   * @param {any} frame
   */
  send(id, frame) {
    this.devices.get(id)?.socket?.send(JSON.stringify(frame));
  }

  /**
   * Waits for a frame, which may have come already.
   *
   * @param {(frame: any) => any} isIt
   */
  async frame(isIt) {
    for (;;) {
      const found = this.frames.find(isIt);
      if (found) return found;
      await once(this, 'frame');
    }
  }

  /**
   * Waits for an event of this type.
   *
   * @param {string} type
   * @param {(frame: any) => any} [isIt]
   */
  event(type, isIt = () => true) {
    return this.frame((frame) => frame.kind === 'event' && frame.type === type && isIt(frame));
  }

  /** Waits for a state frame. */
  state(/** @type {string} */ state, /** @type {(frame: any) => any} */ isIt = () => true) {
    return this.frame((frame) => frame.kind === 'state' && frame.state === state && isIt(frame));
  }

  /** Acknowledges what was held back. */
  acknowledgeAll() {
    this.acknowledges = true;
    for (const [id, { socket }] of this.devices)
      if (socket) for (const frame of this.frames) if (frame.kind === 'event') this.#take(id, frame, true);
  }

  /**
   * @param {string} id
   * @param {import('ws').WebSocket} socket
   */
  #open(id, socket) {
    const device = this.devices.get(id);
    if (!device) return socket.close(1008);
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data));
      if (frame.kind === 'hello') {
        const before = device.socket;
        device.socket = socket;
        device.fence += 1;
        before?.send(JSON.stringify({ kind: 'bye', reason: 'replaced' }));
        this.send(id, { kind: 'welcome', device: id, fence: device.fence, heartbeat_seconds: 30 });
        this.emit('session', id, device.fence);
      }
      this.frames.push(frame);
      if (frame.kind === 'event') this.#take(id, frame, this.acknowledges);
      if (frame.kind === 'ping') this.send(id, { kind: 'pong' });
      this.emit('frame', frame, id);
    });
    socket.on('close', () => {
      if (device.socket === socket) device.socket = undefined;
    });
  }

  /**
   * @param {string} id
   * @param {any} frame
   * @param {boolean} isDurable
   */
  #take(id, frame, isDurable) {
    if (!isDurable) return;
    // As the engine does: a message is known by its key, everything else by its frame.
    const name = frame.type === 'message.received' ? JSON.stringify(frame.key) : JSON.stringify(frame);
    let position = this.events.findIndex((event) => event.name === name);
    if (position < 0) position = this.events.push({ ...frame, name }) - 1;
    this.send(id, { kind: 'ack', id: frame.id, position });
  }

  /**
   * @param {http.IncomingMessage} request
   * @param {http.ServerResponse} response
   */
  async #answer(request, response) {
    const id = deviceOf(request.url ?? '');
    const device = this.devices.get(id);
    if (request.url?.startsWith('/v1/devices?')) {
      const data = [...this.devices].map(([id, { settings, connector }]) => ({ id, name: id, connector, settings }));
      return json(response, { data, meta: { next_cursor: null } });
    }
    if (!device) return response.writeHead(404).end();
    if (!request.url?.endsWith('/credentials'))
      return json(response, { data: { id, name: id, connector: device.connector, settings: device.settings } });
    if (request.method === 'GET')
      return response.writeHead(device.credentials ? 200 : 204, { etag: `"${device.fence}"` }).end(device.credentials);
    const body = await bodyOf(request);
    const refusal = this.refuseWrites.shift();
    if (refusal) return response.writeHead(refusal).end();
    if (request.headers['if-match'] !== `"${device.fence}"`) return response.writeHead(412).end();
    device.credentials = body;
    this.writes += 1;
    response.writeHead(204).end();
    this.emit('credentials', id);
  }
}

/**
 * @param {import('node:stream').Duplex} socket
 * @param {{ status: number, retryAfter?: string }} refusal
 */
function refuse(socket, { status, retryAfter }) {
  const header = retryAfter ? `Retry-After: ${retryAfter}\r\n` : '';
  socket.end(`HTTP/1.1 ${status} Refused\r\n${header}Connection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** @param {string} url */
function deviceOf(url) {
  return /^\/v1\/devices\/([^/?]+)/.exec(url)?.[1] ?? '';
}

/**
 * @param {http.ServerResponse} response
 * @param {unknown} body
 */
function json(response, body) {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** @param {http.IncomingMessage} request */
async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}
