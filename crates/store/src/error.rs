//! What can go wrong in a store, by what the caller does about it.

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full. Answer 507; the same call works when there is room.
    #[error("the disk of the store is full")]
    Full,
    /// The store does not answer, or was busy for too long. Answer 503.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What the configuration names is there, but cannot be worked with: it will not get better by itself. Answer 503.
    #[error("the store cannot be used as it is: {0}")]
    Unsuitable(String),
    /// Somebody else wrote first: a name is taken, a key was rotated already. Answer 409.
    #[error("{0}")]
    Conflict(String),
    /// The caller's version is not the present one. Answer 412.
    #[error("the resource has changed since it was read")]
    VersionMismatch,
    /// There is no such thing, or it belongs to another tenant. Answer 404.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// There are as many as the plan allows. Answer 403.
    #[error("the plan allows {max} {what} and no more")]
    LimitReached {
        /// What there are too many of, in the plural.
        what: &'static str,
        /// How many are allowed.
        max: u32,
    },
    /// What is stored cannot be read. Never expected; answer 500 and look at the log.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}
