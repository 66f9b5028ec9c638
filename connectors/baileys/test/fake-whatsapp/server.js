/**
 * A WhatsApp server for tests: pairs, logs in, answers what Baileys asks, keeps what was not acknowledged.
 *
 * One process, in memory. It knows what the connector needs to be tested and nothing more.
 */

import { EventEmitter, once } from 'node:events';
import { WebSocketServer } from 'ws';
import { Curve, decodeBinaryNode, encodeBinaryNode, hmacSign, proto } from 'baileys';
import { answerTo } from './answers.js';
import { ServerNoise, makeIdentity, trustRoot } from './noise.js';
import { Peer, bundleOf, childOf, childrenOf } from './peer.js';

const SERVER = 's.whatsapp.net';
const QR_REFS = 5;
const QR_PREFIX = 'https://wa.me/settings/linked_devices#';

/** An account with the connector as its linked device. */
export class Account {
  jid;
  lid;
  /** @type {any} the last upload of keys */
  #upload;
  /** @type {any[]} */
  preKeys = [];
  /** Stanzas that the device has not acknowledged. @type {Map<string, any>} */
  waiting = new Map();
  privacy = /** @type {Record<string, string>} */ ({
    readreceipts: 'all',
    profile: 'all',
    status: 'contacts',
    online: 'match_last_seen',
    last: 'contacts',
    groupadd: 'all',
  });

  /** @param {string} number */
  constructor(number) {
    this.number = number;
    this.jid = `${number}:7@${SERVER}`;
    this.lid = `9${number}:7@lid`;
  }

  /** @param {any} upload */
  uploaded(upload) {
    this.#upload = upload;
    this.preKeys.push(...childrenOf(childOf(upload, 'list')));
  }

  takeBundle() {
    return bundleOf(this.#upload, this.preKeys);
  }
}

/**
 * Emits `stanza` (node, account) for all that a logged in client sends, `login` (account), `registration`.
 */
export class FakeWhatsApp extends EventEmitter {
  /** @type {Map<string, Account>} number → account */
  accounts = new Map();
  /** @type {Map<string, Peer>} address → peer */
  peers = new Map();
  /** @type {Map<string, any>} JID → group node */
  groups = new Map();
  /** Attributes of the acks of messages, such as an error. @type {Record<string, string>} */
  refusal = {};
  /** All stanzas that clients have sent. @type {any[]} */
  received = [];
  #identity = makeIdentity(trustRoot());
  #server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  /** @type {Set<Client>} */
  #clients = new Set();
  #ids = 0;

