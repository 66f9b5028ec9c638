//! Reads what proofs are made of: ends of chains, leaves, inner nodes.
//!
//! Computes no hash; that is `domain::merkle`.

use domain::{event::Hash, ids::WorkspaceId, position::Seq};

use super::{
    event_row::hash_in_body,
    reader::{Reader, column},
};
use crate::{
    StoreError,
    log::{
        ChainEnd,
        stored::{hash, signed, unsigned},
    },
};

/// Items that a proof reads at once.
const PROOF_ITEMS_MAX: i64 = 256;

impl Reader {
    /// The end of a workspace's chain.
    pub(super) async fn chain_end(
        &self,
        tenant_no: i64,
        workspace: WorkspaceId,
    ) -> Result<Option<ChainEnd>, StoreError> {
        const CHAIN_END: &str = "
            SELECT seq, hash
            FROM   streams
            WHERE  tenant_no = $1 AND id = $2 AND hash IS NOT NULL";

        let found = self
            .row(CHAIN_END, &[&tenant_no, &workspace.uuid()])
            .await?;
        let Some(row) = found else {
            return Ok(None);
        };
        Ok(Some(ChainEnd {
            seq: Seq::new(unsigned(column(&row, 0)?)?),
            hash: hash(column(&row, 1)?)?,
        }))
    }

    /// The oldest seq of a workspace that is kept.
    pub(super) async fn oldest_seq(
        &self,
        tenant_no: i64,
        workspace: WorkspaceId,
    ) -> Result<Option<Seq>, StoreError> {
        const OLDEST: &str = "
            SELECT   e.seq
            FROM     events AS e
            WHERE    e.stream_no = (SELECT no FROM streams WHERE tenant_no = $1 AND id = $2)
            ORDER BY e.stream_no, e.seq
            LIMIT    1";

        let found = self.row(OLDEST, &[&tenant_no, &workspace.uuid()]).await?;
        found
            .map(|row| Ok(Seq::new(unsigned(column(&row, 0)?)?)))
            .transpose()
    }

    /// Hashes of leaves, of events that are kept and of events that are gone. While a month goes, its leaves may stand in both
    /// places.
    pub(super) async fn leaf_hashes(
        &self,
        tenant_no: i64,
        workspace: WorkspaceId,
        from: Seq,
        to: Seq,
    ) -> Result<Vec<Hash>, StoreError> {
        const LEAVES: &str = concat!(
            "SELECT   e.seq, ",
            hash_in_body!(),
            "
             FROM     events AS e
             WHERE    e.stream_no = (SELECT no FROM streams WHERE tenant_no = $1 AND id = $2)
                      AND e.seq BETWEEN $3 AND $4
             UNION
             SELECT   n.idx + 1, n.hash
             FROM     tree_nodes AS n
             WHERE    n.stream_no = (SELECT no FROM streams WHERE tenant_no = $1 AND id = $2)
                      AND n.level = 0 AND n.idx BETWEEN $3 - 1 AND $4 - 1
             ORDER BY 1
             LIMIT    $5"
        );

        let (from, to) = (signed(from.get()), signed(to.get()));
        let rows = self
            .rows(
                LEAVES,
                &[&tenant_no, &workspace.uuid(), &from, &to, &PROOF_ITEMS_MAX],
            )
            .await?;
        rows.iter().map(|row| hash(column(row, 1)?)).collect()
    }

    /// Stored inner nodes.
    pub(super) async fn tree_nodes(
        &self,
        tenant_no: i64,
        workspace: WorkspaceId,
        level: u8,
        (from, to): (u64, u64),
    ) -> Result<Vec<Hash>, StoreError> {
        const NODES: &str = "
            SELECT   hash
            FROM     tree_nodes
            WHERE    stream_no = (SELECT no FROM streams WHERE tenant_no = $1 AND id = $2)
                     AND level = $3 AND idx BETWEEN $4 AND $5
            ORDER BY idx
            LIMIT    $6";

        let rows = self
            .rows(
                NODES,
                &[
                    &tenant_no,
                    &workspace.uuid(),
                    &i16::from(level),
                    &signed(from),
                    &signed(to),
                    &PROOF_ITEMS_MAX,
                ],
            )
            .await?;
        rows.iter().map(|row| hash(column(row, 0)?)).collect()
    }
}
