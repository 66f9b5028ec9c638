//! What a bare client can write to PostgreSQL: rows as an event has them, in a table with the indexes that most events need.
//!
//! No heads, no chains, no fences, nothing checked. By `unnest` or by binary `COPY`, whichever is faster at that size.

use std::{pin::pin, time::Duration};

use anyhow::Context as _;
use tokio::time::Instant;
use tokio_postgres::{
    Client, Statement,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use crate::{bodies, servers, stats::per_second};

const TABLE: &str = "
    CREATE TABLE bare (place BIGINT NOT NULL, stream_no BIGINT NOT NULL, seq BIGINT NOT NULL,
                       received_at BIGINT NOT NULL, kind TEXT NOT NULL, body BYTEA NOT NULL, payload BYTEA NOT NULL);
    CREATE INDEX ON bare (place);
    CREATE INDEX ON bare (stream_no, seq)";
const UNNEST: &str = "
    INSERT INTO bare
    SELECT *
    FROM   unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::TEXT[], $6::BYTEA[], $7::BYTEA[])";
const COPY: &str = "COPY bare FROM STDIN BINARY";
const TYPES: [Type; 7] = [
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::BYTEA,
    Type::BYTEA,
];
const KIND: &str = "bench.batch";
/// What the engine stores of an event beside its columns and its payload: hashes, seed, id, and fields.
const BODY: [u8; 120] = [7; 120];

/// A connection and a table.
pub(crate) struct BarePostgres {
    client: Client,
    unnest: Statement,
    copy: Statement,
    place: i64,
}

impl BarePostgres {
    /// Makes the table in a fresh database.
    pub(crate) async fn open(url: &str) -> anyhow::Result<BarePostgres> {
        let client = servers::connect(url).await?;
        client
            .batch_execute(TABLE)
            .await
            .context("make the bare table")?;
        let unnest = client.prepare(UNNEST).await.context("prepare unnest")?;
        let copy = client.prepare(COPY).await.context("prepare COPY")?;
        Ok(BarePostgres {
            client,
            unnest,
            copy,
            place: 0,
        })
    }

    /// Rows a second with so many rows a commit, each way for half of `time`; the better of the two.
    pub(crate) async fn best_rate(&mut self, rows: usize, time: Duration) -> anyhow::Result<f64> {
        let unnest = self.rate(rows, time / 2, false).await?;
        let copy = self.rate(rows, time / 2, true).await?;
        Ok(unnest.max(copy))
    }

    async fn rate(&mut self, rows: usize, time: Duration, copies: bool) -> anyhow::Result<f64> {
        let started_at = Instant::now();
        let mut written = 0;
        while started_at.elapsed() < time {
            if copies {
                self.copy(rows).await.context("COPY rows")?;
            } else {
                self.unnest(rows).await.context("insert rows")?;
            }
            written += u64::try_from(rows)?;
        }
        Ok(per_second(written, started_at.elapsed()))
    }

    async fn unnest(&mut self, rows: usize) -> Result<(), tokio_postgres::Error> {
        let places: Vec<i64> = (self.place + 1..).take(rows).collect();
        self.place = places.last().copied().unwrap_or(self.place);
        let (streams, kinds) = (vec![1_i64; rows], vec![KIND; rows]);
        let (rest, payloads) = (
            vec![&BODY[..]; rows],
            vec![bodies::PAYLOAD.as_bytes(); rows],
        );
        let values: [&(dyn ToSql + Sync); 7] = [
            &places, &streams, &places, &places, &kinds, &rest, &payloads,
        ];
        self.client.execute(&self.unnest, &values).await.map(drop)
    }

    async fn copy(&mut self, rows: usize) -> Result<(), tokio_postgres::Error> {
        let sink = self.client.copy_in(&self.copy).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &TYPES));
        for _ in 0..rows {
            self.place += 1;
            let row: [&(dyn ToSql + Sync); 7] = [
                &self.place,
                &1_i64,
                &self.place,
                &self.place,
                &KIND,
                &&BODY[..],
                &bodies::PAYLOAD.as_bytes(),
            ];
            writer.as_mut().write(&row).await?;
        }
        writer.finish().await.map(drop)
    }
}
