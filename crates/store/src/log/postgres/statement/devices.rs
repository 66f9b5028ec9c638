//! The statements that write what is kept of devices; [`Joined`](crate::log::device::joined::Joined) says in Rust what the
//! join of two rows says here.
//!
//! Texts that a network gave are stored as bytes, because TEXT takes no zero character.

use super::{
    Shape, Together,
    shapes::{BYTES, ID, INT},
};

/// Adds a message's row, or joins it with the row of that name that is there.
macro_rules! join_rows {
    ($columns:literal, $rows:literal, $also:literal) => {
        concat!(
            "
    INSERT INTO messages AS m (",
            $columns,
            ")
    SELECT * FROM ",
            $rows,
            "
    ON CONFLICT (tenant_no, device, chat, sender, network_id) WHERE network_id IS NOT NULL DO UPDATE
    SET    id = CASE WHEN excluded.origin < m.origin THEN excluded.id ELSE m.id END,
           at = CASE WHEN excluded.origin < m.origin THEN excluded.at ELSE m.at END,
           origin = least(m.origin, excluded.origin),
           changed_at = greatest(m.changed_at, excluded.changed_at),
           state = greatest(m.state, excluded.state),
           position = least(m.position, excluded.position),
           edited = greatest(m.edited, excluded.edited),
           deleted = greatest(m.deleted, excluded.deleted)",
            $also
        )
    };
}

/// `count` is how many messages go: others wait for this commit.
pub(super) static FORGOTTEN: Shape = Shape {
    rows: "gone",
    columns: &[("tenant_no", INT), ("device", ID), ("count", INT)],
    before: &[(
        "without_credentials",
        "
             DELETE FROM device_credentials AS c USING gone AS g
             WHERE  c.tenant_no = g.tenant_no AND c.device = g.device",
    )],
    last: "
    DELETE FROM messages AS m
    USING  (SELECT old.tenant_no, old.device, old.id
            FROM   gone AS g
            CROSS JOIN LATERAL (SELECT   k.tenant_no, k.device, k.id
                                FROM     messages AS k
                                WHERE    k.tenant_no = g.tenant_no AND k.device = g.device
                                ORDER BY k.id
                                LIMIT    g.count) AS old) AS old
    WHERE  m.tenant_no = old.tenant_no AND m.device = old.device AND m.id = old.id",
    together: Together::Never,
};

pub(super) static FENCES: Shape = Shape {
    rows: "raised",
    columns: &[("tenant_no", INT), ("device", ID), ("fence", INT)],
    before: &[],
    last: "
    INSERT INTO devices AS d (tenant_no, device, fence)
    SELECT * FROM raised
    ON CONFLICT (tenant_no, device) DO UPDATE SET fence = greatest(d.fence, excluded.fence)",
    together: Together::Never,
};

/// Counted where a commit that is one statement sees it under its lock.
pub(super) static OPENINGS: Shape = Shape {
    rows: "opened",
    columns: &[("no", INT)],
    before: &[],
    last: "
    UPDATE tenants AS t
    SET    openings = t.openings + 1
    FROM   opened AS o
    WHERE  t.no = o.no",
    together: Together::Never,
};

/// Whoever planned the commit has compared the fence with that of the device.
pub(super) static CREDENTIALS: Shape = Shape {
    rows: "kept",
    columns: &[
        ("tenant_no", INT),
        ("device", ID),
        ("fence", INT),
        ("at", INT),
        ("sealed", BYTES),
    ],
    before: &[],
    last: "
    INSERT INTO device_credentials (tenant_no, device, fence, at, sealed)
    SELECT * FROM kept
    ON CONFLICT (tenant_no, device) DO UPDATE
    SET    fence = excluded.fence, at = excluded.at, sealed = excluded.sealed",
    together: Together::Never,
};

pub(super) static OUTGOING: Shape = Shape {
    rows: "outgoing",
    columns: &[
        ("tenant_no", INT),
        ("device", ID),
        ("id", ID),
        ("origin", INT),
        ("at", INT),
        ("state", INT),
        ("chat", BYTES),
        ("body", BYTES),
    ],
    before: &[],
    last: "
    INSERT INTO messages (tenant_no, device, id, origin, at, changed_at, state, chat, sender, body)
    SELECT tenant_no, device, id, origin, at, at, state, chat, '', body
    FROM   outgoing AS o
    WHERE  NOT EXISTS (SELECT 1 FROM messages AS m
                       WHERE  m.tenant_no = o.tenant_no AND m.device = o.device AND m.id = o.id)",
    together: Together::AsItStands,
};

/// A message gets the name that the network gave it. A row of that name that is there already (an event was faster) is
/// joined with it, unless that one is another message that the engine sent: a name is given once, and a message that is not
/// given its name is sent nevertheless.
pub(super) static SENT: Shape = Shape {
    rows: "sent",
    columns: &[
        ("tenant_no", INT),
        ("device", ID),
        ("id", ID),
        ("at", INT),
        ("state", INT),
        ("chat", BYTES),
        ("sender", BYTES),
        ("network_id", BYTES),
    ],
    before: &[
        (
            "named",
            "
             SELECT   DISTINCT ON (tenant_no, device, chat, sender, network_id) *
             FROM     sent AS s
             WHERE    NOT EXISTS (SELECT 1 FROM messages AS k
                                  WHERE  k.tenant_no = s.tenant_no AND k.device = s.device
                                         AND k.chat = s.chat AND k.sender = s.sender
                                         AND k.network_id = s.network_id AND k.body IS NOT NULL)
             ORDER BY tenant_no, device, chat, sender, network_id, id",
        ),
        (
            "taken",
            "
             DELETE FROM messages AS m USING named AS n
             WHERE  m.tenant_no = n.tenant_no AND m.device = n.device AND m.id = n.id
                    AND m.network_id IS NULL
             RETURNING m.tenant_no, m.device, m.id, m.origin, m.at,
                       greatest(m.changed_at, n.at) AS changed_at, n.state, n.chat, n.sender,
                       n.network_id, m.body",
        ),
        (
            "joined",
            join_rows!(
                "tenant_no, device, id, origin, at, changed_at, state, chat, sender, network_id, body",
                "taken",
                ", body = excluded.body"
            ),
        ),
    ],
    last: "
    UPDATE messages AS m
    SET    state = greatest(m.state, s.state), changed_at = greatest(m.changed_at, s.at)
    FROM   sent AS s
    WHERE  m.tenant_no = s.tenant_no AND m.device = s.device AND m.id = s.id
           AND m.network_id IS NULL
           AND (m.tenant_no, m.device, m.id) NOT IN (SELECT tenant_no, device, id FROM taken)",
    together: Together::Never,
};

/// What became of a message that has no name yet.
pub(super) static SETTLED: Shape = Shape {
    rows: "settled",
    columns: &[
        ("tenant_no", INT),
        ("device", ID),
        ("id", ID),
        ("at", INT),
        ("state", INT),
        ("error_code", BYTES),
        ("error", BYTES),
    ],
    before: &[],
    last: "
    UPDATE messages AS m
    SET    state = greatest(m.state, s.state), changed_at = greatest(m.changed_at, s.at),
           error_code = coalesce(m.error_code, s.error_code), error = coalesce(m.error, s.error)
    FROM   settled AS s
    WHERE  m.tenant_no = s.tenant_no AND m.device = s.device AND m.id = s.id
           AND m.network_id IS NULL",
    together: Together::Never,
};

pub(super) static MESSAGES: Shape = Shape {
    rows: "marked",
    columns: &[
        ("tenant_no", INT),
        ("device", ID),
        ("id", ID),
        ("origin", INT),
        ("at", INT),
        ("changed_at", INT),
        ("state", INT),
        ("position", INT),
        ("edited", INT),
        ("deleted", INT),
        ("chat", BYTES),
        ("sender", BYTES),
        ("network_id", BYTES),
    ],
    before: &[],
    last: join_rows!(
        "tenant_no, device, id, origin, at, changed_at, state, position, edited, deleted, chat,
                             sender, network_id",
        "marked",
        ""
    ),
    together: Together::AsItStands,
};
