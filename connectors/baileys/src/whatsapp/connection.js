/**
 * Runs one connection of Baileys to WhatsApp, from its beginning to its end, and turns what it tells into event frames.
 *
 * What follows after the end is decided by the session. Nothing of a chat is kept here.
 */

import { EventEmitter } from 'node:events';
import { DEFAULT_CONNECTION_CONFIG, cleanMessage, decodeMessageNode, makeWASocket, proto } from 'baileys';
import { Recent } from '../recent.js';
import { makeAddresses } from './addresses.js';
import { numberOf } from './frames.js';
import * as groups from './groups.js';
import { Inbound } from './inbound.js';
import * as messages from './messages.js';
import { Valve } from './valve.js';

const TOLD_MAX = 2_000;
/** Notifications that become events here. The others keep WhatsApp's note that they are of the past: Baileys looks at it. */
const TOLD_NOTIFICATIONS = new Set(['w:gp2', 'picture']);

/**
 * @typedef {object} Settings of one device
 * @property {string} [phone] pair with a code for this number instead of a QR code
 * @property {boolean} [mark_online] show the account as online while connected
 * @property {'none' | 'on_demand' | 'all'} [history]
 *
 * @typedef {object} Shared what outlives a connection
 * @property {import('./vault.js').Vault} vault
 * @property {import('../engine/outbox.js').Outbox} outbox
 * @property {import('./history.js').Anchors} anchors
 * @property {import('./contacts.js').Contacts} contacts
 * @property {Settings} settings
 * @property {import('../config.js').Config} config
 * @property {import('pino').Logger} log
 * @property {import('pino').Logger} baileysLog
 */

/**
 * Emits `state` (DeviceState without `offline`) and, once, `end` (Baileys' status code).
 */
export class Connection extends EventEmitter {
  sock;
  addresses;
  isOpen = false;
  #shared;
  #valve;
  #over = new AbortController();
  /** Events are told in the order in which Baileys told them. @type {Promise<void>} */
  #telling = Promise.resolve();
  /** Messages whose events are with the engine already. @type {Recent<string, true>} */
  #told = new Recent(TOLD_MAX);
  #hasCode = false;

