/**
 * Decides what follows when WhatsApp's connection ends.
 *
 * Pure: a status code comes in, what to do and what to tell the engine come out.
 */

import { DisconnectReason } from 'baileys';

/** WhatsApp no longer takes this version of the protocol. */
const CLIENT_OUTDATED = 405;

/**
 * @typedef {object} Ending
 * @property {'at once' | 'later' | 'pair anew' | 'stay down'} then
 * @property {string} reason what the engine is told
 */

/**
 * @param {number | undefined} status Baileys' code for the end
 * @param {{ isPaired: boolean }} session
 * @returns {Ending}
 */
export function endingOf(status, { isPaired }) {
  switch (status) {
    case DisconnectReason.restartRequired:
      return { then: 'at once', reason: 'restart_required' };
    case DisconnectReason.connectionReplaced:
      return { then: 'stay down', reason: 'replaced' };
    case DisconnectReason.loggedOut:
      return { then: 'pair anew', reason: 'logged_out' };
    case DisconnectReason.multideviceMismatch:
      return { then: 'pair anew', reason: 'multidevice_mismatch' };
    case DisconnectReason.forbidden:
      return { then: 'stay down', reason: 'forbidden' };
    case CLIENT_OUTDATED:
      return { then: 'later', reason: 'client_outdated' };
    case DisconnectReason.badSession:
      return { then: 'later', reason: 'bad_session' };
    case DisconnectReason.timedOut:
      return { then: 'later', reason: isPaired ? 'connection_lost' : 'pairing_timed_out' };
    case DisconnectReason.unavailableService:
      return { then: 'later', reason: 'service_unavailable' };
    default:
      return { then: 'later', reason: 'connection_lost' };
  }
}
