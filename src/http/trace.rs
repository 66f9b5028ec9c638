//! W3C trace context: reads what a caller sent, makes what is missing.
//!
//! A header that does not follow the rules counts as none, as the standard wants it.

use std::fmt;

use actix_web::http::header::HeaderName;
use rand::{Rng, RngExt as _};

/// The header.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The length of version 00 of the header.
const LENGTH: usize = 55;

/// A request's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    /// The trace.
    pub(crate) trace_id: TraceId,
    /// The request itself, as a part of the trace.
    pub(crate) span_id: SpanId,
    /// The part of the trace that the request comes from, if the caller said so.
    pub(crate) parent: Option<SpanId>,
    /// Whether spans of this trace are exported.
    pub(crate) is_sampled: bool,
}

/// A trace's id, never zero. Shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId([u8; 16]);

/// A span's id, never zero. Shown as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanId([u8; 8]);

impl TraceContext {
    /// Continues the trace that a caller's header names; `None` if the header does not follow the rules.
    pub(crate) fn continued(header: &[u8], random: &mut impl Rng) -> Option<TraceContext> {
        let is_known_length = header.len() == LENGTH;
        let version = header.get(..2)?;
        let is_version_allowed = match version {
            b"00" => is_known_length,
            b"ff" => false,
            // A later version may say more, after another hyphen.
            _ => is_known_length || header.get(LENGTH) == Some(&b'-'),
        };
        let hyphens = [2, 35, 52].map(|place| header.get(place));
        if !is_version_allowed || hyphens != [Some(&b'-'); 3] {
            return None;
        }
        read_hex::<1>(version)?;
        let [flags] = read_hex::<1>(header.get(53..55)?)?;
        Some(TraceContext {
            trace_id: TraceId(read_hex(header.get(3..35)?).filter(|id| *id != [0; 16])?),
            span_id: SpanId::fresh(random),
            parent: Some(SpanId(
                read_hex(header.get(36..52)?).filter(|id| *id != [0; 8])?,
            )),
            is_sampled: flags & 1 == 1,
        })
    }

    /// Begins a trace; `sample_ratio` of them are exported.
    pub(crate) fn fresh(random: &mut impl Rng, sample_ratio: f64) -> TraceContext {
        let mut trace_id: [u8; 16] = random.random();
        trace_id[0] |= u8::from(trace_id == [0; 16]);
        TraceContext {
            trace_id: TraceId(trace_id),
            span_id: SpanId::fresh(random),
            parent: None,
            is_sampled: sample_ratio >= 1.0 || random.random_bool(sample_ratio),
        }
    }

    /// The header that names this request as the parent of what comes of it.
    pub(crate) fn traceparent(&self) -> [u8; LENGTH] {
        let mut header = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&self.trace_id.0, &mut header[3..35]);
        write_hex(&self.span_id.0, &mut header[36..52]);
        header[54] = if self.is_sampled { b'1' } else { b'0' };
        header
    }
}

impl TraceId {
    /// 32 hex digits.
    pub(crate) fn to_hex(self) -> [u8; 32] {
        let mut digits = [0; 32];
        write_hex(&self.0, &mut digits);
        digits
    }
}

impl SpanId {
    fn fresh(random: &mut impl Rng) -> SpanId {
        let mut id: [u8; 8] = random.random();
        id[0] |= u8::from(id == [0; 8]);
        SpanId(id)
    }
}

/// Reads lower-case hex digits; the standard allows no others.
fn read_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let has_upper_case = digits.iter().any(u8::is_ascii_uppercase);
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes)
        .ok()
        .filter(|()| !has_upper_case)?;
    Some(bytes)
}

fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    hex::encode_to_slice(bytes, digits).expect("two digits for each byte");
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_hex()).expect("hex digits are ASCII"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 16];
        write_hex(&self.0, &mut digits);
        f.write_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(header: &str) -> Option<TraceContext> {
        TraceContext::continued(header.as_bytes(), &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn a_trace_is_continued_under_a_new_span() {
        let trace = read(PARENT).unwrap();
        assert_eq!(
            trace.trace_id.to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(trace.parent.unwrap().to_string(), "b7ad6b7169203331");
        assert_ne!(Some(trace.span_id), trace.parent);
        assert!(trace.is_sampled);
        assert!(!read(&PARENT.replace("-01", "-00")).unwrap().is_sampled);
    }

    #[test]
    fn a_header_that_breaks_a_rule_counts_as_none() {
        let broken = [
            String::new(),
            "00".to_owned(),
            PARENT.to_uppercase(),
            PARENT.replace("00-0af", "ff-0af"),
            PARENT.replace("00-0af", "0x-0af"),
            PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            PARENT.replace("0af", "0ag"),
            PARENT.replace('-', "_"),
            format!("{PARENT}-more"),
            format!("01{}x", &PARENT[2..]),
            PARENT[..54].to_owned(),
        ];
        for header in broken {
            assert_eq!(read(&header), None, "{header}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        assert!(read(&format!("cc{}-more", &PARENT[2..])).is_some());
        assert!(read(&format!("cc{}", &PARENT[2..])).is_some());
    }

    #[test]
    fn a_fresh_trace_reads_back_from_what_it_shows() {
        let trace = TraceContext::fresh(&mut StdRng::seed_from_u64(2), 1.0);
        let header = trace.traceparent();
        let child = read(std::str::from_utf8(&header).unwrap()).unwrap();
        assert_eq!(child.trace_id, trace.trace_id);
        assert_eq!(child.parent, Some(trace.span_id));
        assert!(child.is_sampled);
        assert!(!TraceContext::fresh(&mut StdRng::seed_from_u64(2), 0.0).is_sampled);
    }
}
