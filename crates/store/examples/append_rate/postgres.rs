//! The log on `PostgreSQL`, beside bare inserts by `unnest` and by `COPY` into a table of the same shape.

use std::{pin::pin, sync::Arc};

use domain::{position::Position, region::Region};
use store::{
    PostgresOptions,
    log::{RegionLog, postgres::PostgresLog},
};
use tokio_postgres::{
    Client, NoTls,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use crate::load::{
    BATCHES, Failure, PAYLOAD, Rate, Timer, commits_of, log_rate, read_rate, settle_rate,
    side_by_side_rate, spread_rate,
};

const DATABASE: &str = "append_rate";

/// Prints all figures.
pub(crate) async fn run(server: &str) -> Result<(), Failure> {
    let (address, _) = server.rsplit_once('/').ok_or("the URL names no database")?;
    let url = format!("{address}/{DATABASE}");
    for batch in BATCHES {
        let commits = commits_of(batch);
        let log = fresh(server, &url).await?;
        let ours = log_rate(&log, batch, commits).await?;
        log.close().await;
        let (unnest, copy) = (
            unnest_rate(&url, batch, commits).await?,
            copy_rate(&url, batch, commits).await?,
        );
        println!("{batch:>5} events a commit: log {ours}, unnest {unnest}, copy {copy}");
    }
    for batch in [8, 32, 128] {
        let log = fresh(server, &url).await?;
        let settled = settle_rate(&log, batch, commits_of(batch)).await?;
        log.close().await;
        println!("{batch:>5} outcomes a commit: {settled}");
    }
    for committers in [1, 2, 4] {
        let log: Arc<dyn RegionLog> = Arc::new(fresh(server, &url).await?);
        let rows = side_by_side_rate(&log, committers, 32, 1_000).await?;
        log.close().await;
        println!("{committers:>5} commits of 32 events at once: {rows:>8.0} rows/s");
    }
    for tenants in [20, 200] {
        let log = fresh(server, &url).await?;
        let spread = spread_rate(&log, tenants, 500).await?;
        log.close().await;
        println!("{tenants:>5} events of as many tenants a commit: {spread}");
    }
    let log = fresh(server, &url).await?;
    log_rate(&log, 1_000, 50).await?;
    println!("reading back: {:.0} rows/s", read_rate(&log).await?);
    log.close().await;
    let drop_it = format!("DROP DATABASE {DATABASE} WITH (FORCE)");
    connect(server).await?.batch_execute(&drop_it).await?;
    Ok(())
}

async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    drop(tokio::spawn(connection));
    Ok(client)
}

async fn fresh(server: &str, url: &str) -> Result<PostgresLog, Failure> {
    let client = connect(server).await?;
    for sql in [
        format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"),
        format!("CREATE DATABASE {DATABASE} TEMPLATE template0"),
    ] {
        client.batch_execute(&sql).await?;
    }
    Ok(PostgresLog::open(&PostgresOptions::new(url), Region::Au).await?)
}

/// A table with the columns and the indexes that most events have.
async fn bare_table(url: &str) -> Result<Client, Failure> {
    let client = connect(url).await?;
    client
        .batch_execute(
            "DROP TABLE IF EXISTS bare;
             CREATE TABLE bare (place BIGINT, stream_no BIGINT, seq BIGINT, received_at BIGINT,
                                kind TEXT, body BYTEA, payload BYTEA);
             CREATE INDEX ON bare (place);
             CREATE INDEX ON bare (stream_no, seq)",
        )
        .await?;
    Ok(client)
}

async fn unnest_rate(url: &str, batch: u64, commits: u64) -> Result<Rate, Failure> {
    const INSERT: &str = "
        INSERT INTO bare
        SELECT *
        FROM   unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::TEXT[],
                      $6::BYTEA[], $7::BYTEA[])";

    let client = bare_table(url).await?;
    let insert = client.prepare(INSERT).await?;
    let mut timer = Timer::new(batch, commits);
    let (mut place, rows) = (0_i64, usize::try_from(batch)?);
    for _ in 0..timer.rounds() {
        timer.begin();
        let places: Vec<i64> = (1..).map(|step| place + step).take(rows).collect();
        place += i64::try_from(rows)?;
        let (streams, kinds) = (vec![1_i64; rows], vec!["order.created"; rows]);
        let (bodies, payloads) = (vec![&[7_u8; 113][..]; rows], vec![PAYLOAD; rows]);
        client
            .execute(
                &insert,
                &[
                    &places, &streams, &places, &places, &kinds, &bodies, &payloads,
                ],
            )
            .await?;
        timer.end();
    }
    Ok(timer.rate())
}

async fn copy_rate(url: &str, batch: u64, commits: u64) -> Result<Rate, Failure> {
    let client = bare_table(url).await?;
    let copy = client.prepare("COPY bare FROM STDIN BINARY").await?;
    let types = [
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::BYTEA,
        Type::BYTEA,
    ];
    let mut timer = Timer::new(batch, commits);
    let mut head = Position::ZERO;
    for _ in 0..timer.rounds() {
        timer.begin();
        let mut writer = pin!(BinaryCopyInWriter::new(
            client.copy_in(&copy).await?,
            &types
        ));
        for _ in 0..batch {
            head = head.next();
            let place = i64::try_from(head.get())?;
            let row: [&(dyn ToSql + Sync); 7] = [
                &place,
                &1_i64,
                &place,
                &place,
                &"order.created",
                &&[7_u8; 113][..],
                &PAYLOAD,
            ];
            writer.as_mut().write(&row).await?;
        }
        writer.finish().await?;
        timer.end();
    }
    Ok(timer.rate())
}
