//! The statements that write what is kept of devices; [`Joined`](crate::log::device::joined::Joined) says in Rust what the
//! join of two rows says here.

use super::Shape;

/// What becomes of a message's row that is there, given the same message once more.
macro_rules! join_rows {
    () => {
        "id = CASE WHEN excluded.origin < origin THEN excluded.id ELSE id END,
            at = CASE WHEN excluded.origin < origin THEN excluded.at ELSE at END,
            origin = min(origin, excluded.origin),
            changed_at = max(changed_at, excluded.changed_at),
            state = coalesce(max(state, excluded.state), state, excluded.state),
            position = coalesce(min(position, excluded.position), position, excluded.position),
            edited = coalesce(max(edited, excluded.edited), edited, excluded.edited),
            deleted = coalesce(max(deleted, excluded.deleted), deleted, excluded.deleted)"
    };
}

/// `?3` is how many messages go: others wait for this commit.
pub(super) const DEVICES_FORGOTTEN: Shape = Shape::Fixed(
    "DELETE FROM device_credentials WHERE tenant_no = ?1 AND device = ?2;
     DELETE FROM messages
     WHERE  no IN (SELECT   no
                   FROM     messages INDEXED BY messages_by_id
                   WHERE    tenant_no = ?1 AND device = ?2
                   ORDER BY id
                   LIMIT    ?3)",
);

pub(super) const DEVICE_FENCES: Shape = Shape::Rows(
    "INSERT INTO devices (tenant_no, device, fence) SELECT * FROM",
    3,
    " WHERE column1 IS NOT NULL
     ON CONFLICT (tenant_no, device) DO UPDATE SET fence = max(fence, excluded.fence)",
);

pub(super) const CREDENTIALS: Shape = Shape::Rows(
    "INSERT INTO device_credentials (tenant_no, device, fence, at, sealed) SELECT * FROM",
    5,
    " WHERE column1 IS NOT NULL
     ON CONFLICT (tenant_no, device) DO UPDATE
     SET    fence = excluded.fence, at = excluded.at, sealed = excluded.sealed",
);

pub(super) const OUTGOING: Shape = Shape::Rows(
    "INSERT INTO messages (tenant_no, device, id, origin, at, changed_at, state, chat, sender, body)
     SELECT * FROM",
    10,
    " WHERE column1 IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM messages AS m
                            WHERE  m.tenant_no = column1 AND m.device = column2 AND m.id = column3)",
);

/// A message gets the name that the network gave it. A row of that name that is there already (an event was faster) is
/// joined with it, unless that one is another message that the engine sent: a name is given once.
pub(super) const SENT: Shape = Shape::Fixed(concat!(
    "INSERT INTO messages (tenant_no, device, id, origin, at, changed_at, state, chat, sender,
                           network_id, body)
     SELECT m.tenant_no, m.device, m.id, m.origin, m.at, max(m.changed_at, ?4), 2, ?5, ?6, ?7, m.body
     FROM   messages AS m
     WHERE  m.tenant_no = ?1 AND m.device = ?2 AND m.id = ?3 AND m.network_id IS NULL
            AND NOT EXISTS (SELECT 1 FROM messages AS k
                            WHERE  k.tenant_no = ?1 AND k.device = ?2 AND k.chat = ?5
                                   AND k.sender = ?6 AND k.network_id = ?7 AND k.body IS NOT NULL)
     ON CONFLICT (tenant_no, device, chat, sender, network_id) WHERE network_id IS NOT NULL DO UPDATE
     SET    ",
    join_rows!(),
    ",
            body = excluded.body;
     DELETE FROM messages
     WHERE  tenant_no = ?1 AND device = ?2 AND id = ?3 AND network_id IS NULL
            AND EXISTS (SELECT 1 FROM messages AS k
                        WHERE  k.tenant_no = ?1 AND k.device = ?2 AND k.chat = ?5 AND k.sender = ?6
                               AND k.network_id = ?7 AND k.id = ?3);
     UPDATE messages
     SET    state = max(state, 2), changed_at = max(changed_at, ?4)
     WHERE  tenant_no = ?1 AND device = ?2 AND id = ?3 AND network_id IS NULL"
));

/// What became of a message that has no name yet.
pub(super) const SETTLED: Shape = Shape::Fixed(
    "UPDATE messages
     SET    state = max(state, ?5), changed_at = max(changed_at, ?4),
            error_code = coalesce(error_code, ?6), error = coalesce(error, ?7)
     WHERE  tenant_no = ?1 AND device = ?2 AND id = ?3 AND network_id IS NULL",
);

pub(super) const MESSAGES: Shape = Shape::Rows(
    "INSERT INTO messages (tenant_no, device, id, origin, at, changed_at, state, position, edited,
                           deleted, chat, sender, network_id)
     SELECT * FROM",
    13,
    concat!(
        " WHERE column1 IS NOT NULL
     ON CONFLICT (tenant_no, device, chat, sender, network_id) WHERE network_id IS NOT NULL DO UPDATE
     SET    ",
        join_rows!()
    ),
);
