use super::*;
use crate::merkle::{Frontier, consistency_needs, consistency_path};

fn signer() -> NoteSigner {
    NoteSigner::new("trunkline/AU", &[7; 32])
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: "trunkline/AU/ten_1/ws_1".to_owned(),
        size: 12,
        root: Hash([3; 32]),
    }
}

#[test]
fn the_key_of_the_go_checksum_database_reads_back() {
    let key = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let verifier: NoteVerifier = key.parse().unwrap();
    assert_eq!(verifier.name(), "sum.golang.org");
    assert_eq!(verifier.to_string(), key);
}

/// The key and note that the documentation of `golang.org/x/mod/sumdb/note` shows.
#[test]
fn a_note_signed_by_another_implementation_opens() {
    let verifier: NoteVerifier =
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
            .parse()
            .unwrap();
    let text = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    let note = format!(
        "{text}\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    );
    assert_eq!(verifier.open(&note), Ok(text));
}

#[test]
fn a_signed_checkpoint_reads_back() {
    let note = checkpoint().sign(&signer());
    let read = Checkpoint::parse_and_verify(&note, &signer().verifier());
    assert_eq!(read, Ok(checkpoint()));
    let root = STANDARD.encode([3; 32]);
    assert!(note.starts_with(&format!(
        "trunkline/AU/ten_1/ws_1\n12\n{root}\n\n\u{2014} trunkline/AU "
    )));
}

#[test]
fn a_verifier_key_reads_back() {
    let verifier = signer().verifier();
    assert_eq!(verifier.to_string().parse(), Ok(verifier.clone()));
    let forged = verifier.to_string().replacen("AU", "EU", 1);
    assert_eq!(forged.parse::<NoteVerifier>(), Err(NoteError::NoKey));
}

#[test]
fn a_changed_checkpoint_is_refused() {
    let note = checkpoint().sign(&signer());
    let changed = note.replacen("\n12\n", "\n13\n", 1);
    let name = "trunkline/AU".to_owned();
    assert_eq!(
        Checkpoint::parse_and_verify(&changed, &signer().verifier()),
        Err(NoteError::WrongSignature { name })
    );
}

#[test]
fn a_signature_by_another_key_is_none() {
    let note = checkpoint().sign(&NoteSigner::new("trunkline/AU", &[8; 32]));
    let name = "trunkline/AU".to_owned();
    assert_eq!(
        Checkpoint::parse_and_verify(&note, &signer().verifier()),
        Err(NoteError::Unsigned { name })
    );
}

#[test]
fn a_cosigned_checkpoint_opens_for_both() {
    let witness = NoteSigner::new("witness", &[9; 32]);
    let note = checkpoint().sign(&signer());
    let (text, _) = note.split_at(note.find("\n\n").unwrap() + 1);
    let cosignature = witness.sign(text)[text.len() + 1..].to_owned();
    let both = format!("{note}{cosignature}");
    assert_eq!(signer().verifier().open(&both), Ok(text));
    assert_eq!(witness.verifier().open(&both), Ok(text));
}

#[test]
fn a_signed_text_that_is_no_checkpoint_is_refused() {
    for text in [
        "a\n",
        "a\n01\n\n",
        "a\n+1\nAAAA\n",
        "a\n1\nAAAA\n",
        "\n1\nAAAA\n",
    ] {
        let note = signer().sign(text);
        let read = Checkpoint::parse_and_verify(&note, &signer().verifier());
        assert_eq!(read, Err(NoteError::NoCheckpoint), "{text:?}");
    }
    for note in [
        "",
        "a",
        "a\n\n",
        "a\n\nb\n",
        "a\n\n\u{2014} x AAAA\n",
        "a\r\n\n\u{2014} x AAAAAAAA\n",
    ] {
        let read = Checkpoint::parse_and_verify(note, &signer().verifier());
        assert_eq!(read, Err(NoteError::Malformed), "{note:?}");
    }
}

#[test]
fn only_a_continuation_is_signed() {
    let leaves: Vec<Hash> = (0..20).map(|n| Hash([n; 32])).collect();
    let tree = |leaves: &[Hash]| {
        let mut frontier = Frontier::new();
        for leaf in leaves {
            frontier.push(*leaf, &mut Vec::new());
        }
        frontier.root()
    };
    let at = |size: u64, root: Hash| Checkpoint {
        size,
        root,
        ..checkpoint()
    };
    let (old, new) = (tree(&leaves[..12]), tree(&leaves));
    let needs = consistency_needs(12, 20);
    assert_eq!(needs.len(), 1);
    let proof = consistency_path(12, 20, std::slice::from_ref(&leaves)).unwrap();
    let decide = SignDecision::decide;
    assert_eq!(decide(None, &at(20, new), &[]), SignDecision::Sign);
    assert_eq!(
        decide(Some((12, old)), &at(12, old), &[]),
        SignDecision::Sign
    );
    assert_eq!(
        decide(Some((12, old)), &at(20, new), &proof),
        SignDecision::Sign
    );
    assert_eq!(
        decide(Some((20, new)), &at(12, old), &[]),
        SignDecision::Refuse(Disagreement::Shrunk { size: 12, last: 20 })
    );
    assert_eq!(
        decide(Some((12, old)), &at(12, new), &[]),
        SignDecision::Refuse(Disagreement::Changed { size: 12 })
    );
    assert_eq!(
        decide(Some((12, new)), &at(20, new), &proof),
        SignDecision::Refuse(Disagreement::Inconsistent { size: 20, last: 12 })
    );
}
