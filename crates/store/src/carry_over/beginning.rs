//! Carries over what is left of the beginning of a log whose oldest events have outlived their retention: where it and its chains
//! stand before the oldest event, and the nodes of their trees that can be computed from no event any more.

use std::collections::HashMap;

use domain::{ids::WorkspaceId, position::Position, region::Region};
use futures_util::TryStreamExt as _;
use sqlx::{Row as _, SqliteConnection};
use tokio_postgres::Transaction;

use super::{
    CarryOverError,
    chains::End,
    tables::Numbers,
    target::{Target, schema},
};

/// Nodes that are sent at once.
const NODES_AT_ONCE: usize = 2_000;

/// Rows on their way: level, index, hash.
#[derive(Default)]
struct Nodes {
    levels: Vec<i16>,
    indices: Vec<i64>,
    hashes: Vec<Vec<u8>>,
}

/// Writes it, unless the target's log has begun. `base` is where the chains stand before the oldest event.
pub(super) async fn carry(
    region: Region,
    source: &mut SqliteConnection,
    target: &mut Target,
    (numbers, removed): (Numbers, Position),
    base: &HashMap<WorkspaceId, End>,
) -> Result<(), CarryOverError> {
    if removed == Position::ZERO {
        return Ok(());
    }
    let schema = schema(region);
    let failed = || CarryOverError::target("writing where a log begins");
    let transaction = target.client.transaction().await.map_err(failed())?;
    let begin = format!("UPDATE {schema}.tenants SET head = $2 WHERE no = $1 AND head = 0");
    let begun = transaction
        .execute(&begin, &[&numbers.target, &signed(removed.get())])
        .await
        .map_err(failed())?;
    if begun == 0 {
        return Ok(());
    }
    let stand = format!(
        "UPDATE {schema}.streams SET seq = $3, hash = $4 WHERE tenant_no = $1 AND id = $2
         RETURNING no"
    );
    for (workspace, end) in base.iter().filter(|(_, end)| end.seq.get() > 0) {
        let seq = signed(end.seq.get());
        let row = transaction
            .query_one(
                &stand,
                &[&numbers.target, &workspace.uuid(), &seq, &&end.hash.0[..]],
            )
            .await
            .map_err(failed())?;
        let stream = (numbers.source, *workspace, seq);
        copy_nodes(&mut *source, stream, &schema, row.get(0), &transaction).await?;
    }
    transaction.commit().await.map_err(failed())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Copies the leaves that are kept of a workspace, and the nodes that its first `seq` events have completed.
async fn copy_nodes(
    from: &mut SqliteConnection,
    (tenant_no, workspace, seq): (i64, WorkspaceId, i64),
    schema: &str,
    stream_no: i64,
    to: &Transaction<'_>,
) -> Result<(), CarryOverError> {
    const NODES: &str = "
        SELECT   level, idx, hash
        FROM     tree_nodes
        WHERE    stream_no = (SELECT no FROM streams WHERE tenant_no = ?1 AND id = ?2)
                 AND (level = 0 OR idx < ?3 >> level)
        ORDER BY level, idx";

    let failed = || CarryOverError::source("reading the tree of a workspace");
    let mut found = sqlx::query(NODES)
        .bind(tenant_no)
        .bind(&workspace.as_bytes()[..])
        .bind(seq)
        .fetch(from);
    let mut nodes = Nodes::default();
    while let Some(row) = found.try_next().await.map_err(failed())? {
        nodes.levels.push(row.try_get(0).map_err(failed())?);
        nodes.indices.push(row.try_get(1).map_err(failed())?);
        nodes.hashes.push(row.try_get(2).map_err(failed())?);
        if nodes.levels.len() >= NODES_AT_ONCE {
            std::mem::take(&mut nodes)
                .send(schema, stream_no, to)
                .await?;
        }
    }
    nodes.send(schema, stream_no, to).await
}

impl Nodes {
    async fn send(
        self,
        schema: &str,
        stream_no: i64,
        to: &Transaction<'_>,
    ) -> Result<(), CarryOverError> {
        let insert = format!(
            "INSERT INTO {schema}.tree_nodes (stream_no, level, idx, hash)
             SELECT $1, n.level, n.idx, n.hash
             FROM   unnest($2::SMALLINT[], $3::BIGINT[], $4::BYTEA[]) AS n (level, idx, hash)
             ON CONFLICT (stream_no, level, idx) DO NOTHING"
        );
        to.execute(
            &insert,
            &[&stream_no, &self.levels, &self.indices, &self.hashes],
        )
        .await
        .map_err(CarryOverError::target("writing the tree of a workspace"))?;
        Ok(())
    }
}
