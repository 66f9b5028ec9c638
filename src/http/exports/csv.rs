//! Events as a table (RFC 4180). Lossy on purpose: for people and their spreadsheets, not for `trunkline verify`.

use domain::{event::Event, region::Region};

const COLUMNS: [&str; 19] = [
    "id",
    "type",
    "workspace",
    "position",
    "seq",
    "received_at",
    "occurred_at",
    "category",
    "project",
    "actor",
    "target",
    "dedup_id",
    "ordering_key",
    "trace_id",
    "device",
    "region",
    "prev_hash",
    "hash",
    "payload",
];

/// Appends the names of the columns.
pub(super) fn write_header(out: &mut Vec<u8>) {
    out.extend_from_slice(COLUMNS.join(",").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends one event.
pub(super) fn write_row(event: &Event, region: Region, out: &mut Vec<u8>) {
    let fields = &event.fields;
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let json = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let party = |party: &Option<domain::event::Party>| {
        party
            .as_ref()
            .map_or_else(String::new, |party| json(&party.json))
    };
    let cells: [String; COLUMNS.len()] = [
        event.id.to_string(),
        event.kind.to_string(),
        event.workspace.to_string(),
        event.position.to_string(),
        event.seq.to_string(),
        event.received_at.to_string(),
        fields
            .occurred_at
            .map_or_else(String::new, |time| time.to_string()),
        text(&fields.category),
        text(&fields.project),
        party(&fields.actor),
        party(&fields.target),
        text(&fields.dedup_id),
        text(&fields.ordering_key),
        text(&fields.trace_id),
        fields
            .device
            .map_or_else(String::new, |device| device.to_string()),
        region.to_string(),
        event.prev_hash.to_string(),
        event.hash.to_string(),
        json(&event.payload),
    ];
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_cell(cell, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Quotes what needs it. A cell that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, "CSV
/// Injection").
fn write_cell(cell: &str, out: &mut Vec<u8>) {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let needs_quotes = is_formula || cell.contains(['"', ',', '\n', '\r']);
    if !needs_quotes {
        out.extend_from_slice(cell.as_bytes());
        return;
    }
    out.push(b'"');
    if is_formula {
        out.push(b'\'');
    }
    for byte in cell.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_when_it_must_be_and_never_a_formula() {
        let cases = [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("-2", "\"'-2\""),
            ("@x", "\"'@x\""),
            ("+x", "\"'+x\""),
        ];
        for (cell, expected) in cases {
            let mut out = Vec::new();
            write_cell(cell, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
