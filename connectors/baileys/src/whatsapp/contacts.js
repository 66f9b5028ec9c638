/**
 * Decides whether what Baileys tells about a contact is new: it tells the name of a sender with each message.
 *
 * Remembers a bounded number of contacts, in memory; after a restart a name may be told once more.
 */

import { Recent } from '../recent.js';
import { compact } from './frames.js';

const CONTACTS_MAX = 5_000;
const MEMBERS = ['name', 'notify', 'verifiedName', 'status', 'imgUrl'];

export class Contacts {
  /** @type {Recent<string, Record<string, unknown>>} */
  #known = new Recent(CONTACTS_MAX);

  /**
   * Those of the contacts that say something new.
   *
   * @param {any[]} contacts
   */
  news(contacts) {
    return contacts.filter((contact) => contact.id && this.#isNews(contact));
  }

  /** @param {any} contact */
  #isNews(contact) {
    const told = compact(Object.fromEntries(MEMBERS.map((name) => [name, contact[name]])));
    const known = this.#known.get(contact.id) ?? {};
    // A picture that changed is news each time, although the words are the same.
    const isNews = 'imgUrl' in told || Object.entries(told).some(([name, value]) => known[name] !== value);
    if (isNews) this.#known.set(contact.id, { ...known, ...told });
    return isNews;
  }
}
