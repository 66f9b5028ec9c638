//! Proofs that one event is in a signed log.

use super::*;
use crate::merkle::{Frontier, inclusion_path};

/// The proof of event `which` of a log of `size` events.
fn bundle(size: usize, which: usize) -> ProofBundle {
    let log = plain_log(size);
    let mut frontier = Frontier::new();
    for event in &log {
        frontier.push(event.hash, &mut Vec::new());
    }
    let leaves: Vec<Hash> = log.iter().map(|event| event.hash).collect();
    let path = inclusion_path(which as u64, size as u64, &[leaves]).unwrap();
    let event = &log[which];
    let checkpoint = Checkpoint {
        origin: Checkpoint::origin(Region::Eu, tenant(), event.workspace),
        size: size as u64,
        root: frontier.root(),
    };
    let note = checkpoint.sign(&signer());
    let key = signer().verifier();
    ProofBundle::new(event, Region::Eu, size as u64, path, (note, &key))
}

fn check(bundle: &ProofBundle) -> Result<ProofReport, Fault> {
    let json = serde_json::to_vec(bundle).unwrap();
    verify_proof(&json, Some(&signer().verifier()))
}

#[test]
fn every_event_of_a_log_can_be_proved() {
    for which in 0..21 {
        let report = check(&bundle(21, which)).unwrap();
        assert_eq!((report.tenant, report.tree_size), (tenant(), 21));
    }
}

#[test]
fn a_proof_verifies_as_the_api_answers_it() {
    let answer = format!(
        "{{\"data\":{}}}",
        serde_json::to_string(&bundle(5, 3)).unwrap()
    );
    assert_eq!(Shape::of(answer.as_bytes()), Shape::Proof);
    let report = verify_proof(answer.as_bytes(), None).unwrap();
    assert_eq!(report.key, Trust::Stated(signer().verifier().to_string()));
}

#[test]
fn a_path_of_another_event_proves_nothing() {
    let mut forged = bundle(21, 3);
    forged.path = bundle(21, 4).path;
    let fault = check(&forged).unwrap_err();
    assert!(matches!(fault, Fault::NotIncluded { .. }), "{fault}");
}

#[test]
fn a_changed_event_is_not_proved() {
    let mut forged = bundle(21, 3);
    let text = forged.event.get().replace("123456789", "123456780");
    forged.event = serde_json::value::RawValue::from_string(text).unwrap();
    let fault = check(&forged).unwrap_err();
    assert!(matches!(fault, Fault::HashMismatch { .. }), "{fault}");
}

#[test]
fn numbers_that_do_not_fit_the_checkpoint_are_no_proof() {
    let (mut size, mut leaf) = (bundle(21, 3), bundle(21, 3));
    size.tree_size = 22;
    leaf.leaf_index = 4;
    for forged in [size, leaf] {
        let fault = check(&forged).unwrap_err();
        assert!(matches!(fault, Fault::BadProof { .. }), "{fault}");
    }
}

#[test]
fn a_checkpoint_of_another_log_is_no_proof() {
    let mut forged = bundle(21, 3);
    let other = Checkpoint {
        origin: format!("trunkline/EU/{}/ws_1", tenant()),
        size: 21,
        root: Hash([0; 32]),
    };
    forged.checkpoint = other.sign(&signer());
    let fault = check(&forged).unwrap_err();
    assert!(matches!(fault, Fault::BadProof { .. }), "{fault}");
}