  /** @param {Shared} shared */
  constructor(shared) {
    super();
    this.#shared = shared;
    const { vault, outbox, log } = shared;
    const inbound = new Inbound({ vault, log, commit: (node, message) => this.#commit(node, message) });
    this.sock = makeWASocket(/** @type {any} */ (this.#options(inbound)));
    this.addresses = makeAddresses(this.sock.signalRepository.lidMapping, () => this.sock.user);
    this.#valve = new Valve({
      ws: this.sock.ws,
      signal: this.#over.signal,
      admit: async () => {
        await this.#telling;
        await outbox.room(this.#over.signal);
      },
      around: (kind, node, handle) => this.#around(inbound, kind, node, handle),
    });
    this.sock.ev.process((told) => this.#hear(told));
  }

  /** Ends the connection. */
  close() {
    this.sock.end(undefined);
  }

  /** @param {Inbound} inbound */
  #options(inbound) {
    const { vault, config, settings, baileysLog } = this.#shared;
    const history = settings.history ?? config.history;
    return {
      auth: { creds: vault.creds, keys: vault.keys },
      logger: baileysLog,
      ...(config.whatsappUrl ? { waWebSocketUrl: config.whatsappUrl } : {}),
      makeSignalRepository: inbound.repositories(DEFAULT_CONNECTION_CONFIG.makeSignalRepository),
      // What is sent by a command is known to the engine.
      emitOwnEvents: false,
      markOnlineOnConnect: settings.mark_online ?? false,
      syncFullHistory: history === 'all',
    };
  }

  /**
   * @param {Inbound} inbound
   * @param {import('./valve.js').Kind} kind
   * @param {any} node
   * @param {() => Promise<void>} handle
   */
  async #around(inbound, kind, node, handle) {
    // Stanzas marked as of the past are worked on by Baileys some time later. The valve lets one in at a time anyway, and
    // has to know when it is done.
    if (kind !== 'notification' || TOLD_NOTIFICATIONS.has(node.attrs.type)) delete node.attrs.offline;
    if (kind === 'message') await inbound.during(node, handle);
    else await handle();
    if (kind === 'notification') this.#tell(() => groups.dissolvedEvents(node, this.addresses, sourceOf(node)));
  }

  /**
   * A message is decrypted, and WhatsApp does not know yet: returns when the engine has it.
   *
   * @param {any} node
   * @param {any} message
   */
  async #commit(node, message) {
    const { id = '', lid = '' } = this.sock.user ?? {};
    const { fullMessage } = decodeMessageNode(node, id, lid);
    const info = { ...fullMessage, message };
    cleanMessage(/** @type {any} */ (info), id, lid);
    const events = await this.#messageEvents(info);
    await Promise.all(events.map((event) => this.#shared.outbox.push(event)));
  }

  /** @param {Record<string, any>} told Baileys' events by name */
  #hear(told) {
    if (told['connection.update']) this.#update(told['connection.update']);
    if (told['creds.update']) this.#shared.vault.changed();
    const source = sourceOf(this.#valve?.current('notification'));
    for (const [name, value] of Object.entries(told)) {
      if (name === 'messaging-history.set') this.#later(() => this.#history(value));
      else this.#tell(() => this.#eventsOf(name, value, source));
    }
  }

  /**
   * @param {string} name
   * @param {any} value
   * @param {groups.Source | undefined} source
   * @returns {Promise<import('./frames.js').EventFrame[]>}
   */
  async #eventsOf(name, value, source) {
    const { addresses } = this;
    switch (name) {
      case 'messages.upsert':
        return (await Promise.all(value.messages.map((/** @type {any} */ info) => this.#messageEvents(info)))).flat();
      case 'messages.update':
        return messages.statusEvents(value, addresses);
      case 'messages.delete':
        return messages.deletionEvents(value, addresses);
      case 'message-receipt.update':
        return messages.receiptEvents(value, addresses);
      case 'groups.upsert':
        return groups.createdEvents(value, addresses, source);
      case 'groups.update':
        return groups.updatedEvents(value, addresses, source);
      case 'group-participants.update':
        return groups.participantEvents(value, addresses, source);
      case 'contacts.upsert':
      case 'contacts.update':
        return groups.contactEvents(this.#shared.contacts.news(value), addresses);
      default:
        return [];
    }
  }

  /**
   * The events of a message, once.
   *
   * @param {any} info
   * @param {{ isHistory?: boolean }} [options]
   */
  async #messageEvents(info, options) {
    const name = JSON.stringify([info.key?.remoteJid, info.key?.participant || '', info.key?.id]);
    if (this.#told.has(name)) return [];
    const events = await messages.messageEvents(info, this.addresses, options);
    if (events.length > 0) this.#told.set(name, true);
    for (const { key } of events) if (key) this.#shared.anchors.saw(info, key.chat);
    return events;
  }

  /** @param {any} set Baileys' `messaging-history.set` */
  async #history({ messages: past, syncType }) {
    const wanted = this.#shared.settings.history ?? this.#shared.config.history;
    const isAsked = syncType === proto.HistorySync.HistorySyncType.ON_DEMAND;
    if (wanted === 'none' || (wanted === 'on_demand' && !isAsked)) return;
    for (const info of past ?? []) {
      await this.#shared.outbox.room(this.#over.signal);
      if (this.#over.signal.aborted) return;
      for (const event of await this.#messageEvents(info, { isHistory: true })) void this.#shared.outbox.push(event);
    }
  }

  /** @param {() => Promise<import('./frames.js').EventFrame[]>} make */
  #tell(make) {
    this.#later(async () => {
      for (const event of await make()) void this.#shared.outbox.push(event);
    });
  }

  /** @param {() => Promise<void>} work */
  #later(work) {
    this.#telling = this.#telling
      .then(work)
      .catch((error) => this.#shared.log.error({ err: error }, 'an event could not be told'));
  }

  /** @param {any} update Baileys' `connection.update` */
  #update({ connection, qr, isNewLogin, lastDisconnect }) {
    if (qr) this.#pair(qr);
    // The pairing is answered by Baileys at once; what it brought must not be lost.
    if (isNewLogin) this.#shared.vault.flush().catch(() => undefined);
    if (connection === 'open') {
      this.isOpen = true;
      this.emit('state', { state: 'connected' });
    }
    if (connection === 'close') {
      this.isOpen = false;
      this.#over.abort();
      this.emit('end', lastDisconnect?.error?.output?.statusCode);
    }
  }

  /** @param {string} qr */
  #pair(qr) {
    const { phone } = this.#shared.settings;
    if (!phone) {
      this.emit('state', { state: 'pairing', qr });
    } else if (!this.#hasCode) {
      this.#hasCode = true;
      this.sock.requestPairingCode(phone.replace(/\D/g, '')).then(
        (code) => this.emit('state', { state: 'pairing', qr: code, reason: 'pair_code' }),
        (error) => this.#shared.log.warn({ err: error }, 'WhatsApp gave no pairing code'),
      );
    }
  }
}

/**
 * @param {any} node
 * @returns {any}
 */
function sourceOf(node) {
  return node?.attrs?.id ? { id: node.attrs.id, timestamp: numberOf(node.attrs.t) } : undefined;
}
