//! `GET /problems/{code}`: what a code means. The `type` of every problem leads here.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, ContentType},
    web,
};
use serde_json::json;

use super::{Code, Problem};

/// Explains a code, as a page for browsers and as JSON for everybody else.
pub(crate) async fn explain(
    request: HttpRequest,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let code = Code::from_name(&name).ok_or_else(|| Problem::not_found("problem"))?;
    let accepted = request
        .headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let mut response = HttpResponse::Ok();
    if accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        return Ok(response.content_type(ContentType::html()).body(page(code)));
    }
    Ok(response.json(json!({ "data": {
        "type": format!("/problems/{}", code.name()),
        "code": code.name(),
        "status": code.status().as_u16(),
        "title": code.title(),
        "meaning": code.meaning(),
    }})))
}

/// Constant texts only: nothing here needs escaping but the few characters that our own texts have.
fn page(code: Code) -> String {
    let (name, title, status) = (code.name(), code.title(), code.status().as_u16());
    let meaning = code.meaning().replace('<', "&lt;");
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title>\
         <h1>{title}</h1><p><code>{name}</code>, status {status}</p><p>{meaning}</p></html>"
    )
}
