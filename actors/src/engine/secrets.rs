//! Secrets at rest: keys of tenants, wrapped by the master key; webhooks' secrets, sealed under their tenant's key.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use domain::{
    checkpoint::NoteSigner,
    ids::{DeviceId, TenantId},
    key::KeyPepper,
    region::Region,
    seal::{MasterKey, TenantKey},
    signature::WebhookSecret,
    webhook::Webhook,
};
use parking_lot::Mutex;
use store::control::{Control, SealedWebhook};

use super::EngineError;

const PURPOSE_WEBHOOK_SECRET: &str = "webhook-secret";
const PURPOSE_ANSWER: &str = "idempotent-answer";
/// Tenant keys kept unwrapped.
const KEYS_MAX: usize = 4_096;

/// Seals and opens what must not lie about in the clear.
pub struct Secrets {
    master: MasterKey,
    control: Control,
    keys: Mutex<HashMap<TenantId, Arc<TenantKey>>>,
}

impl Secrets {
    /// Derives everything from `master`.
    pub fn new(master: MasterKey, control: Control) -> Secrets {
        Secrets {
            master,
            control,
            keys: Mutex::default(),
        }
    }

    /// Under which API keys are hashed.
    pub fn pepper(&self) -> KeyPepper {
        KeyPepper::new(&self.master.derive("api-key-pepper"))
    }

    /// Signs what a region states.
    pub fn signer(&self, region: Region) -> NoteSigner {
        let secret = self.master.derive(&format!("region-signing-key/{region}"));
        NoteSigner::new(format!("trunkline/{region}"), &secret)
    }

    /// Makes a new tenant's key: wrapped, as it is stored.
    pub fn make_tenant_key(&self, tenant: TenantId) -> String {
        self.master.wrap(&TenantKey::generate(), tenant)
    }

    async fn key(&self, tenant: TenantId) -> Result<Arc<TenantKey>, EngineError> {
        if let Some(key) = self.keys.lock().get(&tenant) {
            return Ok(Arc::clone(key));
        }
        let found = self
            .control
            .tenant(tenant)
            .await?
            .ok_or(EngineError::NotFound("tenant"))?;
        let key = self
            .master
            .unwrap_key(&found.wrapped_key, tenant)
            .map_err(unreadable)?;
        let key = Arc::new(key);
        let mut keys = self.keys.lock();
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(tenant, Arc::clone(&key));
        Ok(key)
    }

    /// Seals a webhook for the store.
    pub async fn seal_webhook(&self, webhook: &Webhook) -> Result<SealedWebhook, EngineError> {
        let key = self.key(webhook.tenant).await?;
        let seal =
            |secret: &WebhookSecret| key.seal(PURPOSE_WEBHOOK_SECRET, secret.reveal().as_bytes());
        let previous = webhook
            .previous_secret
            .as_ref()
            .map(|(secret, until)| (seal(secret), *until));
        Ok(SealedWebhook::seal(
            webhook,
            seal(&webhook.secret),
            previous,
        ))
    }

    /// Opens a webhook from the store.
    pub async fn open_webhook(&self, sealed: SealedWebhook) -> Result<Webhook, EngineError> {
        let key = self.key(sealed.tenant).await?;
        let open = |text: &str| -> Result<WebhookSecret, EngineError> {
            let plain = key.open(PURPOSE_WEBHOOK_SECRET, text).map_err(unreadable)?;
            let text = std::str::from_utf8(&plain).map_err(unreadable)?;
            WebhookSecret::parse(text).map_err(unreadable)
        };
        let secret = open(&sealed.secret)?;
        let previous = match &sealed.previous_secret {
            Some((text, until)) => Some((open(text)?, *until)),
            None => None,
        };
        Ok(sealed.open(secret, previous))
    }

    /// Seals what a device's connector keeps with the engine.
    pub async fn seal_credentials(
        &self,
        tenant: TenantId,
        device: DeviceId,
        plain: &[u8],
    ) -> Result<Bytes, EngineError> {
        let sealed = self.key(tenant).await?.seal(&credentials(device), plain);
        Ok(sealed.into())
    }

    /// Opens it again.
    pub async fn open_credentials(
        &self,
        tenant: TenantId,
        device: DeviceId,
        sealed: &[u8],
    ) -> Result<Bytes, EngineError> {
        let key = self.key(tenant).await?;
        let text = std::str::from_utf8(sealed).map_err(unreadable)?;
        let plain = key.open(&credentials(device), text).map_err(unreadable)?;
        Ok(Bytes::copy_from_slice(&plain))
    }

    /// Seals the answer that is kept for an idempotency key: it may show a secret.
    pub async fn seal_answer(&self, tenant: TenantId, body: &[u8]) -> Result<String, EngineError> {
        Ok(self.key(tenant).await?.seal(PURPOSE_ANSWER, body))
    }

    /// Opens it again.
    pub async fn open_answer(&self, tenant: TenantId, text: &str) -> Result<Vec<u8>, EngineError> {
        let key = self.key(tenant).await?;
        let plain = key.open(PURPOSE_ANSWER, text).map_err(unreadable)?;
        Ok(plain.to_vec())
    }
}

/// What a device's credentials are sealed for: another device's do not open in their place.
fn credentials(device: DeviceId) -> String {
    format!("device-credentials/{device}")
}

fn unreadable(error: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(format!(
        "a stored secret cannot be opened ({error}): is this the MASTER_KEY that it was sealed under?"
    ))
}
