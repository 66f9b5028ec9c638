//! What an error looks like to a client: RFC 9457, with codes that never change their meaning.
//!
//! Does not decide which error it is: whoever fails makes a [`Problem`], and the request layer adds what only it knows, the
//! path and the trace.

mod code;
mod pages;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use code::Code;
pub(crate) use pages::explain;

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why a request was not answered as wished. Boxed, because a result carries it by value.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    extra: Map<String, Value>,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One member of the input that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    /// JSON pointer into the body.
    pub(crate) pointer: String,
    /// What was expected.
    pub(crate) detail: String,
}

/// What only the request layer knows of a problem.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Occurrence<'a> {
    /// The path that was asked for.
    pub(crate) instance: Option<&'a str>,
    /// The trace that the request belongs to.
    pub(crate) trace_id: Option<&'a str>,
    /// The status that the answer has already, if it is not the code's own.
    pub(crate) status: Option<StatusCode>,
}

#[derive(Serialize)]
struct Rendered<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    error: RenderedError<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct RenderedError<'a> {
    code: &'static str,
    message: &'a str,
}

impl Problem {
    /// A problem, and what was wrong this time: a sentence for the caller, without secrets.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            extra: Map::new(),
            retry_after: None,
            headers: Vec::new(),
        }))
    }

    /// The problem that an answer of this status stands for, if nobody said more.
    pub(crate) fn from_status(status: StatusCode, said: Option<String>) -> Problem {
        let code = Code::from_status(status);
        let detail = match said {
            // What broke inside is nobody else's business.
            Some(said) if status.is_client_error() => Cow::Owned(said),
            Some(_) | None => Cow::Borrowed(code.meaning()),
        };
        Problem::new(code, detail)
    }

    /// A value of the input that may not be as it is.
    pub(crate) fn invalid_field(pointer: &str, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        let sentence = format!("`{pointer}`: {detail}");
        Problem::new(Code::InvalidField, sentence).with_error(pointer, detail)
    }

    /// There is no such thing, or it is somebody else's: nobody learns which.
    pub(crate) fn not_found(what: &str) -> Problem {
        Problem::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// Something broke that the caller cannot help. The cause is logged here and not told.
    pub(crate) fn internal(cause: &dyn fmt::Display) -> Problem {
        tracing::error!("a request failed inside: {cause}");
        Problem::new(Code::Internal, Code::Internal.meaning())
    }

    /// Adds a member of the input that is wrong.
    #[must_use]
    pub(crate) fn with_error(mut self, pointer: &str, detail: impl Into<String>) -> Problem {
        self.0.errors.push(FieldError {
            pointer: pointer.to_owned(),
            detail: detail.into(),
        });
        self
    }

    /// Adds a member to the answer, such as `existing_id`.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.0.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to come back; sent in whole seconds, at least one.
    #[must_use]
    pub(crate) fn retry_after(mut self, after: Duration) -> Problem {
        self.0.retry_after = Some(after);
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.0.headers.push((name, value));
        self
    }

    /// Which problem.
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// The members of the input that are wrong.
    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// What was wrong this time.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Members of its own.
    pub(crate) fn extra(&self) -> &Map<String, Value> {
        &self.0.extra
    }

    /// The body.
    pub(crate) fn render(&self, at: Occurrence<'_>) -> Bytes {
        let Inner {
            code,
            detail,
            errors,
            extra,
            ..
        } = &*self.0;
        let rendered = Rendered {
            kind: format!("/problems/{}", code.name()),
            title: code.title(),
            status: at.status.unwrap_or(code.status()).as_u16(),
            detail,
            instance: at.instance,
            error: RenderedError {
                code: code.name(),
                message: detail,
            },
            trace_id: at.trace_id,
            errors,
            extra,
        };
        let body = serde_json::to_vec(&rendered).expect("only texts, numbers and JSON values");
        Bytes::from(body)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.name(), self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, PROBLEM_JSON));
        if self.status_code() == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"trunkline\"");
            response.insert_header((WWW_AUTHENTICATE, scheme));
        }
        if let Some(after) = self.0.retry_after.or(self.0.code.retry_after()) {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.insert_header((RETRY_AFTER, seconds.max(1)));
        }
        for (name, value) in &self.0.headers {
            response.append_header((name, value));
        }
        response.body(self.render(Occurrence::default()))
    }
}
