//! `/v1/devices/{id}/credentials`: bytes that the engine keeps for a device's connector and does not look into.
//!
//! They are written under the fence of the session that writes them, so that a connector that has lost its session spoils
//! nothing. Their `ETag` is the fence that holds now.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, ContentType, ETAG, HeaderValue, IF_MATCH},
};
use actors::engine::{CredentialsError, Habit, Keeper};
use domain::permission::Permission;
use serde_json::json;

use super::find;
use crate::http::{
    body::RawBody,
    call::{Answer, Call},
    problem::{Code, Problem},
};

/// `GET /v1/devices/{id}/credentials`: the bytes, or 204 if there are none yet.
pub(crate) async fn get(call: Call) -> Answer {
    call.require(Permission::DevicesConnect)?;
    let device = find(&call).await?;
    let kept = call
        .engine()
        .device_credentials(call.tenant(), device.id)
        .await?;
    if kept.bytes.is_some() {
        let by = keeper(&call);
        let (tenant, engine) = (call.tenant(), call.engine());
        let read = Habit::Read { fence: kept.fence };
        if engine.is_news(tenant, device.id, read, by) {
            let meta = json!({ "fence": kept.fence });
            call.audit("device.credentials_read", "device", device.id, meta)
                .await;
        }
    }
    let mut response = match kept.bytes {
        Some(bytes) => HttpResponse::Ok()
            .content_type(ContentType::octet_stream())
            .body(bytes),
        None => HttpResponse::NoContent().finish(),
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, tag(kept.fence));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `PUT /v1/devices/{id}/credentials`
pub(crate) async fn put(call: Call, body: RawBody) -> Answer {
    call.require(Permission::DevicesConnect)?;
    let fence = fence(call.request())?;
    let device = find(&call).await?;
    let length = body.0.len();
    let by = keeper(&call);
    let is_new = call
        .engine()
        .put_device_credentials(call.tenant(), device.id, fence, by, body.0)
        .await?;
    // Connectors change their keys with every message: who does it is told once, until somebody else does.
    if is_new {
        let meta = json!({ "fence": fence, "bytes": length });
        call.audit("device.credentials_updated", "device", device.id, meta)
            .await;
    }
    let mut response = HttpResponse::NoContent().finish();
    response.headers_mut().insert(ETAG, tag(fence));
    Ok(response)
}

/// Who it is that has to do with credentials.
fn keeper(call: &Call) -> Keeper {
    Keeper {
        key: call.caller().key().id,
        ip: call.caller().context().client_ip(),
    }
}

fn tag(fence: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{fence}\"")).expect("digits may stand in a header")
}

/// The fence that `If-Match` names, bare or as the tag that was shown.
fn fence(request: &HttpRequest) -> Result<u64, Problem> {
    let expected = || {
        let detail = "If-Match: expected the fence of the device's session, such as \"7\"; 0 before the first one";
        Problem::new(Code::BadRequest, detail)
    };
    let mut headers = request.headers().get_all(IF_MATCH);
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(expected());
    };
    let text = header.to_str().unwrap_or_default().trim();
    let bare = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    let is_number = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| bare.parse().ok()).flatten();
    number.ok_or_else(expected)
}

impl From<CredentialsError> for Problem {
    fn from(error: CredentialsError) -> Problem {
        match error {
            CredentialsError::NotFound => Problem::not_found("device"),
            CredentialsError::Fenced { held } => {
                let detail = format!(
                    "If-Match does not name the fence that holds now, {held}: another session has the device"
                );
                Problem::new(Code::VersionMismatch, detail)
                    .with("fence", held)
                    .with_header(ETAG, tag(held))
            }
            CredentialsError::Engine(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(value: &str) -> Result<u64, Code> {
        let request = TestRequest::put().insert_header((IF_MATCH, value));
        fence(&request.to_http_request()).map_err(|problem| problem.code())
    }

    #[test]
    fn a_fence_is_read_bare_and_as_it_is_shown() {
        assert_eq!(read("7"), Ok(7));
        assert_eq!(read(" \"0\" "), Ok(0));
        assert_eq!(read(tag(u64::MAX).to_str().unwrap()), Ok(u64::MAX));
    }

    #[test]
    fn what_is_no_fence_is_not_understood() {
        for bad in [
            "",
            "*",
            "\"",
            "\"7",
            "-1",
            "+1",
            "v7",
            "18446744073709551616",
            "7, 8",
        ] {
            assert_eq!(read(bad), Err(Code::BadRequest), "{bad}");
        }
        let without = TestRequest::put().to_http_request();
        assert_eq!(fence(&without).unwrap_err().code(), Code::BadRequest);
    }
}
