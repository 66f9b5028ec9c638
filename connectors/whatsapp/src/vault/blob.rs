//! An account's rows as bytes: a version, then the rows, deflated.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

use super::{Row, Rows, Table};

/// What a blob may hold when it is inflated.
const ROWS_BYTES_MAX: u64 = 64 * 1024 * 1024;
const VERSION: u8 = 1;

/// Bytes that are no account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadBlob {
    /// Another program, or a later version of this one, wrote them.
    #[error(
        "the kept account was written by another program or a later version (it begins with {0:?})"
    )]
    Version(Option<u8>),
    /// They cannot be inflated.
    #[error("the kept account is damaged")]
    Damaged(#[from] std::io::Error),
    /// Rows are cut off, or of an unknown kind.
    #[error("the kept account is damaged at byte {0}")]
    At(usize),
}

/// The rows as bytes.
pub(super) fn write(rows: &Rows) -> Vec<u8> {
    let mut plain = Vec::new();
    for ((table, key), row) in rows {
        plain.push(*table as u8);
        plain.extend_from_slice(&row.at.to_be_bytes());
        for part in [key, &row.value] {
            let length = u32::try_from(part.len()).expect("a row is far smaller than 4 GiB");
            plain.extend_from_slice(&length.to_be_bytes());
            plain.extend_from_slice(part);
        }
    }
    let mut deflated = ZlibEncoder::new(vec![VERSION], Compression::fast());
    deflated
        .write_all(&plain)
        .and_then(|()| deflated.finish())
        .expect("writing to memory does not fail")
}

/// The rows again.
pub(super) fn read(blob: &[u8]) -> Result<Rows, BadBlob> {
    let Some((&VERSION, deflated)) = blob.split_first() else {
        return Err(BadBlob::Version(blob.first().copied()));
    };
    let mut plain = Vec::new();
    ZlibDecoder::new(deflated)
        .take(ROWS_BYTES_MAX)
        .read_to_end(&mut plain)?;
    let mut rows = Rows::new();
    let mut rest = plain.as_slice();
    while !rest.is_empty() {
        let bad = BadBlob::At(plain.len() - rest.len());
        let Some((key, row)) = read_row(&mut rest) else {
            return Err(bad);
        };
        rows.insert(key, row);
    }
    Ok(rows)
}

fn read_row(rest: &mut &[u8]) -> Option<((Table, Vec<u8>), Row)> {
    let table = *rest.split_off(..1)?.first()?;
    let table = *Table::ALL.get(usize::from(table).checked_sub(1)?)?;
    let at = i64::from_be_bytes(rest.split_off(..8)?.try_into().ok()?);
    let mut part = || {
        let length = u32::from_be_bytes(rest.split_off(..4)?.try_into().ok()?);
        let part = rest.split_off(..usize::try_from(length).ok()?)?;
        Some(part.to_vec())
    };
    let (key, value) = (part()?, part()?);
    Some(((table, key), Row { value, at }))
}

#[cfg(test)]
mod tests {
    use super::{BadBlob, Row, Rows, Table, read, write};

    #[test]
    fn rows_of_every_kind_come_back() {
        let mut rows = Rows::new();
        for (no, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table as usize, no + 1);
            let value = vec![7; no * 100];
            rows.insert((table, vec![1, 2, 3]), Row { value, at: -5 });
        }
        assert_eq!(read(&write(&rows)).unwrap(), rows);
    }

    #[test]
    fn damaged_blobs_are_refused() {
        let mut rows = Rows::new();
        let value = b"value".to_vec();
        rows.insert((Table::Sessions, b"key".to_vec()), Row { value, at: 1 });
        let blob = write(&rows);
        assert!(matches!(read(b""), Err(BadBlob::Version(None))));
        assert!(matches!(read(b"\x02"), Err(BadBlob::Version(Some(2)))));
        for end in 1..blob.len() {
            assert!(read(&blob[..end]).is_err(), "cut at {end}");
        }
    }
}
