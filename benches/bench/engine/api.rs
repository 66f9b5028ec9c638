//! The management calls that rows need to set their scene. None of them is measured.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::{
    Client, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Value, json};

use super::find_key;
use crate::posting;

/// A client for one engine's management calls.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    base: String,
    authorization: String,
    internal_token: &'static str,
}

/// A webhook to create.
#[derive(Clone, Debug)]
pub(crate) struct NewWebhook {
    /// Where to.
    pub(crate) url: String,
    /// One type or pattern.
    pub(crate) events: String,
    /// Deliveries in flight; the engine's default if `None`.
    pub(crate) in_flight_max: Option<usize>,
}

impl Api {
    pub(super) fn new(
        address: SocketAddr,
        key: &str,
        internal_token: &'static str,
    ) -> anyhow::Result<Api> {
        Ok(Api {
            client: posting::client()?,
            base: format!("http://{address}"),
            authorization: format!("Bearer {key}"),
            internal_token,
        })
    }

    /// Creates a webhook; answers its id.
    pub(crate) async fn create_webhook(&self, webhook: &NewWebhook) -> anyhow::Result<String> {
        let mut body = json!({ "url": webhook.url, "events": [webhook.events] });
        if let Some(in_flight_max) = webhook.in_flight_max {
            body["max_in_flight"] = json!(in_flight_max);
        }
        let answer = self.call(Method::POST, "/v1/webhooks", Some(&body)).await?;
        let answer: Value = serde_json::from_str(&answer).context("read the new webhook")?;
        answer["data"]["id"]
            .as_str()
            .map(str::to_owned)
            .context("the new webhook has no id")
    }

    /// Stops a webhook's deliveries.
    pub(crate) async fn pause(&self, webhook: &str) -> anyhow::Result<()> {
        let path = format!("/v1/webhooks/{webhook}/pause");
        self.call(Method::POST, &path, None).await.map(drop)
    }

    /// Lets a webhook's deliveries go on.
    pub(crate) async fn resume(&self, webhook: &str) -> anyhow::Result<()> {
        let path = format!("/v1/webhooks/{webhook}/resume");
        self.call(Method::POST, &path, None).await.map(drop)
    }

    /// Creates a tenant on the largest plan; answers its key.
    pub(crate) async fn create_tenant(&self, slug: &str) -> anyhow::Result<String> {
        let body = json!({ "name": slug, "slug": slug, "plan": "enterprise", "region": "AU" });
        let answer = self
            .call(Method::POST, "/internal/tenants", Some(&body))
            .await?;
        find_key(&answer)
            .map(str::to_owned)
            .context("the new tenant has no key")
    }

    /// Whether any tenant's actor runs.
    pub(crate) async fn has_tenant_actors(&self) -> anyhow::Result<bool> {
        let actors = self.call(Method::GET, "/internal/actors", None).await?;
        Ok(actors.contains("ten_"))
    }

    /// How many sessions of devices are open.
    pub(crate) async fn live_devices(&self) -> anyhow::Result<usize> {
        let metrics = self.call(Method::GET, "/metrics", None).await?;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("device_sessions{"));
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        Ok(counts.sum())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<String> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .timeout(Duration::from_secs(30))
            .header(AUTHORIZATION, &self.authorization)
            .header("x-internal-token", self.internal_token);
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let answer = request
            .send()
            .await
            .with_context(|| format!("call {path}"))?;
        let status = answer.status();
        let text = answer
            .text()
            .await
            .with_context(|| format!("read the answer of {path}"))?;
        if !status.is_success() {
            bail!("{path} was answered {status}: {text}");
        }
        Ok(text)
    }
}
