//! What a device hears of a publish that is not taken.
//!
//! Version 5 is told why. Version 3.1.1 has no word for it: to acknowledge what is not kept would be a lie, so a publish that
//! waits for an answer ends the connection. One of QoS 0 waits for none: it is dropped, unless its topic is not the device's.

use mqtt_protocol_core::mqtt::result_code::{
    DisconnectReasonCode, PubackReasonCode, PubrecReasonCode,
};

use super::{answer::Answers, ending::Ending, packet::Sureness, turns::Outcome, version::Version};

/// What is said about a topic that a device does not have.
const FOREIGN: &str = "a device publishes to `events/TYPE` and `results`, and to nothing else";

/// What to say, or how the connection ends.
pub(super) fn answer(
    answers: Answers,
    sureness: Sureness,
    outcome: &Outcome,
) -> Result<Option<Vec<u8>>, Ending> {
    let (puback, text) = match outcome {
        Outcome::Done => return Ok(None),
        Outcome::Foreign => (PubackReasonCode::NotAuthorized, FOREIGN.to_owned()),
        Outcome::Refused { code, message } => (reason(code), format!("{code}: {message}")),
    };
    match (answers.version, sureness) {
        (Version::V5, Sureness::Puback(id)) => Ok(Some(answers.puback_refused(id, puback, &text))),
        (Version::V5, Sureness::Pubrec(id)) => {
            Ok(Some(answers.pubrec_refused(id, pubrec(puback), &text)))
        }
        (Version::V3 | Version::V5, Sureness::Unanswered) if *outcome != Outcome::Foreign => {
            tracing::debug!("a publish of QoS 0 is dropped: {text}");
            Ok(None)
        }
        (Version::V3 | Version::V5, Sureness::Unanswered)
        | (Version::V3, Sureness::Puback(_) | Sureness::Pubrec(_)) => {
            Err(Ending::new(disconnect(puback), text))
        }
    }
}

/// The reason of MQTT for a code of the API.
fn reason(code: &str) -> PubackReasonCode {
    match code {
        "rate_limited" => PubackReasonCode::QuotaExceeded,
        "invalid_field" | "malformed_json" | "payload_too_large" | "template_violation" => {
            PubackReasonCode::PayloadFormatInvalid
        }
        _ => PubackReasonCode::ImplementationSpecificError,
    }
}

fn pubrec(code: PubackReasonCode) -> PubrecReasonCode {
    // The two have the same codes.
    PubrecReasonCode::try_from(code as u8).unwrap_or(PubrecReasonCode::UnspecifiedError)
}

fn disconnect(code: PubackReasonCode) -> DisconnectReasonCode {
    DisconnectReasonCode::try_from(code as u8)
        .unwrap_or(DisconnectReasonCode::ImplementationSpecificError)
}
