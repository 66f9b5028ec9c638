//! Calls the Bot API of Telegram, by plain HTTP.
//!
//! Says what an answer means for the caller; repeats nothing. The token stands in the address of every call, so no error
//! may show one.

use std::{fmt, time::Duration};

use reqwest::{Client, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use url::Url;

/// How long Telegram may keep a call for updates open.
const POLL_SECONDS: u64 = 25;
/// How long any other call may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// What is asked for; everything else Telegram does not send.
const ALLOWED_UPDATES: [&str; 8] = [
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
    "my_chat_member",
];

/// A bot.
#[derive(Clone)]
pub(crate) struct Bot {
    client: Client,
    base: Url,
}

/// What Telegram says about the bot.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Me {
    /// Its number.
    pub(crate) id: i64,
    /// Its name.
    #[serde(default)]
    pub(crate) username: String,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BotError {
    /// The token is wrong or was revoked: nothing will ever work.
    #[error("Telegram does not know the token")]
    Unauthorized,
    /// Somebody else fetches the bot's updates.
    #[error("Telegram says: {0}")]
    Conflict(String),
    /// Too many calls.
    #[error("Telegram asks for {} s of rest", after.as_secs())]
    TooMany {
        /// How long to wait.
        after: Duration,
    },
    /// The call is wrong for Telegram; the same again will be too.
    #[error("Telegram refused with {status}: {description}")]
    Refused {
        /// The error code.
        status: u16,
        /// What Telegram says.
        description: String,
    },
    /// No answer, or none that can be read: whether the call was carried out is not known.
    #[error("Telegram is not reached")]
    Unreachable(#[source] anyhow::Error),
}

#[derive(Deserialize)]
struct Answer<'a> {
    ok: bool,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error_code: Option<u16>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
}

impl Bot {
    /// A bot of the Bot API at this address.
    pub(crate) fn new(api: &Url, token: &str) -> anyhow::Result<Bot> {
        let is_token = !token.is_empty()
            && token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_'));
        anyhow::ensure!(is_token, "a token looks like 123456:ABC-DEF");
        let base = format!("{}/bot{token}/", api.as_str().trim_end_matches('/'));
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .user_agent(crate::NAME)
            .build()?;
        Ok(Bot {
            client,
            base: base.parse()?,
        })
    }

    /// Who the bot is.
    pub(crate) async fn me(&self) -> Result<Me, BotError> {
        self.call("getMe", &json!({}), ANSWER_WITHIN).await
    }

    /// Fetches the updates from `offset` on, and confirms all before it. Waits for the first one.
    pub(crate) async fn updates(&self, offset: i64) -> Result<Vec<Box<RawValue>>, BotError> {
        let body = json!({
            "offset": offset,
            "timeout": POLL_SECONDS,
            "allowed_updates": ALLOWED_UPDATES,
        });
        let within = Duration::from_secs(POLL_SECONDS) + ANSWER_WITHIN;
        self.call("getUpdates", &body, within).await
    }

    /// Calls a method that answers quickly.
    pub(crate) async fn ask(&self, method: &str, body: &Value) -> Result<Value, BotError> {
        self.call(method, body, ANSWER_WITHIN).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        body: &Value,
        within: Duration,
    ) -> Result<T, BotError> {
        let url = self.base.join(method).expect("a method is a plain word");
        let unreachable = |error: reqwest::Error| BotError::Unreachable(error.without_url().into());
        let request = self
            .client
            .post(url)
            .timeout(within)
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.bytes().await.map_err(unreachable)?;
        let answer: Answer<'_> = serde_json::from_slice(&text).map_err(|error| {
            BotError::Unreachable(anyhow::anyhow!("an answer with {status}: {error}"))
        })?;
        if !answer.ok {
            return Err(refusal(status, answer));
        }
        let result = answer.result.map_or("null", RawValue::get);
        serde_json::from_str(result).map_err(|error| BotError::Unreachable(error.into()))
    }
}

fn refusal(status: StatusCode, answer: Answer<'_>) -> BotError {
    let code = answer.error_code.unwrap_or(status.as_u16());
    match code {
        // An unknown token is `404 Not Found`, a revoked one `401 Unauthorized`.
        401 | 404 => BotError::Unauthorized,
        409 => BotError::Conflict(answer.description),
        429 => BotError::TooMany {
            after: Duration::from_secs(answer.parameters.retry_after.unwrap_or(5)),
        },
        500.. => BotError::Unreachable(anyhow::anyhow!("{code}: {}", answer.description)),
        status => BotError::Refused {
            status,
            description: answer.description,
        },
    }
}

impl fmt::Debug for Bot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bot(…)")
    }
}
