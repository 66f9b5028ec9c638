//! What the verifier says of events that were changed, taken out, moved or added.

use super::*;

proptest! {
    #[test]
    fn an_untouched_export_verifies(sketches in sketches()) {
        let log = log_of(&sketches);
        let manifest = manifest_of(&log, Coverage::Complete);
        let report = verify(manifest.clone(), &lines_of(&log)).unwrap();
        prop_assert_eq!(report.count, log.len() as u64);
        prop_assert_eq!(report.workspaces, manifest.facts.workspaces);
        prop_assert_eq!(report.key, Trust::Expected(signer().verifier().to_string()));
    }

    #[test]
    fn any_changed_byte_is_found_where_it_is(
        sketches in sketches(),
        which: Index,
        at: Index,
        byte in 0x20_u8..0x7f,
    ) {
        let log = log_of(&sketches);
        let mut lines = lines_of(&log);
        let which = which.index(log.len());
        let place = at.index(lines[which].len());
        prop_assume!(lines[which][place] != byte);
        lines[which][place] = byte;
        let fault = verify(manifest_of(&log, Coverage::Complete), &lines).unwrap_err();
        prop_assert_eq!(entry_of(&fault), Some(which as u64 + 1), "{}", fault);
    }

    #[test]
    fn a_changed_value_is_found_with_its_seq(sketches in sketches(), which: Index, change in 0..5) {
        let mut log = log_of(&sketches);
        let manifest = manifest_of(&log, Coverage::Complete);
        let which = which.index(log.len());
        let event = &mut log[which];
        let expected = named(event);
        match change {
            0 => event.payload = Bytes::from_static(b"{\"changed\":true}"),
            1 => event.fields.category = Some("changed".into()),
            2 => event.seq = event.seq.plus(3),
            3 => event.received_at = Timestamp::from_micros(5),
            _ => event.prev_hash = Hash([9; 32]),
        }
        let fault = verify(manifest, &lines_of(&log)).unwrap_err();
        prop_assert!(matches!(fault, Fault::HashMismatch { .. }), "{}", fault);
        prop_assert_eq!(fault.first_bad(), expected);
    }

    #[test]
    fn a_missing_event_is_named(sketches in sketches(), which: Index) {
        let log = log_of(&sketches);
        let mut lines = lines_of(&log);
        let which = which.index(log.len());
        lines.remove(which);
        let fault = verify(manifest_of(&log, Coverage::Complete), &lines).unwrap_err();
        prop_assert!(matches!(fault, Fault::Missing { .. } | Fault::Truncated { .. }), "{}", fault);
        prop_assert_eq!(fault.first_bad(), named(&log[which]));
    }

    #[test]
    fn events_that_changed_places_are_named(sketches in sketches(), which: Index) {
        let log = log_of(&sketches);
        prop_assume!(log.len() > 1);
        let mut lines = lines_of(&log);
        let which = which.index(log.len() - 1);
        lines.swap(which, which + 1);
        let fault = verify(manifest_of(&log, Coverage::Complete), &lines).unwrap_err();
        prop_assert!(matches!(fault, Fault::Moved { .. }), "{}", fault);
        prop_assert_eq!(fault.first_bad(), named(&log[which]));
    }

    #[test]
    fn an_event_moved_to_the_end_is_named(sketches in sketches(), which: Index) {
        let log = log_of(&sketches);
        prop_assume!(log.len() > 1);
        let mut lines = lines_of(&log);
        let which = which.index(log.len() - 1);
        let line = lines.remove(which);
        lines.push(line);
        let fault = verify(manifest_of(&log, Coverage::Complete), &lines).unwrap_err();
        prop_assert!(matches!(fault, Fault::Moved { .. }), "{}", fault);
        prop_assert_eq!(fault.first_bad(), named(&log[which]));
    }

    #[test]
    fn a_truncated_export_is_named(sketches in sketches(), kept: Index) {
        let log = log_of(&sketches);
        let kept = kept.index(log.len());
        let fault = verify(manifest_of(&log, Coverage::Complete), &lines_of(&log)[..kept]).unwrap_err();
        prop_assert!(matches!(fault, Fault::Truncated { .. }), "{}", fault);
        let (workspace, seq) = fault.first_bad().unwrap();
        let first_gone = log[kept..].iter().find(|event| event.workspace == workspace);
        prop_assert_eq!(first_gone.map(|event| event.seq), Some(seq));
    }

    #[test]
    fn an_event_that_is_there_twice_is_named(sketches in sketches(), which: Index, to: Index) {
        let log = log_of(&sketches);
        let mut lines = lines_of(&log);
        let which = which.index(log.len());
        let to = which + 1 + to.index(log.len() - which);
        lines.insert(to, lines[which].clone());
        let fault = verify(manifest_of(&log, Coverage::Complete), &lines).unwrap_err();
        prop_assert!(matches!(fault, Fault::Duplicated { .. }), "{}", fault);
        prop_assert_eq!(fault.first_bad(), named(&log[which]));
        prop_assert_eq!(entry_of(&fault), Some(to as u64 + 1));
    }

    #[test]
    fn a_filtered_export_verifies_and_misses_what_is_taken_out(
        sketches in sketches(),
        keep in prop::collection::vec(any::<bool>(), 12),
        which: Index,
    ) {
        let log = log_of(&sketches);
        let kept: Vec<Event> = log.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(event, _)| event).collect();
        let manifest = manifest_of(&kept, Coverage::Filtered);
        let mut lines = lines_of(&kept);
        prop_assert_eq!(verify(manifest.clone(), &lines).map(|report| report.complete), Ok(false));
        prop_assume!(!kept.is_empty());
        lines.remove(which.index(kept.len()));
        prop_assert!(verify(manifest, &lines).is_err());
    }

    #[test]
    fn a_filtered_export_cannot_be_reordered(sketches in sketches(), which: Index) {
        let log = log_of(&sketches);
        prop_assume!(log.len() > 1);
        let which = which.index(log.len() - 1);
        let mut lines = lines_of(&log);
        lines.swap(which, which + 1);
        let fault = verify(manifest_of(&log, Coverage::Filtered), &lines).unwrap_err();
        prop_assert!(fault.first_bad().is_some(), "{}", fault);
    }
}

