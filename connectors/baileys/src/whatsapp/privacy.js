/**
 * Translates privacy settings between the API's names and WhatsApp's.
 */

import { Refused } from './refused.js';

/**
 * API name → WhatsApp's category, Baileys' function that changes it, and the values whose names differ.
 *
 * @type {Record<string, { category: string, change: string, values: Record<string, string> }>}
 */
const SETTINGS = {
  readreceipts: { category: 'readreceipts', change: 'updateReadReceiptsPrivacy', values: { all: 'all', none: 'none' } },
  online: { category: 'online', change: 'updateOnlinePrivacy', values: { all: 'all', matches: 'match_last_seen' } },
  lastSeen: {
    category: 'last',
    change: 'updateLastSeenPrivacy',
    values: { all: 'all', contacts: 'contacts', none: 'none' },
  },
  groupAdd: {
    category: 'groupadd',
    change: 'updateGroupsAddPrivacy',
    values: { all: 'all', contacts: 'contacts', none: 'none' },
  },
  statusPrivacy: {
    category: 'status',
    change: 'updateStatusPrivacy',
    values: { all: 'all', contacts: 'contacts', none: 'none' },
  },
};

/**
 * What WhatsApp says, in the API's words. Values that the API has no word for stay as they are.
 *
 * @param {Record<string, string>} told
 */
export function shownPrivacy(told) {
  /** @type {Record<string, string>} */
  const shown = {};
  for (const [name, { category, values }] of Object.entries(SETTINGS)) {
    const value = told[category];
    if (value === undefined) continue;
    shown[name] = Object.keys(values).find((word) => values[word] === value) ?? value;
  }
  return shown;
}

/**
 * The changes to make, in order: Baileys' function and WhatsApp's value.
 *
 * @param {Record<string, unknown>} args
 * @returns {Array<{ change: string, value: string }>}
 */
export function privacyChanges(args) {
  return Object.entries(args)
    .filter(([, word]) => word !== null && word !== undefined)
    .map(([name, word]) => {
      const setting = SETTINGS[name];
      if (!setting) throw new Refused('unknown_field', `${name}: expected one of ${Object.keys(SETTINGS).join(', ')}`);
      const value = setting.values[String(word)];
      if (!value)
        throw new Refused('invalid_field', `${name}: expected one of ${Object.keys(setting.values).join(', ')}`);
      return { change: setting.change, value };
    });
}
