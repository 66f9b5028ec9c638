//! The frame around every success: `{"data": …, "meta": …}`.
//!
//! Lists are written piece by piece into one buffer, so that items that are JSON already, payloads above all, are copied
//! once and never parsed.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{ContentType, LINK},
    },
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{page::next_link, problem::Problem};

/// A list on its way out.
#[derive(Debug)]
pub(crate) struct ListBody {
    bytes: Vec<u8>,
    count: usize,
}

/// Answers one thing.
pub(crate) fn one(status: StatusCode, data: &impl Serialize) -> Result<HttpResponse, Problem> {
    let mut body = b"{\"data\":".to_vec();
    serde_json::to_writer(&mut body, data).map_err(|error| Problem::internal(&error))?;
    body.push(b'}');
    Ok(json(status, body))
}

/// Answers one thing that is JSON already.
pub(crate) fn one_raw(status: StatusCode, data: &[u8]) -> HttpResponse {
    json(status, [b"{\"data\":", data, b"}"].concat())
}

/// An answer whose body is JSON already.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> HttpResponse {
    HttpResponse::build(status)
        .content_type(ContentType::json())
        .body(body)
}

impl ListBody {
    /// An empty list.
    pub(crate) fn new() -> ListBody {
        ListBody {
            bytes: b"{\"data\":[".to_vec(),
            count: 0,
        }
    }

    /// Adds an item that `write` puts down as JSON.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.count > 0 {
            self.bytes.push(b',');
        }
        self.count += 1;
        write(&mut self.bytes);
    }

    /// Adds an item that is JSON already.
    pub(crate) fn push_raw(&mut self, item: &[u8]) {
        self.push_with(|bytes| bytes.extend_from_slice(item));
    }

    /// Adds an item.
    pub(crate) fn push(&mut self, item: &impl Serialize) -> Result<(), Problem> {
        let item = serde_json::to_vec(item).map_err(|error| Problem::internal(&error))?;
        self.push_raw(&item);
        Ok(())
    }

    /// Answers the list: `next` is the cursor of the next page, `meta` whatever else there is to say.
    pub(crate) fn finish(
        mut self,
        request: &HttpRequest,
        next: Option<String>,
        mut meta: Map<String, Value>,
    ) -> HttpResponse {
        let link = next.as_deref().and_then(|next| next_link(request, next));
        meta.insert(
            "next_cursor".to_owned(),
            next.map_or(Value::Null, Value::String),
        );
        self.bytes.extend_from_slice(b"],\"meta\":");
        self.bytes
            .extend_from_slice(Value::Object(meta).to_string().as_bytes());
        self.bytes.push(b'}');
        let mut response = json(StatusCode::OK, self.bytes);
        if let Some(link) = link {
            response.headers_mut().insert(LINK, link);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{body::to_bytes, test::TestRequest};

    use super::*;

    #[actix_web::test]
    async fn a_list_holds_its_items_as_they_are() {
        let request = TestRequest::with_uri("/v1/things?limit=2").to_http_request();
        let mut list = ListBody::new();
        list.push_raw(br#"{"payload":{"b":1,"a":12345678901234567890123}}"#);
        list.push(&7).unwrap();
        let response = list.finish(&request, Some("abc".to_owned()), Map::new());
        let link = response.headers().get(LINK).unwrap().clone();
        assert_eq!(link, "</v1/things?limit=2&cursor=abc>; rel=\"next\"");
        let body = to_bytes(response.into_body()).await.unwrap();
        let expected = r#"{"data":[{"payload":{"b":1,"a":12345678901234567890123}},7],"meta":{"next_cursor":"abc"}}"#;
        assert_eq!(body, expected);
    }

    #[actix_web::test]
    async fn the_last_page_has_no_next_one() {
        let request = TestRequest::default().to_http_request();
        let response = ListBody::new().finish(&request, None, Map::new());
        assert!(response.headers().get(LINK).is_none());
        let body = to_bytes(response.into_body()).await.unwrap();
        assert_eq!(body, r#"{"data":[],"meta":{"next_cursor":null}}"#);
    }

    #[actix_web::test]
    async fn one_thing_is_framed_too() {
        let response = one(StatusCode::ACCEPTED, &[1]).unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(
            to_bytes(response.into_body()).await.unwrap(),
            r#"{"data":[1]}"#
        );
        let body = to_bytes(one_raw(StatusCode::OK, b"{}").into_body())
            .await
            .unwrap();
        assert_eq!(body, r#"{"data":{}}"#);
    }
}
