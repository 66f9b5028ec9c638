//! `GET /docs`: the API as people read it, drawn from the `OpenAPI` document.
//!
//! A page without a script, and with a style sheet of its own: its policy forbids everything else.

mod render;

use std::sync::OnceLock;

use actix_web::{
    HttpResponse,
    http::header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType, HeaderName, REFERRER_POLICY,
    },
    web,
};

use super::{openapi, problem::Problem};

const STYLE: &str = include_str!("docs/docs.css");

const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
const X_FRAME_OPTIONS: HeaderName = HeaderName::from_static("x-frame-options");

/// Answers the page.
pub(crate) async fn page() -> HttpResponse {
    answer(ContentType::html().to_string(), html())
}

/// Answers what the page is made of.
pub(crate) async fn file(name: web::Path<String>) -> Result<HttpResponse, Problem> {
    match name.as_str() {
        "docs.css" => Ok(answer("text/css; charset=utf-8".to_owned(), STYLE)),
        _ => Err(Problem::not_found("file")),
    }
}

/// The page, drawn once.
fn html() -> &'static str {
    static PAGE: OnceLock<String> = OnceLock::new();
    PAGE.get_or_init(|| render::page(&openapi::parsed()))
}

fn answer(media_type: String, body: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(media_type)
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_FRAME_OPTIONS, "DENY"))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::ROUTES;

    #[test]
    fn every_route_is_on_the_page() {
        for (path, _) in ROUTES {
            assert!(html().contains(&format!("<code>{path}</code>")), "{path}");
        }
    }

    #[test]
    fn nothing_of_the_page_comes_from_elsewhere() {
        for text in [html(), STYLE] {
            for outside in [
                "src=",
                "href=\"http",
                "//cdn",
                "@import",
                "url(",
                "<script",
                "style=",
            ] {
                assert!(!text.contains(outside), "{outside}");
            }
        }
    }

    #[actix_web::test]
    async fn the_page_forbids_what_it_does_not_need() {
        let response = page().await;
        let policy = response.headers().get(CONTENT_SECURITY_POLICY).unwrap();
        assert!(policy.to_str().unwrap().starts_with("default-src 'none'"));
        assert!(
            file(web::Path::from("../../etc/passwd".to_owned()))
                .await
                .is_err()
        );
    }
}
