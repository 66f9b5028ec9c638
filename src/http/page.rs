//! Pages of lists: `limit` and `cursor` in, the cursor and the link of the next page out.
//!
//! A cursor is opaque to clients. Inside it is a version, the name of the list, and what the list needs to go on; a cursor
//! of another list, or one that somebody changed, is refused.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::HeaderValue};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use url::form_urlencoded;

use super::problem::{Code, Problem};

/// The size of a page if nobody says.
pub(crate) const LIMIT_BY_DEFAULT: u16 = 100;
/// The largest page.
pub(crate) const LIMIT_MAX: u16 = 500;
/// The version of what is in a cursor.
const CURSOR_VERSION: &str = "1";

/// The page that is asked for. An extractor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// How many at most.
    pub(crate) limit: u16,
    cursor: Option<String>,
}

impl PageRequest {
    /// Reads `limit` and `cursor` from a query; other parameters are somebody else's.
    pub(crate) fn parse(query: &str) -> Result<PageRequest, Problem> {
        let (mut limit, mut cursor) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "limit" => &mut limit,
                "cursor" => &mut cursor,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(Problem::new(
                    Code::BadRequest,
                    format!("`{name}` is given twice"),
                ));
            }
        }
        let limit = match limit {
            None => LIMIT_BY_DEFAULT,
            Some(text) => read_limit(&text)?,
        };
        Ok(PageRequest { limit, cursor })
    }

    /// What the list named `list` wrote into the cursor of this page; `None` on the first page.
    pub(crate) fn after(&self, list: &str) -> Result<Option<String>, Problem> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        let broken = || {
            let detail = "cursor: expected the next_cursor of a page of this list";
            Problem::new(Code::BadRequest, detail)
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(cursor)
            .map_err(|_no_base64| broken())?;
        let text = String::from_utf8(bytes).map_err(|_no_text| broken())?;
        let mut parts = text.splitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(CURSOR_VERSION), Some(of), Some(place)) if of == list => {
                Ok(Some(place.to_owned()))
            }
            _ => Err(broken()),
        }
    }

    /// Like [`PageRequest::after`], for a list that writes something that can be read back.
    pub(crate) fn after_as<T: std::str::FromStr>(&self, list: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.after(list)? else {
            return Ok(None);
        };
        let broken = || Problem::new(Code::BadRequest, "cursor: it cannot be understood");
        text.parse().map(Some).map_err(|_other_form| broken())
    }
}

/// The cursor with which the list named `list` goes on after `place`. The name has no colon.
pub(crate) fn cursor(list: &str, place: impl std::fmt::Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{CURSOR_VERSION}:{list}:{place}"))
}

/// The `Link` header of a page: the same request, with the cursor of the next page.
pub(crate) fn next_link(request: &HttpRequest, next: &str) -> Option<HeaderValue> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
        if name != "cursor" {
            query.append_pair(&name, &value);
        }
    }
    let query = query.append_pair("cursor", next).finish();
    HeaderValue::from_str(&format!("<{}?{query}>; rel=\"next\"", request.path())).ok()
}

fn read_limit(text: &str) -> Result<u16, Problem> {
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit));
    let wrong = || {
        Problem::new(
            Code::BadRequest,
            format!("limit: expected a number from 1 to {LIMIT_MAX}"),
        )
    };
    limit.ok_or_else(wrong)
}

impl FromRequest for PageRequest {
    type Error = Problem;
    type Future = Ready<Result<PageRequest, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(PageRequest::parse(request.query_string()))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    fn page(query: &str) -> PageRequest {
        PageRequest::parse(query).unwrap()
    }

    proptest! {
        #[test]
        fn a_place_reads_back_from_its_cursor(place in ".*") {
            let cursor = cursor("events", &place);
            let page = page(&format!("cursor={cursor}"));
            prop_assert_eq!(page.after("events").unwrap(), Some(place));
            prop_assert!(page.after("webhooks").is_err());
        }

        #[test]
        fn a_broken_cursor_is_refused_and_never_a_panic(text in ".*") {
            let query: String = form_urlencoded::Serializer::new(String::new())
                .append_pair("cursor", &text)
                .finish();
            let outcome = page(&query).after("events");
            prop_assert!(outcome.is_err() || text.starts_with("MTpldmVudHM6"));
        }
    }

    #[test]
    fn a_limit_has_a_default_and_bounds() {
        assert_eq!(page("").limit, 100);
        assert_eq!(page("type=a&limit=500").limit, 500);
        for bad in ["0", "501", "-1", "many", "", "1.5"] {
            let refusal = PageRequest::parse(&format!("limit={bad}")).unwrap_err();
            assert_eq!(refusal.code(), Code::BadRequest, "{bad}");
        }
        assert!(PageRequest::parse("limit=1&limit=2").is_err());
    }

    #[test]
    fn a_cursor_may_be_read_as_what_the_list_needs() {
        let first = page("");
        assert_eq!(first.after_as::<u64>("events").unwrap(), None);
        let next = page(&format!("cursor={}", cursor("events", 7)));
        assert_eq!(next.after_as::<u64>("events").unwrap(), Some(7));
        let odd = page(&format!("cursor={}", cursor("events", "x")));
        assert!(odd.after_as::<u64>("events").is_err());
    }

    #[test]
    fn the_next_link_keeps_the_rest_of_the_query() {
        let request =
            TestRequest::with_uri("/v1/events?type=a%2Cb&cursor=old&limit=2").to_http_request();
        let link = next_link(&request, "new").unwrap();
        assert_eq!(
            link,
            "</v1/events?type=a%2Cb&limit=2&cursor=new>; rel=\"next\""
        );
    }
}