#[test]
fn a_history_that_was_written_anew_is_not_what_was_signed() {
    let log = plain_log(4);
    let mut forged = log.clone();
    forged[2].payload = Bytes::from_static(b"{}");
    let mut prev = forged[1].hash;
    for event in &mut forged[2..] {
        chain::link(tenant(), event, prev);
        prev = event.hash;
    }
    let fault = verify(manifest_of(&log, Coverage::Complete), &lines_of(&forged));
    let (expected, found) = (4, 4);
    assert_eq!(fault, Err(Fault::OtherEvents { expected, found }));
}

#[test]
fn a_link_that_leads_elsewhere_is_found() {
    let mut log = plain_log(4);
    chain::link(tenant(), &mut log[2], Hash([4; 32]));
    let fault = verify(manifest_of(&log, Coverage::Complete), &lines_of(&log)).unwrap_err();
    assert!(matches!(fault, Fault::BrokenLink { .. }), "{fault}");
    assert_eq!(fault.first_bad(), named(&log[2]));
}

#[test]
fn the_first_event_of_a_chain_follows_nothing() {
    let mut log = plain_log(1);
    chain::link(tenant(), &mut log[0], Hash([4; 32]));
    let fault = verify(manifest_of(&log, Coverage::Complete), &lines_of(&log)).unwrap_err();
    assert!(matches!(fault, Fault::BrokenLink { .. }), "{fault}");
}

