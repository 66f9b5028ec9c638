/**
 * Decides when a command of the engine is carried out, and remembers what came of it.
 *
 * The engine sends a command again after a reconnect: it is carried out once, and answered again. Messages to one chat keep
 * their order. A command that comes while WhatsApp is away waits for it as long as its deadline allows.
 */

import { pause } from './backoff.js';
import { Recent } from './recent.js';
import { LinkLost, carryOut } from './whatsapp/commands.js';
import { Refused, refusalOf } from './whatsapp/refused.js';

const REMEMBERED_MAX = 300;
/** An answer has to reach the engine before the deadline. */
const MARGIN_MS = 500;
const WITHOUT_DEADLINE_MS = 30_000;
/** Commands that do no harm when they are carried out twice. */
const REPEATABLE = new Set([
  'message.send',
  'group.info',
  'group.participants.add',
  'group.participants.remove',
  'privacy.get',
  'privacy.set',
]);

/**
 * @typedef {import('./engine/link.js').Command} Command
 * @typedef {import('./engine/link.js').CommandResult} CommandResult
 * @typedef {import('./whatsapp/commands.js').Context} Context
 */

export class Commander {
  /** @type {Recent<string, Promise<CommandResult>>} */
  #results = new Recent(REMEMBERED_MAX);
  /** @type {Map<string, Promise<unknown>>} */
  #chats = new Map();
  #connected;

  /**
   * @param {(signal: AbortSignal) => Promise<Context | undefined>} connected
   *   the connection as soon as there is one; undefined if there will be none
   */
  constructor(connected) {
    this.#connected = connected;
  }

  /**
   * @param {Command} command
   * @returns {Promise<CommandResult>}
   */
  carryOut(command) {
    const known = this.#results.get(command.id);
    if (known) return known;
    const result = this.#result(command);
    this.#results.set(command.id, result);
    return result;
  }

  /** @param {Command} command */
  async #result(command) {
    const { id } = command;
    try {
      const data = await this.#inOrder(command, () => this.#inTime(command));
      return /** @type {CommandResult} */ ({ id, ok: true, data: data ?? null });
    } catch (error) {
      return /** @type {CommandResult} */ ({ id, ok: false, error: refusalOf(error) });
    }
  }

  /**
   * @template T
   * @param {Command} command
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #inOrder({ name, args }, work) {
    if (name !== 'message.send') return work();
    const chat = String(args?.to);
    const mine = (this.#chats.get(chat) ?? Promise.resolve()).then(work, work);
    this.#chats.set(chat, mine);
    try {
      return await mine;
    } finally {
      if (this.#chats.get(chat) === mine) this.#chats.delete(chat);
    }
  }

  /** @param {Command} command */
  async #inTime(command) {
    const told = Date.parse(command.deadline);
    const deadline = Number.isNaN(told) ? Date.now() + WITHOUT_DEADLINE_MS : told;
    const late = new AbortController();
    const timeout = pause(Math.max(0, deadline - MARGIN_MS - Date.now()), late.signal).then(() => {
      late.abort();
      throw new Refused('deadline', 'the command could not be carried out before its deadline');
    });
    try {
      return await Promise.race([this.#attempts(command, late.signal), timeout]);
    } finally {
      late.abort();
      timeout.catch(() => undefined);
    }
  }

  /**
   * @param {Command} command
   * @param {AbortSignal} late
   */
  async #attempts(command, late) {
    for (;;) {
      const context = await this.#connected(late);
      if (!context) throw new Refused('not_connected', 'the device is not connected to WhatsApp');
      try {
        return await carryOut(context, command);
      } catch (error) {
        const mayRepeat = error instanceof LinkLost && REPEATABLE.has(command.name);
        if (!mayRepeat || late.aborted) throw error;
      }
    }
  }
}
