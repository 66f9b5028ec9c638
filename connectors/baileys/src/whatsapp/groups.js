/**
 * Maps what Baileys tells about groups and contacts to the engine's `group.*`, `participant.*` and `contact.updated` events.
 *
 * The stub messages that accompany group notifications are not used: each change is told once, by its own event.
 */

import { compact, freshId, idOf, numberOf, timeOf } from './frames.js';

/**
 * @typedef {import('./frames.js').EventFrame} EventFrame
 * @typedef {import('./addresses.js').Addresses} Addresses
 *
 * @typedef {object} Source the notification that is being worked on
 * @property {string} id
 * @property {number} [timestamp]
 */

const MEMBERSHIP = /** @type {Record<string, string>} */ ({ add: 'participant.added', remove: 'participant.removed' });

/**
 * @param {any[]} groups Baileys' `groups.upsert`
 * @param {Addresses} addresses
 * @param {Source} [source]
 * @returns {Promise<EventFrame[]>}
 */
export function createdEvents(groups, addresses, source) {
  return Promise.all(
    groups.map(async (group, index) =>
      frame(
        'group.created',
        { ...(await groupData(group, addresses)), by: await author(group, addresses) },
        source,
        ['created', group.id, index],
        numberOf(group.creation),
      ),
    ),
  );
}

/**
 * @param {any[]} updates Baileys' `groups.update`
 * @param {Addresses} addresses
 * @param {Source} [source]
 * @returns {Promise<EventFrame[]>}
 */
export async function updatedEvents(updates, addresses, source) {
  const events = [];
  for (const [index, { author: _author, authorPn, authorUsername, ...update }] of updates.entries()) {
    // A whole group is what Baileys has read anew, not what has changed.
    if (update.participants) continue;
    const data = {
      ...(await groupData(update, addresses)),
      by: await author({ author: _author, authorPn }, addresses),
    };
    events.push(frame('group.updated', data, source, ['updated', update.id, index, JSON.stringify(update)]));
  }
  return events;
}

/**
 * @param {any} update Baileys' `group-participants.update`
 * @param {Addresses} addresses
 * @param {Source} [source]
 * @returns {Promise<EventFrame[]>}
 */
export async function participantEvents(update, addresses, source) {
  const participants = await Promise.all(
    (update.participants ?? []).map((/** @type {any} */ person) => personOf(person, addresses)),
  );
  const by = await author(update, addresses);
  const parts = [update.action, update.id, participants.join()];
  const data = { group: update.id, participants, by };
  const type = MEMBERSHIP[update.action];
  if (!type) return [frame('group.updated', { ...data, action: update.action }, source, parts)];
  const events = [frame(type, data, source, parts)];
  const hasLeft =
    type === 'participant.removed' &&
    (update.participants ?? []).some((/** @type {any} */ person) => isMe(person, addresses));
  // For this device a group that it is not in any more is gone.
  if (hasLeft)
    events.push(frame('group.deleted', { group: update.id, by, reason: 'left' }, source, ['left', update.id]));
  return events;
}

/**
 * A group that was dissolved. Baileys passes this notification over, so it is read from the stanza.
 *
 * @param {any} node
 * @param {Addresses} addresses
 * @param {Source} source
 * @returns {Promise<EventFrame[]>}
 */
export async function dissolvedEvents(node, addresses, source) {
  const children = Array.isArray(node.content) ? node.content : [];
  if (node.attrs.type !== 'w:gp2' || !children.some((/** @type {any} */ child) => child.tag === 'delete')) return [];
  const by = await addresses.known(node.attrs.participant, node.attrs.participant_pn);
  return [
    frame('group.deleted', { group: node.attrs.from, by: by || undefined, reason: 'deleted' }, source, [
      'deleted',
      node.attrs.from,
    ]),
  ];
}

/**
 * @param {any[]} contacts Baileys' `contacts.upsert` and `contacts.update`
 * @param {Addresses} addresses
 * @returns {Promise<EventFrame[]>}
 */
export function contactEvents(contacts, addresses) {
  return Promise.all(
    contacts
      .filter((contact) => contact.id)
      .map(async (contact) => ({
        id: freshId(),
        type: 'contact.updated',
        data: compact({
          contact: await addresses.known(contact.id, contact.phoneNumber),
          name: contact.name ?? contact.notify ?? contact.verifiedName,
          push_name: contact.notify,
          verified_name: contact.verifiedName,
          status: contact.status,
          picture: contact.imgUrl ?? undefined,
          lid: contact.lid,
        }),
      })),
  );
}

/**
 * A group in the words of the API.
 *
 * @param {any} group a `GroupMetadata`, or some of its members
 * @param {Addresses} addresses
 */
export async function groupData(group, addresses) {
  const participants = group.participants
    ? await Promise.all(
        group.participants.map(async (/** @type {any} */ person) =>
          compact({ jid: await personOf(person, addresses), admin: person.admin }),
        ),
      )
    : undefined;
  return compact({
    group: group.id,
    subject: group.subject,
    description: group.desc,
    owner: (await addresses.known(group.owner, group.ownerPn)) || undefined,
    created: numberOf(group.creation),
    announce: group.announce,
    restrict: group.restrict,
    invite_code: group.inviteCode,
    member_add_mode: group.memberAddMode,
    join_approval: group.joinApprovalMode,
    ephemeral_seconds: group.ephemeralDuration,
    picture: group.imgUrl,
    participants: participants?.map((person) => person.jid),
    admins: participants?.filter((person) => person.admin).map((person) => person.jid),
  });
}

/**
 * @param {any} person
 * @param {Addresses} addresses
 */
function personOf(person, addresses) {
  if (typeof person === 'string') return addresses.known(person);
  return addresses.known(person.id, person.phoneNumber);
}

/**
 * @param {any} person
 * @param {Addresses} addresses
 */
function isMe(person, addresses) {
  return addresses.isMe(person.id ?? person) || addresses.isMe(person.phoneNumber);
}

/**
 * @param {any} change
 * @param {Addresses} addresses
 */
async function author(change, addresses) {
  return (await addresses.known(change.author, change.authorPn)) || undefined;
}

/**
 * @param {string} type
 * @param {Record<string, unknown>} data
 * @param {Source | undefined} source
 * @param {Array<string | number | undefined>} parts
 * @param {number} [timestamp]
 * @returns {EventFrame}
 */
function frame(type, data, source, parts, timestamp = source?.timestamp) {
  const at = timeOf(timestamp);
  const id = source ? idOf(type, source.id, ...parts) : freshId();
  return { id, type, ...(at ? { at } : {}), data: compact(data) };
}