#[test]
fn an_event_of_another_region_is_found() {
    let log = plain_log(2);
    let mut lines = lines_of(&log);
    lines[1].clear();
    log[1].write_json_with_seed(Region::Us, &mut lines[1]);
    let fault = verify(manifest_of(&log, Coverage::Complete), &lines).unwrap_err();
    assert!(matches!(fault, Fault::WrongRegion { .. }), "{fault}");
    assert_eq!(
        fault.to_string(),
        "seq 2 of ws_00000000000000000000000000000000 (position 6, entry 2): the region is not EU"
    );
}

#[test]
fn an_event_beyond_the_manifest_is_found() {
    let log = plain_log(3);
    let fault = verify(manifest_of(&log[..2], Coverage::Complete), &lines_of(&log)).unwrap_err();
    assert!(matches!(fault, Fault::Unlisted { .. }), "{fault}");
    assert_eq!(fault.first_bad(), named(&log[2]));
}

#[test]
fn unknown_and_repeated_members_are_no_event() {
    let log = plain_log(1);
    let line = String::from_utf8(lines_of(&log).remove(0)).unwrap();
    for addition in [
        "\"extra\":1,",
        "\"seq\":1,",
        "\"archived\":false,",
        "\"payload\":{},",
    ] {
        let changed = line.replacen('{', &format!("{{{addition}"), 1);
        let fault = verify(
            manifest_of(&log, Coverage::Complete),
            &[changed.into_bytes()],
        );
        assert!(matches!(fault, Err(Fault::Unreadable { .. })), "{addition}");
    }
    for (from, to) in [
        ("\"seq\":1,", "\"seq\":0,"),
        ("\"seq\":1,", "\"seq\":18446744073709551615,"),
        ("00000001Z\"", "00000001+00:00\""),
        (".000001Z\"", ".0000011Z\""),
        ("\"evt_", "\"EVT_"),
    ] {
        let changed = line.replacen(from, to, 1);
        if changed == line {
            continue;
        }
        let fault = verify(
            manifest_of(&log, Coverage::Complete),
            &[changed.into_bytes()],
        );
        assert!(matches!(fault, Err(Fault::Unreadable { .. })), "{to}");
    }
}

#[test]
fn a_changed_manifest_is_forged() {
    let log = plain_log(3);
    let changes: [fn(&mut Facts); 6] = [
        |facts| facts.count -= 1,
        |facts| facts.complete = false,
        |facts| facts.truncated_by_limit = true,
        |facts| facts.made_at = Timestamp::default(),
        |facts| facts.region = Region::Us,
        |facts| facts.workspaces[0].last_seq = Seq::new(2),
    ];
    for change in changes {
        let mut manifest = manifest_of(&log, Coverage::Complete);
        change(&mut manifest.facts);
        let fault = verify(manifest, &lines_of(&log));
        assert_eq!(fault, Err(Fault::ForgedManifest));
    }
}

#[test]
fn a_manifest_by_another_key_is_told_from_a_wrong_signature() {
    let log = plain_log(2);
    let mut builder = ManifestBuilder::new(tenant(), Region::Eu, Coverage::Complete);
    log.iter().for_each(|event| builder.add(event));
    let forger = NoteSigner::new("trunkline/EU", &[2; 32]);
    let manifest = builder.finish(&forger, made_at());
    let fault = verify(manifest.clone(), &lines_of(&log)).unwrap_err();
    assert!(matches!(fault, Fault::OtherKey { .. }), "{fault}");
    let mut verifier = Verifier::new(Some(manifest), None).unwrap();
    for line in lines_of(&log) {
        verifier.line(&line).unwrap();
    }
    let stated = Trust::Stated(forger.verifier().to_string());
    assert_eq!(verifier.finish().unwrap().key, stated);
}

#[test]
fn a_key_of_one_region_cannot_sign_for_another() {
    let mut builder = ManifestBuilder::new(tenant(), Region::Us, Coverage::Complete);
    plain_log(1).iter().for_each(|event| builder.add(event));
    let manifest = builder.finish(&signer(), made_at());
    let name = "trunkline/US".to_owned();
    let fault = Verifier::new(Some(manifest), None).map(drop);
    assert_eq!(fault, Err(Fault::WrongSigner { name }));
}
