//! A device as the API shows it.

use domain::{
    device::DeviceState,
    ids::{DeviceId, WorkspaceId},
    time::Timestamp,
};
use serde::Serialize;
use serde_json::value::RawValue;
use store::control::Device;

/// Everything about a device but what is kept for its connector.
#[derive(Serialize)]
pub(super) struct ShownDevice<'a> {
    id: DeviceId,
    name: &'a str,
    connector: &'a str,
    workspace: WorkspaceId,
    settings: &'a RawValue,
    state: DeviceState,
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qr: Option<&'a str>,
    owner: Option<&'a str>,
    fence: u64,
    gateway: Option<&'a str>,
    last_seen_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: i64,
}

impl ShownDevice<'_> {
    /// A device as it stands. The node that holds its session is named while the session lives.
    pub(super) fn new(device: &Device) -> ShownDevice<'_> {
        ShownDevice::with_qr(device, None)
    }

    /// The same, with what somebody has to scan to pair it.
    pub(super) fn with_qr<'a>(device: &'a Device, qr: Option<&'a str>) -> ShownDevice<'a> {
        ShownDevice {
            id: device.id,
            name: &device.name,
            connector: &device.connector,
            workspace: device.workspace,
            // What is not JSON could only be a damaged row; the rest of the device is shown none the less.
            settings: serde_json::from_str(&device.settings).unwrap_or(RawValue::NULL),
            state: device.state,
            reason: device.reason.as_deref(),
            qr,
            owner: device.node.as_deref().filter(|_| device.is_live),
            fence: device.fence,
            gateway: device.gateway.as_deref(),
            last_seen_at: device.last_seen_at,
            created_at: device.created_at,
            updated_at: device.updated_at,
            version: device.version,
        }
    }
}
