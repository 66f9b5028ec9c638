//! Tells a refusal of our API in one line.
//!
//! Reads what problems have in common; what a code means is for whoever reads the line.

use serde::Deserialize;

/// The longest part of a refusal that is no problem of ours, in characters.
const FOREIGN_LENGTH_MAX: usize = 200;

/// What is read of a refusal.
#[derive(Deserialize)]
struct Problem {
    detail: Option<String>,
    error: Option<ProblemCode>,
    #[serde(default)]
    errors: Vec<FieldProblem>,
}

#[derive(Deserialize)]
struct ProblemCode {
    code: String,
}

#[derive(Deserialize)]
struct FieldProblem {
    pointer: String,
    detail: String,
}

/// What a refusal says, in one line.
pub(super) fn reason(body: &[u8]) -> String {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        let text = String::from_utf8_lossy(body);
        return text.chars().take(FOREIGN_LENGTH_MAX).collect();
    };
    let code = problem.error.map(|error| error.code);
    let mut text = code
        .into_iter()
        .chain(problem.detail)
        .collect::<Vec<String>>()
        .join(": ");
    for FieldProblem { pointer, detail } in problem.errors {
        // A lone wrong field is told in the detail already.
        if !text.contains(&detail) {
            text += &format!("; {pointer}: {detail}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_one_line() {
        let body = br#"{"type":"/problems/invalid_field","title":"t","status":422,"detail":"two fields are wrong",
            "error":{"code":"invalid_field","message":"m"},"errors":[{"pointer":"/type","detail":"expected a type"}]}"#;
        assert_eq!(
            reason(body),
            "invalid_field: two fields are wrong; /type: expected a type"
        );
        assert_eq!(reason(b"<html>"), "<html>");
    }
}
