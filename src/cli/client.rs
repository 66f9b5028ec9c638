//! Where a running server is and who calls it, for the commands that are clients.
//!
//! Calls nobody: that is [`ApiClient`]'s work.

use clap::Args;
use outbound::{ApiClient, Url};

/// Where the server is, and who calls.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// The server's address.
    #[arg(long, env = "TRUNKLINE_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// The API key.
    #[arg(long, env = "TRUNKLINE_KEY", hide_env_values = true)]
    key: String,
}

impl Connection {
    /// A client for it.
    pub(crate) fn open(&self) -> anyhow::Result<ApiClient> {
        Ok(ApiClient::new(self.url.clone(), &self.key)?)
    }
}
