/**
 * Decides under which address a person is told to the engine.
 *
 * WhatsApp names people by number (`@s.whatsapp.net`) or by a number of its own (`@lid`). Whoever sends a message names them
 * by number, so events do too wherever the number is known. It asks nobody: it uses what stanzas and Baileys' table say.
 */

import { areJidsSameUser, isLidUser, isPnUser, jidNormalizedUser } from 'baileys';

/**
 * @param {{ getPNForLID(lid: string): Promise<string | null | undefined> }} table
 * @param {() => { id?: string, lid?: string } | undefined} [me] the account itself
 */
export function makeAddresses(table, me = () => undefined) {
  return {
    /**
     * @param {string | null | undefined} jid
     * @param {string | null | undefined} [alternative] the same person's other address, if the stanza told
     * @returns {Promise<string>} empty if there is none
     */
    async known(jid, alternative) {
      const plain = normal(jid);
      if (!isLidUser(plain)) return plain;
      if (isPnUser(alternative ?? undefined)) return normal(alternative);
      const number = await table.getPNForLID(plain).catch(() => undefined);
      return number ? normal(number) : plain;
    },

    /**
     * Whether an address is the account's own.
     *
     * @param {string | null | undefined} jid
     */
    isMe(jid) {
      const { id, lid } = me() ?? {};
      return !!jid && (areJidsSameUser(jid, id) || areJidsSameUser(jid, lid));
    },
  };
}

/** @typedef {ReturnType<typeof makeAddresses>} Addresses */

/** @param {string | null | undefined} jid */
function normal(jid) {
  return jid ? jidNormalizedUser(jid) || jid : '';
}
