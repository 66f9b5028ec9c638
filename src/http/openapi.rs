//! `GET /openapi.json`: the API as machines read it. The document is kept by hand, beside this file.
//!
//! That it says what the server does is checked here: every route stands in it and every path in it is a route, every code
//! of a problem is listed, and nothing refers to what is not there.

use actix_web::{HttpResponse, http::header::ContentType};
use serde_json::Value;

/// The document.
const DOCUMENT: &str = include_str!("openapi/openapi.json");

/// Answers the document.
pub(crate) async fn document() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(DOCUMENT)
}

/// The document as a value.
pub(super) fn parsed() -> Value {
    serde_json::from_str(DOCUMENT).unwrap_or_default()
}

#[cfg(test)]
mod tests;