  constructor() {
    super();
    this.setMaxListeners(0);
    this.#server.on('connection', (socket) => {
      const client = new Client(this, socket, new ServerNoise(this.#identity));
      this.#clients.add(client);
      socket.on('close', () => this.#clients.delete(client));
    });
  }

  async url() {
    if (!this.#server.address()) await once(this.#server, 'listening');
    const { port } = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    return `ws://127.0.0.1:${port}/ws/chat`;
  }

  async stop() {
    for (const client of this.#clients) client.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** @param {string} number */
  addPeer(number) {
    const peer = new Peer(number);
    this.peers.set(peer.jid, peer).set(peer.lid, peer);
    return peer;
  }

  /**
   * Somebody scans the QR code with the phone of this number.
   *
   * @param {string} qr
   * @param {string} number
   */
  async scan(qr, number) {
    const [ref, , identity, secret] = qr.slice(QR_PREFIX.length).split(',');
    const client = [...this.#clients].find((client) => client.refs.includes(ref));
    if (!client) throw new Error('nobody shows this QR code');
    const account = new Account(number);
    this.accounts.set(number, account);
    client.paired(account, Buffer.from(identity, 'base64'), Buffer.from(secret, 'base64'));
    await this.#sent((node) => node.tag === 'iq' && childOf(node, 'pair-device-sign'));
    client.send({ tag: 'stream:error', attrs: { code: '515' } });
    client.end();
    return account;
  }

  /** The connection of an account. */
  clientOf(/** @type {Account} */ account) {
    return [...this.#clients].find((client) => client.account === account && client.isOpen);
  }

  /**
   * Sends a stanza, and again after each login until it is acknowledged.
   *
   * @param {Account} account
   * @param {any} node
   */
  deliver(account, node) {
    account.waiting.set(node.attrs.id, node);
    this.clientOf(account)?.send(node);
    return node.attrs.id;
  }

  /**
   * A message from a peer to the account.
   *
   * @param {Account} account
   * @param {Peer} peer
   * @param {any} message
   * @param {{ id?: string, t?: number }} [options]
   */
  async say(account, peer, message, { id = this.nextId(), t = 1_760_000_000 } = {}) {
    const attrs = {
      from: peer.jid,
      id,
      t: String(t),
      type: 'text',
      notify: `Peer ${peer.number}`,
      sender_lid: peer.lid,
    };
    return this.deliver(account, { tag: 'message', attrs, content: [await peer.encrypt(account, message)] });
  }

  /**
   * A message from a peer to a group.
   *
   * @param {Account} account
   * @param {Peer} peer
   * @param {string} group
   * @param {any} message
   */
  async sayToGroup(account, peer, group, message) {
    const attrs = {
      from: group,
      participant: peer.jid,
      id: this.nextId(),
      t: '1760000000',
      type: 'text',
      participant_lid: peer.lid,
    };
    return this.deliver(account, {
      tag: 'message',
      attrs,
      content: await peer.encryptToGroup(account, group, message),
    });
  }

  nextId() {
    this.#ids += 1;
    return `FAKE${String(this.#ids).padStart(12, '0')}`;
  }

  /** The next stanza that a client sends, or one that it has sent, for which this is true. */
  async #sent(/** @type {(node: any) => any} */ isIt) {
    for (;;) {
      const found = this.received.find(isIt);
      if (found) return found;
      await once(this, 'stanza');
    }
  }

  /**
   * Waits until a client has sent such a stanza.
   *
   * @param {string} tag
   * @param {Record<string, string>} [attrs]
   */
  sent(tag, attrs = {}) {
    return this.#sent(
      (node) => node.tag === tag && Object.entries(attrs).every(([name, value]) => node.attrs[name] === value),
    );
  }
}

/** One connection of a client. */
class Client {
  /** @type {string[]} */
  refs = [];
  /** @type {Account | undefined} */
  account;
  #server;
  #socket;
  #noise;
  #step = 'hello';
  /** Frames are worked on in order. */
  #working = Promise.resolve();

  /**
   * @param {FakeWhatsApp} server
   * @param {import('ws').WebSocket} socket
   * @param {ServerNoise} noise
   */
  constructor(server, socket, noise) {
    this.#server = server;
    this.#socket = socket;
    this.#noise = noise;
    socket.on('message', (/** @type {Buffer} */ bytes) => {
      for (const frame of noise.frames(bytes)) this.#working = this.#working.then(() => this.#take(frame));
    });
  }

  get isOpen() {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** @param {any} node */
  send(node) {
    if (this.isOpen) this.#socket.send(this.#noise.seal(encodeBinaryNode(node)));
  }

  end() {
    this.#socket.close();
  }

  /** Ends the connection without a word. */
  cut() {
    this.#socket.terminate();
  }

  /**
   * @param {Account} account
   * @param {Buffer} identity of the device
   * @param {Buffer} secret from its QR code
   */
  paired(account, identity, secret) {
    this.account = account;
    const phone = Curve.generateKeyPair();
    const details = proto.ADVDeviceIdentity.encode({ rawId: 1, timestamp: 1, keyIndex: 1 }).finish();
    const accountSignature = Curve.sign(phone.private, Buffer.concat([Buffer.from([6, 0]), details, identity]));
    const signed = proto.ADVSignedDeviceIdentity.encode({
      details,
      accountSignatureKey: phone.public,
      accountSignature,
    }).finish();
    const bytes = proto.ADVSignedDeviceIdentityHMAC.encode({
      details: signed,
      hmac: hmacSign(Buffer.from(signed), secret),
    }).finish();
    const content = [
      { tag: 'device-identity', attrs: {}, content: bytes },
      { tag: 'platform', attrs: { name: 'android' } },
      { tag: 'device', attrs: { jid: account.jid, lid: account.lid } },
    ];
    this.send({
      tag: 'iq',
      attrs: { from: SERVER, type: 'set', id: 'pair' },
      content: [{ tag: 'pair-success', attrs: {}, content }],
    });
  }

  /** @param {Buffer} frame */
  async #take(frame) {
    if (this.#step === 'hello') {
      this.#step = 'finish';
      this.#socket.send(this.#noise.hello(frame));
    } else if (this.#step === 'finish') {
      this.#step = 'open';
      this.#begin(this.#noise.finish(frame));
    } else {
      this.#stanza(await decodeBinaryNode(frame));
    }
  }

  /** @param {any} payload who logs in, or wants to be paired */
  #begin(payload) {
    if (payload.devicePairingData) {
      this.refs = Array.from({ length: QR_REFS }, (_, index) => `ref-${this.#server.nextId()}-${index}`);
      const refs = this.refs.map((ref) => ({ tag: 'ref', attrs: {}, content: Buffer.from(ref) }));
      this.send({
        tag: 'iq',
        attrs: { from: SERVER, type: 'set', id: 'qr', xmlns: 'md' },
        content: [{ tag: 'pair-device', attrs: {}, content: refs }],
      });
      this.#server.emit('registration');
      return;
    }
    this.account = this.#server.accounts.get(String(payload.username));
    if (!this.account) {
      this.send({ tag: 'failure', attrs: { reason: '401' } });
      return;
    }
    this.send({ tag: 'success', attrs: { t: '1760000000', lid: this.account.lid } });
  }

  /** @param {any} node */
  #stanza(node) {
    this.#server.received.push(node);
    if (node.tag === 'iq' && ['get', 'set'].includes(node.attrs.type)) {
      const answer = answerTo(node, this.#server, this.account);
      this.send({ tag: 'iq', attrs: { from: SERVER, type: 'result', id: node.attrs.id }, ...answer });
      if (childOf(node, 'active')) this.#online();
    }
    if (node.tag === 'message') {
      this.send({
        tag: 'ack',
        attrs: { class: 'message', id: node.attrs.id, from: node.attrs.to, t: '1760000100', ...this.#server.refusal },
      });
    }
    if (['receipt', 'ack'].includes(node.tag)) this.account?.waiting.delete(node.attrs.id);
    this.#server.emit('stanza', node, this.account);
  }

  /** What waits is sent, marked as of the past. */
  #online() {
    const waiting = [...(this.account?.waiting.values() ?? [])];
    for (const node of waiting) this.send({ ...node, attrs: { ...node.attrs, offline: '1' } });
    this.send({
      tag: 'ib',
      attrs: { from: SERVER },
      content: [{ tag: 'offline', attrs: { count: String(waiting.length) } }],
    });
    this.#server.emit('login', this.account);
  }
}
