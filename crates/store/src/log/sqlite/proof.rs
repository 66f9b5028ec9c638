//! Reads what proofs are made of: ends of chains, leaves, inner nodes.
//!
//! Computes no hash; that is `domain::merkle`.

use domain::{event::Hash, ids::WorkspaceId, position::Seq};

use super::{event_row::hash_in_body, failure::store_error, reader::Reader};
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
        const CHAIN_END: &str = concat!(
            "SELECT   seq, hash
             FROM     (SELECT   e.seq AS seq, ",
            hash_in_body!(),
            " AS hash
                       FROM     events AS e
                       WHERE    e.stream_no = (SELECT no FROM streams WHERE tenant_no = ?1 AND id = ?2)
                       ORDER BY e.seq DESC
                       LIMIT    1)
             UNION ALL
             SELECT   seq, hash
             FROM     streams
             WHERE    tenant_no = ?1 AND id = ?2 AND hash IS NOT NULL
             ORDER BY seq DESC
             LIMIT    1"
        );

        let row: Option<(i64, Vec<u8>)> = sqlx::query_as(CHAIN_END)
            .bind(tenant_no)
            .bind(&workspace.as_bytes()[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        row.map(|(seq, bytes)| {
            Ok(ChainEnd {
                seq: Seq::new(unsigned(seq)?),
                hash: hash(&bytes)?,
            })
        })
        .transpose()
    }

    /// The oldest seq of a workspace that is kept.
    pub(super) async fn oldest_seq(
        &self,
        tenant_no: i64,
        workspace: WorkspaceId,
    ) -> Result<Option<Seq>, StoreError> {
        const OLDEST: &str = "
            SELECT   seq
            FROM     events
            WHERE    stream_no = (SELECT no FROM streams WHERE tenant_no = ?1 AND id = ?2)
            ORDER BY seq
            LIMIT    1";

        let found: Option<i64> = sqlx::query_scalar(OLDEST)
            .bind(tenant_no)
            .bind(&workspace.as_bytes()[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        found.map(|seq| unsigned(seq).map(Seq::new)).transpose()
    }

    /// Hashes of leaves, of events that are kept and of events that are gone.
    pub(super) async fn leaf_hashes(
        &self,
        tenant_no: i64,
        workspace: WorkspaceId,
        from: Seq,
        to: Seq,
    ) -> Result<Vec<Hash>, StoreError> {
        const LEAVES: &str = concat!(
            "SELECT   seq, ",
            hash_in_body!(),
            "
             FROM     events
             WHERE    stream_no = (SELECT no FROM streams WHERE tenant_no = ?1 AND id = ?2)
                      AND seq BETWEEN ?3 AND ?4
             UNION ALL
             SELECT   idx + 1, hash
             FROM     tree_nodes
             WHERE    stream_no = (SELECT no FROM streams WHERE tenant_no = ?1 AND id = ?2)
                      AND level = 0 AND idx BETWEEN ?3 - 1 AND ?4 - 1
             ORDER BY 1
             LIMIT    ?5"
        );

        let leaves: Vec<(i64, Vec<u8>)> = sqlx::query_as(LEAVES)
            .bind(tenant_no)
            .bind(&workspace.as_bytes()[..])
            .bind(signed(from.get()))
            .bind(signed(to.get()))
            .bind(PROOF_ITEMS_MAX)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        leaves.iter().map(|(_, bytes)| hash(bytes)).collect()
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
            WHERE    stream_no = (SELECT no FROM streams WHERE tenant_no = ?1 AND id = ?2)
                     AND level = ?3 AND idx BETWEEN ?4 AND ?5
            ORDER BY idx
            LIMIT    ?6";

        let hashes: Vec<Vec<u8>> = sqlx::query_scalar(NODES)
            .bind(tenant_no)
            .bind(&workspace.as_bytes()[..])
            .bind(level)
            .bind(signed(from))
            .bind(signed(to))
            .bind(PROOF_ITEMS_MAX)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        hashes.iter().map(|bytes| hash(bytes)).collect()
    }
}
