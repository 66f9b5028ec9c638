//! `GET /v1/devices/{id}/session`: where a gateway's connection begins.
//!
//! Decides who may connect as which device. What is said on the connection is `devices::gateway`'s.

use actix_http::ws::{HandshakeError, verify_handshake};
use actix_web::{
    HttpRequest,
    http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION},
    web,
};
use domain::{device::frame::SUBPROTOCOL, ids::DeviceId, permission::Permission};

use super::super::{
    auth,
    call::{Answer, Call, user_agent},
    problem::{Code, Problem},
};
use crate::{
    config::Settings,
    devices::{
        credential::Credential,
        gateway::{Gateway, Limits},
        sessions::Sessions,
    },
    shutdown::Stopping,
};

const THIRTEEN: HeaderValue = HeaderValue::from_static("13");

/// Opens a gateway's connection.
pub(crate) async fn open(
    call: Call,
    body: web::Payload,
    settings: web::Data<Settings>,
    stopping: web::Data<Stopping>,
    sessions: web::Data<Sessions>,
) -> Answer {
    call.require(Permission::DevicesConnect)?;
    check_handshake(call.request())?;
    let id: DeviceId = call.named("id", "device")?;
    let caller = call.caller();
    let (tenant, engine) = (call.tenant(), call.engine());
    let device = engine.device(tenant, caller.workspace(), id).await?;
    if stopping.has_begun() {
        let detail = "the node is going away: connect again";
        return Err(Problem::new(Code::Overloaded, detail));
    }
    engine.session_admitted(tenant, id).map_err(|after| {
        let detail = "the device opened too many sessions";
        Problem::new(Code::RateLimited, detail).retry_after(after)
    })?;
    let gateway = Gateway {
        engine: engine.clone(),
        device: id,
        credential: Credential {
            key: auth::key_hash(call.request(), engine)?,
            key_id: caller.key().id,
            ip: caller.context().client_ip(),
            tenant,
            workspace: device.workspace,
        },
        user_agent: user_agent(call.request()),
        limits: Limits::of(&settings),
        stopping: Stopping::clone(&stopping),
        counted: sessions.enter(),
    };
    let (response, socket, messages) =
        actix_ws::handle_with_protocols(call.request(), body, &[SUBPROTOCOL])
            .map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?;
    actix_web::rt::spawn(gateway.run(socket, messages));
    Ok(response)
}

/// Whether the request asks for a WebSocket that speaks the gateway protocol.
fn check_handshake(request: &HttpRequest) -> Result<(), Problem> {
    verify_handshake(request.head()).map_err(|error| {
        let detail = format!("this path takes WebSocket connections (RFC 6455) only: {error}");
        let problem = Problem::new(Code::BadRequest, detail);
        match error {
            HandshakeError::UnsupportedVersion => {
                problem.with_header(SEC_WEBSOCKET_VERSION, THIRTEEN)
            }
            HandshakeError::GetMethodRequired
            | HandshakeError::NoWebsocketUpgrade
            | HandshakeError::NoConnectionUpgrade
            | HandshakeError::NoVersionHeader
            | HandshakeError::BadWebsocketKey => problem,
        }
    })?;
    if offers_protocol(request) {
        return Ok(());
    }
    let detail = format!("expected the header Sec-WebSocket-Protocol: {SUBPROTOCOL}");
    Err(Problem::new(Code::BadRequest, detail))
}

fn offers_protocol(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offered| offered.trim() == SUBPROTOCOL)
}
