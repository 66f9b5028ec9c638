use super::{Keep, Row, Rows, Table, Vault, blob};

/// What a blob may have in these tests.
const BYTES_MAX: usize = 256 * 1024;

fn row(value: &[u8], at: i64) -> Row {
    Row {
        value: value.to_vec(),
        at,
    }
}

/// Bytes that cannot be compressed.
fn noise() -> impl FnMut(usize) -> Vec<u8> {
    let mut noise = 1_u64;
    move |length| {
        let next = || {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            noise.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(length).collect()
    }
}

/// What is kept of these rows: kinds, how many of each, and their length.
fn kept(what: &[(Table, i64, usize)]) -> Rows {
    let vault = Vault::open(None).unwrap();
    let mut bytes = noise();
    for (table, count, length) in what {
        let mut state = vault.state();
        for no in 0..*count {
            let key = no.to_be_bytes().to_vec();
            state.rows.insert((*table, key), row(&bytes(*length), no));
        }
    }
    let (_, blob) = vault.blob(BYTES_MAX);
    blob::read(&blob).unwrap()
}

fn count(rows: &Rows, wanted: Table) -> usize {
    rows.keys().filter(|(table, _)| *table == wanted).count()
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let keep = Keep::file(folder.path().join("account"));
    let vault = Vault::open(None).unwrap();
    let writer = tokio::spawn({
        let (vault, keep) = (vault.clone(), keep.clone());
        async move { vault.run(keep).await }
    });
    for at in 0..20_u8 {
        let change = |rows: &mut Rows| {
            rows.insert((Table::Sessions, vec![at]), row(&[at; 100], 1));
        };
        vault.change(change).await.unwrap();
    }
    writer.abort();
    let kept = keep.load().await.unwrap();
    let again = Vault::open(kept.as_deref()).unwrap();
    assert_eq!(again.scan(Table::Sessions, b"").len(), 20);
    assert_eq!(again.get(Table::Sessions, &[7]), Some(vec![7; 100]));
    assert_eq!(again.get(Table::Identities, &[7]), None);
}

#[tokio::test]
async fn what_nobody_waits_for_is_kept_with_the_next_change() {
    let folder = tempfile::tempdir().unwrap();
    let keep = Keep::file(folder.path().join("account"));
    let vault = Vault::open(None).unwrap();
    let writer = tokio::spawn({
        let (vault, keep) = (vault.clone(), keep.clone());
        async move { vault.run(keep).await }
    });
    let later = |no: u8| {
        vault.change_later(|rows| {
            rows.insert((Table::SentMessages, vec![no]), row(&[no], 1));
        });
    };
    later(1);
    vault.change(Rows::clear).await.unwrap();
    later(2);
    assert_eq!(vault.get(Table::SentMessages, &[2]), Some(vec![2]));
    vault.keep_all().await.unwrap();
    writer.abort();
    let kept = keep.load().await.unwrap();
    let again = Vault::open(kept.as_deref()).unwrap();
    assert_eq!(again.get(Table::SentMessages, &[1]), None);
    assert_eq!(again.get(Table::SentMessages, &[2]), Some(vec![2]));
}

#[test]
fn an_account_that_is_too_large_gives_up_what_the_network_gives_again_and_nothing_else() {
    let rows = kept(&[
        (Table::SentMessages, 100, 4096),
        (Table::Sessions, 100, 500),
    ]);
    assert_eq!(count(&rows, Table::Sessions), 100);
    let newest = 99_i64.to_be_bytes().to_vec();
    assert!(rows.contains_key(&(Table::SentMessages, newest)));
    assert!(count(&rows, Table::SentMessages) < 100);
}

#[test]
fn sessions_that_were_not_used_for_long_give_way_when_nothing_else_can() {
    let rows = kept(&[
        (Table::SentMessages, 10, 100),
        (Table::Sessions, 100, 4096),
        (Table::PreKeys, 100, 70),
    ]);
    assert_eq!(count(&rows, Table::SentMessages), 0);
    assert_eq!(count(&rows, Table::Sessions), 50);
    let newest = 99_i64.to_be_bytes().to_vec();
    assert!(rows.contains_key(&(Table::Sessions, newest)));
    assert_eq!(count(&rows, Table::PreKeys), 100);
}

#[test]
fn what_the_account_cannot_do_without_is_kept_however_large_it_is() {
    let rows = kept(&[(Table::PreKeys, 100, 4096)]);
    assert_eq!(count(&rows, Table::PreKeys), 100);
}
