//! The codes: which there are, and the status, title and meaning of each. A code never changes what it means.

use std::time::Duration;

use actix_web::http::StatusCode;

macro_rules! codes {
    ($($variant:ident = $name:literal, $status:ident, $title:literal, $meaning:literal;)*) => {
        /// What kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, by status.
            pub(crate) const ALL: &[Code] = &[$(Code::$variant),*];

            /// The name that clients see.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The status that it is answered with.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status,)* }
            }

            /// The same few words each time.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }

            /// What it means, and what to do about it.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    MalformedJson = "malformed_json", BAD_REQUEST, "The body is not JSON",
        "The body cannot be read as JSON in UTF-8. Send exactly one JSON value.";
    BadRequest = "bad_request", BAD_REQUEST, "The request cannot be understood",
        "A header, a path or a query parameter cannot be understood. The detail says which, and what was expected.";
    MissingKey = "missing_key", UNAUTHORIZED, "There is no key",
        "The request carries no key. Send `Authorization: Bearer ak_…` or `X-API-Key: ak_…`.";
    InvalidKey = "invalid_key", UNAUTHORIZED, "The key is not known",
        "The key is not known here. Look for a part that was cut off, and for a key of another installation.";
    ExpiredKey = "expired_key", UNAUTHORIZED, "The key has expired",
        "The key's time is over. Make a new one.";
    RevokedKey = "revoked_key", UNAUTHORIZED, "The key was revoked",
        "The key was revoked, or its grace period after a rotation is over. Use its successor.";
    PermissionDenied = "permission_denied", FORBIDDEN, "The key may not do this",
        "The key lacks the permission that this call needs, or is bound to another workspace.";
    IpNotAllowed = "ip_not_allowed", FORBIDDEN, "The key may not be used from here",
        "The key has a list of addresses, and the caller's is not on it.";
    PlanRequired = "plan_required", FORBIDDEN, "The plan does not include this",
        "The tenant's plan does not include this, or its limit is reached. A larger plan has it.";
    NotFound = "not_found", NOT_FOUND, "There is no such thing",
        "There is nothing at this path, or nothing of this id that the key may see.";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not for this path",
        "The path exists, but not with this method.";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The request came too slowly",
        "The body was not there in time. Send it again, faster.";
    DuplicateEvent = "duplicate_event", CONFLICT, "The event is here already",
        "An event with this `dedup_id` came within the last 24 hours. `existing_id` names it; nothing was added.";
    Conflict = "conflict", CONFLICT, "The state does not allow it",
        "What is asked for contradicts what is there: a name is taken, or the resource is in another state.";
    DeviceOffline = "device_offline", CONFLICT, "The device is not connected",
        "No gateway holds a session of this device, so nobody could be told. Nothing was sent; repeat it when the device is connected.";
    IdempotencyInFlight = "idempotency_in_flight", CONFLICT, "The same request is being worked on",
        "A request with this Idempotency-Key is still being worked on. Repeat it in a moment to get its answer.";
    VersionMismatch = "version_mismatch", PRECONDITION_FAILED, "The resource has changed",
        "If-Match does not name the present version. Read the resource again, and decide anew.";
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "The body is too large",
        "The body, a payload in it, or the number of events is above its limit. The detail says which.";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body's type is not understood",
        "The Content-Type is not one that this call takes, or the body is compressed. Send it plain.";
    InvalidField = "invalid_field", UNPROCESSABLE_ENTITY, "A value is not allowed",
        "A member is missing or has a value that it may not have. `errors` points at it.";
    UnknownField = "unknown_field", UNPROCESSABLE_ENTITY, "A member is not known",
        "There is no member of this name. `errors` points at it.";
    TemplateViolation = "template_violation", UNPROCESSABLE_ENTITY, "The workspace's template is not met",
        "The workspace's template wants what the event does not have. `errors` lists it.";
    IdempotencyMismatch = "idempotency_mismatch", UNPROCESSABLE_ENTITY, "The Idempotency-Key was used for another request",
        "This Idempotency-Key came within the last 24 hours with another body. Use a new key.";
    NoWebhook = "no_webhook", UNPROCESSABLE_ENTITY, "There is no webhook",
        "This path sends to the tenant's webhook, and there is none. Configure one first.";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "A limit is spent",
        "The key's requests or the plan's events of this minute are spent. Retry-After says when there are new ones.";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something broke here",
        "Something broke that the caller cannot help. `trace_id` finds it in the operator's log.";
    DeviceRefused = "device_refused", BAD_GATEWAY, "The device refused it",
        "The device's gateway or its network refused the command. `device_error` has their own code and message.";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too much at once",
        "More is in flight than is allowed. Nothing was done; repeat the request after Retry-After.";
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The store does not answer",
        "The store does not answer. A repetition with the same `dedup_id` or Idempotency-Key is safe.";
    RegionUnavailable = "region_unavailable", SERVICE_UNAVAILABLE, "The region does not answer",
        "The tenant's region does not answer, and its events may not wait elsewhere. Repeat the request later.";
    OwnerUnreachable = "owner_unreachable", SERVICE_UNAVAILABLE, "The responsible node does not answer",
        "The node that is responsible for this tenant does not answer. Repeat the request after Retry-After.";
    DeviceTimeout = "device_timeout", GATEWAY_TIMEOUT, "The device did not answer in time",
        "The device's gateway did not answer before the deadline, or before its session was ended. The command may have been carried out all the same.";
    StorageFull = "storage_full", INSUFFICIENT_STORAGE, "The disk is full",
        "The disk of the store is full. Nothing was taken; the same request works when there is room.";
}

impl Code {
    /// The code of this name.
    pub(crate) fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// The code for an answer of which only the status is known.
    pub(crate) fn from_status(status: StatusCode) -> Code {
        match status {
            StatusCode::UNAUTHORIZED => Code::MissingKey,
            StatusCode::FORBIDDEN => Code::PermissionDenied,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
            StatusCode::CONFLICT => Code::Conflict,
            StatusCode::PRECONDITION_FAILED => Code::VersionMismatch,
            StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Code::InvalidField,
            StatusCode::TOO_MANY_REQUESTS => Code::RateLimited,
            StatusCode::SERVICE_UNAVAILABLE => Code::Overloaded,
            StatusCode::INSUFFICIENT_STORAGE => Code::StorageFull,
            other if other.is_client_error() => Code::BadRequest,
            _ => Code::Internal,
        }
    }

    /// When to come back, if nobody knows better.
    pub(crate) fn retry_after(self) -> Option<Duration> {
        let status = self.status();
        let is_passing = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        is_passing.then_some(Duration::from_secs(1))
    }
}
