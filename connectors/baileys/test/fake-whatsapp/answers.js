/**
 * What the server answers to what clients ask (`iq` stanzas).
 */

import { childOf, childrenOf, plain } from './peer.js';

const GROUP_DOMAIN = '@g.us';

/**
 * @param {any} node
 * @param {import('./server.js').FakeWhatsApp} server
 * @param {import('./server.js').Account | undefined} account
 * @returns {{ content?: any[], attrs?: Record<string, string> }}
 */
export function answerTo(node, server, account) {
  switch (node.attrs.xmlns) {
    case 'encrypt':
      return encrypt(node, server, account);
    case 'usync':
      return usync(node, server);
    case 'privacy':
      return privacy(node, account);
    case 'w:g2':
      return group(node, server);
    default:
      return {};
  }
}

/** @type {(node: any, server: any, account: any) => { content?: any[] }} */
function encrypt(node, server, account) {
  if (childOf(node, 'count')) return { content: [{ tag: 'count', attrs: { value: String(account.preKeys.length) } }] };
  if (childOf(node, 'digest')) return { content: [{ tag: 'digest', attrs: {} }] };
  if (childOf(node, 'list')) account.uploaded(node);
  const users = childrenOf(childOf(node, 'key'));
  if (users.length === 0) return {};
  const known = users.filter((user) => server.peers.has(plain(user.attrs.jid)));
  return {
    content: [
      {
        tag: 'list',
        attrs: {},
        content: known.map((user) => server.peers.get(plain(user.attrs.jid)).bundle(user.attrs.jid)),
      },
    ],
  };
}

/** @type {(node: any, server: any) => { content: any[] }} */
function usync(node, server) {
  const asked = childrenOf(childOf(childOf(node, 'usync'), 'list'));
  const users = asked.map(({ attrs: { jid } }) => {
    const peer = server.peers.get(plain(jid));
    const device = { tag: 'device', attrs: { id: '0' } };
    const devices = {
      tag: 'devices',
      attrs: {},
      content: [{ tag: 'device-list', attrs: {}, content: peer ? [device] : [] }],
    };
    return {
      tag: 'user',
      attrs: { jid },
      content: [devices, ...(peer ? [{ tag: 'lid', attrs: { val: peer.lid } }] : [])],
    };
  });
  return { content: [{ tag: 'usync', attrs: {}, content: [{ tag: 'list', attrs: {}, content: users }] }] };
}

/** @type {(node: any, account: any) => { content?: any[] }} */
function privacy(node, account) {
  const categories = childrenOf(childOf(node, 'privacy'));
  if (node.attrs.type === 'set') {
    for (const { attrs } of categories) account.privacy[attrs.name] = attrs.value;
    return {};
  }
  const content = Object.entries(account.privacy).map(([name, value]) => ({ tag: 'category', attrs: { name, value } }));
  return { content: [{ tag: 'privacy', attrs: {}, content }] };
}

/** @type {(node: any, server: any) => { content?: any[], attrs?: any }} */
function group(node, server) {
  const create = childOf(node, 'create');
  if (create) {
    const jid = `12036300000000000${server.groups.size}`;
    const members = childrenOf(create).filter((child) => child.tag === 'participant');
    server.groups.set(
      jid + GROUP_DOMAIN,
      groupNode(
        jid,
        create.attrs.subject,
        members.map(({ attrs }) => attrs.jid),
      ),
    );
  }
  const found = server.groups.get(create ? `12036300000000000${server.groups.size - 1}${GROUP_DOMAIN}` : node.attrs.to);
  for (const action of ['add', 'remove']) {
    const changed = childrenOf(childOf(node, action));
    if (changed.length > 0)
      return {
        content: [
          {
            tag: action,
            attrs: {},
            content: changed.map(({ attrs }) => ({ tag: 'participant', attrs: { jid: attrs.jid } })),
          },
        ],
      };
  }
  if (!found) return { content: [{ tag: 'error', attrs: { code: '404', text: 'item-not-found' } }] };
  return { content: [found] };
}

/**
 * @param {string} id
 * @param {string} subject
 * @param {string[]} participants
 */
export function groupNode(id, subject, participants) {
  return {
    tag: 'group',
    attrs: { id, subject, creation: '1760000000', s_t: '1760000000', creator: participants[0] },
    content: participants.map((jid) => ({ tag: 'participant', attrs: { jid } })),
  };
}
