//! Shows what is in force and where it comes from. Hides secrets.

use serde::Serialize;
use toml::Value;

use super::{
    layers::Layers,
    urls::{WITH_SECRETS, without_secrets},
};

/// Settings whose values are never shown.
pub(crate) const HIDDEN: [&str; 2] = ["security.internal_token", "security.master_key"];

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Shown {
    /// Its dotted name.
    pub(crate) key: String,
    /// Its value; of a secret only whether there is one.
    pub(crate) value: Value,
    /// Where it comes from.
    pub(crate) source: String,
}

/// Every setting, in the order of the names.
pub(crate) fn shown(layers: &Layers) -> Vec<Shown> {
    let leaves = layers.leaves().into_iter();
    leaves
        .map(|(key, value)| Shown {
            value: hide(&key, value),
            source: layers.source_of(&key).to_string(),
            key,
        })
        .collect()
}

fn hide(key: &str, value: Value) -> Value {
    let is_set = value.as_str().is_some_and(|text| !text.is_empty());
    if HIDDEN.contains(&key) && is_set {
        Value::String("(hidden)".to_owned())
    } else if WITH_SECRETS.contains(&key) {
        Value::String(without_secrets(value.as_str().unwrap_or_default()))
    } else {
        value
    }
}
