//! Keeps a connector's credentials with the engine, under the session's fence.
//!
//! The bytes are opaque here.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use domain::fence::Fence;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH},
};
use rustls::ClientConfig;
use tokio::{sync::watch, time::timeout};

use crate::{
    builder::Settings,
    ended::{Ended, Status},
    tls,
};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What the engine keeps for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The number of the device's last session.
    pub fence: Fence,
    /// What was put last, byte for byte.
    pub bytes: Option<Bytes>,
}

/// Why credentials were not fetched or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Another session is the newest.
    #[error("another session of the device is the newest")]
    Fenced,
    /// The gateway is over.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The engine refused.
    #[error("the engine refused the credentials with {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the engine said.
        message: String,
    },
    /// The engine was not reached, or not to the end. Trying again may help.
    #[error("the engine is not reached")]
    Failed(#[source] reqwest::Error),
}

/// Fetches and keeps.
#[derive(Debug)]
pub(crate) struct Keeper {
    settings: Arc<Settings>,
    status: watch::Receiver<Status>,
    /// Made when it is needed: most gateways keep nothing.
    client: OnceLock<Client>,
}

impl Keeper {
    pub(crate) fn new(settings: Arc<Settings>, status: watch::Receiver<Status>) -> Keeper {
        Keeper {
            settings,
            status,
            client: OnceLock::new(),
        }
    }

    pub(crate) async fn get(&self) -> Result<Credentials, CredentialsError> {
        let client = self.client()?;
        let answer = self
            .send(client.get(self.settings.credentials_url.as_str()))
            .await?;
        let fence = answer
            .headers()
            .get(ETAG)
            .and_then(|tag| tag.to_str().ok())
            .and_then(|tag| tag.trim_matches('"').parse().ok());
        match answer.status() {
            StatusCode::OK => {
                let bytes = answer.bytes().await.map_err(CredentialsError::Failed)?;
                Ok(Credentials {
                    fence: Fence::new(fence.unwrap_or(0)),
                    bytes: Some(bytes),
                })
            }
            StatusCode::NO_CONTENT => Ok(Credentials {
                fence: Fence::new(fence.unwrap_or(0)),
                bytes: None,
            }),
            _ => Err(refused(answer).await),
        }
    }

    pub(crate) async fn put(&self, bytes: Bytes) -> Result<(), CredentialsError> {
        let client = self.client()?;
        let mut fence = self.fence_after(None).await?;
        loop {
            let request = client
                .put(self.settings.credentials_url.as_str())
                .header(IF_MATCH, format!("\"{fence}\""))
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(bytes.clone());
            let answer = self.send(request).await?;
            match answer.status() {
                status if status.is_success() => return Ok(()),
                StatusCode::PRECONDITION_FAILED => {
                    // The newer session may be our own, about which we have not heard yet.
                    let newer = timeout(ANSWER_WITHIN, self.fence_after(Some(fence))).await;
                    fence = newer.map_err(|_elapsed| CredentialsError::Fenced)??;
                }
                _ => return Err(refused(answer).await),
            }
        }
    }

    /// Waits for an open session that is newer than this one.
    async fn fence_after(&self, used: Option<Fence>) -> Result<Fence, CredentialsError> {
        let mut status = self.status.clone();
        loop {
            match &*status.borrow_and_update() {
                Status::Open { fence } if used.is_none_or(|used| used < *fence) => {
                    return Ok(*fence);
                }
                Status::Ended(Ended::Replaced) => return Err(CredentialsError::Fenced),
                Status::Ended(ended) => return Err(ended.clone().into()),
                Status::Open { .. } | Status::Connecting => {}
            }
            if status.changed().await.is_err() {
                return Err(Ended::Closed.into());
            }
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CredentialsError> {
        request
            .header(AUTHORIZATION, self.settings.authorization.clone())
            .send()
            .await
            .map_err(CredentialsError::Failed)
    }

    fn client(&self) -> Result<&Client, CredentialsError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Without TLS of ours the client would look for that of the whole process, also if it needs none.
        let tls = match &self.settings.tls {
            Some(tls) => Arc::clone(tls),
            None => tls::config(&[]).expect("the well-known authorities are valid"),
        };
        let client = Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(&tls))
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .no_proxy()
            .build()
            .map_err(CredentialsError::Failed)?;
        Ok(self.client.get_or_init(|| client))
    }
}

async fn refused(answer: Response) -> CredentialsError {
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap_or_default();
    let problem: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail"));
    CredentialsError::Refused {
        status,
        message: detail
            .and_then(|detail| detail.as_str())
            .unwrap_or("no reason was given")
            .to_owned(),
    }
}
