//! Opens the WebSocket of a session.
//!
//! Says what a refusal means: whether trying again can help, and when.

use std::time::Duration;

use domain::device::frame::{FRAME_BYTES_MAX, SUBPROTOCOL};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{
        Error,
        client::IntoClientRequest as _,
        handshake::client::Response,
        http::{
            HeaderValue, StatusCode,
            header::{
                AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL, USER_AGENT,
            },
        },
        protocol::WebSocketConfig,
    },
};

use crate::{builder::Settings, ended::Ended};

/// How long the connection and its handshake may take.
const WITHIN: Duration = Duration::from_secs(20);
/// A gateway holds one connection and mostly small frames.
const READ_BUFFER_BYTES: usize = 4 * 1024;
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The engine will not have it; trying again does not help.
    #[error(transparent)]
    Final(Ended),
    /// The engine is there and says: not now.
    #[error("the engine answered {status}")]
    NotNow {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    /// It could not be reached, or does not speak the protocol.
    #[error("the engine is not reached")]
    Failed(#[source] Box<Error>),
    /// It did not answer in time.
    #[error("the engine did not answer within {} s", WITHIN.as_secs())]
    TimedOut,
}

pub(crate) async fn dial(settings: &Settings) -> Result<Socket, DialError> {
    let mut request = settings
        .session_url
        .as_str()
        .into_client_request()
        .map_err(failed)?;
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, settings.authorization.clone());
    headers.insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    if let Ok(name) = HeaderValue::from_str(&settings.name) {
        headers.insert(USER_AGENT, name);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let connector = match &settings.tls {
        Some(tls) => Connector::Rustls(tls.clone()),
        None => Connector::Plain,
    };
    let dialling = connect_async_tls_with_config(request, Some(config), true, Some(connector));
    // The future of a handshake is large; on the heap it does not make every idle gateway large.
    match timeout(WITHIN, Box::pin(dialling)).await {
        Ok(Ok((socket, _response))) => Ok(socket),
        Ok(Err(Error::Http(response))) => Err(refusal(&response)),
        Ok(Err(error)) => Err(failed(error)),
        Err(_elapsed) => Err(DialError::TimedOut),
    }
}

fn failed(error: Error) -> DialError {
    DialError::Failed(Box::new(error))
}

/// What an HTTP answer instead of a WebSocket means.
///
/// Only the engine's own word is final: a proxy between that finds nobody behind it answers 404 too.
fn refusal(response: &Response) -> DialError {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
    let is_ours =
        header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/problem+json"));
    let is_final = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::GONE
    );
    if is_ours && is_final {
        let body = response.body().as_deref().unwrap_or_default();
        return DialError::Final(Ended::Refused {
            status: status.as_u16(),
            message: detail(body).unwrap_or_else(|| status.to_string()),
        });
    }
    let seconds = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok());
    DialError::NotNow {
        status,
        retry_after: seconds.map(Duration::from_secs),
    }
}

/// What a problem document says to people.
fn detail(body: &[u8]) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    let said = problem.get("detail").or_else(|| problem.get("title"))?;
    said.as_str().map(str::to_owned)
}
