//! A log whose beginning is gone comes along with what is left of it, and is verified from there on.

use domain::{position::Position, region::Region, seal::MasterKey};

use super::devices::{Database, set_up};
use crate::{
    carry_over::{CarryOver, Outcome},
    control::Control,
    log::{
        RegionLog as _, Write,
        conformance::{
            author::{Author, commit_one, read_all, workspace},
            retained_proofs::{Grown, check, grow},
            retention::remove_up_to,
        },
        postgres::PostgresLog,
        sqlite::SqliteLog,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_beginning_is_gone_goes_on_as_the_same_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("control.db");
    let master_key = MasterKey::generate();
    let url = format!("sqlite:{}", file.display());
    let control = Control::open(&url).await.unwrap();
    set_up(&control, &master_key).await;
    control.close().await;
    let log = SqliteLog::open(folder.path(), Region::Au).await.unwrap();
    let mut author = Author::new(1);
    let mut grown = [Grown::default(), Grown::default()];
    // One that rests, and all of whose events are gone.
    let resting = author.event_with(workspace(9), "a", Default::default());
    commit_one(&log, Write::Append(author.append(vec![resting.clone()]))).await;
    grow(&log, &mut author, &mut grown, 1_500).await;
    assert_eq!(remove_up_to(&log, author.tenant, 1_101).await, 1_101);
    // Another one, of which nothing at all is left.
    let mut idle = Author::new(2);
    let last = idle.write(&log, 3).await;
    assert_eq!(remove_up_to(&log, idle.tenant, 3).await, 3);
    let kept = read_all(&log, author.tenant).await;
    log.close().await;

    let database = Database::make().await;
    let options = database.options();
    let carry_over = CarryOver {
        folder: folder.path(),
        control: &file,
        target: &options,
        master_key: &master_key,
        watch: &|_| {},
    };
    let outcome = carry_over.run().await.unwrap();
    let Outcome::Carried(carried) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(carried.regions[0].events, 400);

    let log = PostgresLog::open(&options, Region::Au).await.unwrap();
    assert_eq!(read_all(&log, author.tenant).await, kept);
    assert_eq!(
        log.oldest(author.tenant).await.unwrap(),
        Some(Position::new(1_102))
    );
    check(&log, 0, &grown[0], 550).await;
    check(&log, 1, &grown[1], 550).await;
    let end = log.chain_end(author.tenant, workspace(9)).await.unwrap();
    assert_eq!(end.map(|end| end.hash), Some(resting.hash));
    assert_eq!(log.head(idle.tenant).await.unwrap(), Position::new(3));
    let end = log.chain_end(idle.tenant, workspace(1)).await.unwrap();
    assert_eq!(end.map(|end| end.hash), Some(last[2].hash));
    // Both go on.
    idle.write(&log, 1).await;
    grow(&log, &mut author, &mut grown, 300).await;
    check(&log, 0, &grown[0], 550).await;
    log.close().await;
    database.tell("DROP DATABASE", "WITH (FORCE)").await;
}
