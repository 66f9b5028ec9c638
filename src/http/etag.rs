//! Versions of resources, as `ETag` shows them and `If-Match` asks for them.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{HeaderValue, IF_MATCH},
};

use super::problem::{Code, Problem};

/// The version that a caller wants to change; `None` if any will do. An extractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IfMatch(pub(crate) Option<i64>);

/// The header value that shows a version: `"v3"`.
pub(crate) fn etag(version: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"v{version}\"")).expect("digits may stand in a header")
}

/// The problem of a caller whose version is not the present one.
pub(crate) fn version_mismatch() -> Problem {
    let detail = "the resource has changed since it was read: If-Match does not name its version";
    Problem::new(Code::VersionMismatch, detail)
}

impl IfMatch {
    fn parse(header: &HeaderValue) -> Result<IfMatch, Problem> {
        let text = header.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(IfMatch(None));
        }
        if text.contains(',') {
            let detail = "If-Match: expected one ETag such as \"v3\", or *";
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let digits = text
            .strip_prefix("\"v")
            .and_then(|rest| rest.strip_suffix('"'));
        let is_number = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_digit());
        let version = digits
            .filter(is_number)
            .and_then(|digits| digits.parse().ok());
        // What was never one of our tags, a weak one included, cannot be the present one.
        version
            .map(|version| IfMatch(Some(version)))
            .ok_or_else(version_mismatch)
    }
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<IfMatch, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut headers = request.headers().get_all(IF_MATCH);
        ready(match (headers.next(), headers.next()) {
            (None, _) => Ok(IfMatch(None)),
            (Some(header), None) => IfMatch::parse(header),
            (Some(_), Some(_)) => Err(Problem::new(
                Code::BadRequest,
                "If-Match: expected one header",
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<IfMatch, Code> {
        let header = HeaderValue::from_str(text).unwrap();
        IfMatch::parse(&header).map_err(|problem| problem.code())
    }

    #[test]
    fn a_version_reads_back_from_its_tag() {
        assert_eq!(etag(3), "\"v3\"");
        assert_eq!(
            IfMatch::parse(&etag(i64::MAX)).unwrap(),
            IfMatch(Some(i64::MAX))
        );
        assert_eq!(read("*"), Ok(IfMatch(None)));
    }

    #[test]
    fn what_was_never_our_tag_cannot_match() {
        for foreign in [
            "\"3\"", "W/\"v3\"", "v3", "\"v-3\"", "\"v+3\"", "\"abc\"", "\"v\"", "",
        ] {
            assert_eq!(read(foreign), Err(Code::VersionMismatch), "{foreign}");
        }
    }

    #[test]
    fn a_list_of_tags_is_not_understood() {
        assert_eq!(read("\"v3\", \"v4\""), Err(Code::BadRequest));
    }
}
