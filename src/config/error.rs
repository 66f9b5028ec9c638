//! What is wrong with the configuration, where, and what was expected. Never shows the value of a secret.

use std::{fmt, io, path::PathBuf};

use super::layers::Source;

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file is not TOML.
    #[error("{}: line {line}: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where in it, counted from 1.
        line: usize,
        /// What was expected.
        message: String,
    },
    /// There is no such setting.
    #[error("{source_of}: `{key}` is not a setting: {known}")]
    UnknownKey {
        /// Where it was given.
        source_of: Source,
        /// Its dotted name.
        key: String,
        /// What there is instead.
        known: String,
    },
    /// The value does not fit.
    #[error("{source_of}: `{key}`: {message}")]
    Value {
        /// Where it was given.
        source_of: Source,
        /// Its dotted name.
        key: String,
        /// What was given, unless it is secret, and what was expected.
        message: String,
    },
}

/// Everything that is wrong; never empty.
#[derive(Debug)]
pub(crate) struct ConfigErrors(pub(crate) Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is wrong")?;
        for error in &self.0 {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
