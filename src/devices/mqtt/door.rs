//! Who is let in: reads CONNECT, checks the key, finds the device, opens its session.
//!
//! Decides what a device is told if it is not. How a session lives is the engine's.

use std::net::IpAddr;

use actors::{
    Engine, EngineError,
    auth::{AuthError, Caller},
    device::{LinkReceiver, OpenError, OpenSession, Session, Transport, link},
};
use domain::{device::DeviceEvent, ids::DeviceId, permission::Permission};
use mqtt_protocol_core::mqtt::result_code::ConnectReasonCode as Code;

use super::{
    connect::{Connect, Will},
    ending::Refusal,
    message,
};
use crate::devices::credential::Credential;

/// A device that is let in.
pub(super) struct Admitted {
    /// Its session.
    pub(super) session: Session,
    /// What it is told.
    pub(super) told: LinkReceiver,
    /// What it came in with.
    pub(super) credential: Credential,
    /// What is said for it if it can say no more.
    pub(super) will: Option<DeviceEvent>,
}

/// Lets a device in, or says why not.
pub(super) async fn admit(
    engine: &Engine,
    connect: &Connect,
    ip: IpAddr,
) -> Result<Admitted, Refusal> {
    let device = device(&connect.client_id)?;
    let will = connect.will.as_ref().map(will).transpose()?;
    let (credential, caller) = credential(engine, connect, device, ip).await?;
    let (link, told) = link();
    let open = OpenSession {
        tenant: caller.tenant.id,
        device,
        gateway: Some(connect.version.name().to_owned()),
        transport: Transport::Mqtt,
        link,
    };
    let session = engine.open_session(open).await.map_err(refused_session)?;
    Ok(Admitted {
        session,
        told,
        credential,
        will,
    })
}

fn device(client_id: &str) -> Result<DeviceId, Refusal> {
    client_id.parse().map_err(|_no_id| {
        let text = "the client id is the device's id: dev_…";
        Refusal::new(Code::ClientIdentifierNotValid, text)
    })
}

fn will(will: &Will) -> Result<DeviceEvent, Refusal> {
    message::will(will)
        .map_err(|refusal| Refusal::new(Code::NotAuthorized, format!("the will: {refusal}")))
}

async fn credential(
    engine: &Engine,
    connect: &Connect,
    device: DeviceId,
    ip: IpAddr,
) -> Result<(Credential, std::sync::Arc<Caller>), Refusal> {
    let missing = || {
        let text = "the password is an API key with the permission devices:connect";
        Refusal::new(Code::BadUserNameOrPassword, text)
    };
    let key = connect.password.as_deref().ok_or_else(missing)?;
    let key = std::str::from_utf8(key).map_err(|_no_key| missing())?;
    let caller = engine
        .auth()
        .authenticate(key, ip)
        .await
        .map_err(refused_key)?;
    if !caller.key.permissions.allow(Permission::DevicesConnect) {
        let text = format!(
            "the key lacks the permission {}",
            Permission::DevicesConnect
        );
        return Err(Refusal::new(Code::NotAuthorized, text));
    }
    let found = engine
        .device(caller.tenant.id, caller.key.workspace, device)
        .await
        .map_err(|error| refused_device(&error))?;
    let credential = Credential {
        key: engine.auth().hash(key),
        key_id: caller.key.id,
        ip,
        tenant: caller.tenant.id,
        workspace: found.workspace,
    };
    Ok((credential, caller))
}

fn refused_key(error: AuthError) -> Refusal {
    match error {
        AuthError::Invalid => Refusal::new(Code::BadUserNameOrPassword, error.to_string()),
        AuthError::Expired
        | AuthError::Revoked
        | AuthError::IpNotAllowed(_)
        | AuthError::Suspended => Refusal::new(Code::NotAuthorized, error.to_string()),
        AuthError::Store(error) => unavailable(&error),
    }
}

fn refused_device(error: &EngineError) -> Refusal {
    if let EngineError::NotFound(_) = error {
        let text = "there is no such device that this key sees";
        return Refusal::new(Code::ClientIdentifierNotValid, text);
    }
    unavailable(error)
}

fn refused_session(error: OpenError) -> Refusal {
    match error {
        OpenError::NotFound => refused_device(&EngineError::NotFound("device")),
        OpenError::Flapping { retry_after } => {
            let seconds = retry_after.as_secs() + 1;
            let text = format!("too many sessions were opened: come back in {seconds} s");
            Refusal::new(Code::ConnectionRateExceeded, text)
        }
        OpenError::Engine(error) => refused_device(&error),
    }
}

fn unavailable(error: &dyn std::error::Error) -> Refusal {
    tracing::info!("a device could not be let in: {error}");
    let text = "sessions cannot be opened now: come back later";
    Refusal::new(Code::ServerUnavailable, text)
}
