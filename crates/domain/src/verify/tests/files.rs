//! Whole files: NDJSON and JSON, whole and cut off.

use super::*;

fn verify_file(file: &[u8]) -> Result<Report, Fault> {
    match verify_export(|| Ok(file), Some(&signer().verifier())) {
        Ok(report) => Ok(report),
        Err(FileError::Fault(fault)) => Err(fault),
        Err(FileError::Read(error)) => panic!("memory can be read: {error}"),
    }
}

proptest! {
    #[test]
    fn both_formats_verify(sketches in sketches()) {
        let log = log_of(&sketches);
        for format in [ExportFormat::Json, ExportFormat::Ndjson] {
            let report = verify_file(&export(format, &log)).unwrap();
            prop_assert_eq!(report.count, log.len() as u64);
        }
    }

    #[test]
    fn a_file_that_was_cut_off_does_not_verify(sketches in sketches(), at: Index) {
        let log = log_of(&sketches);
        for format in [ExportFormat::Json, ExportFormat::Ndjson] {
            let file = export(format, &log);
            // Without its last line feed a file is still whole.
            let cut = &file[..at.index(file.len() - 1)];
            prop_assert!(verify_file(cut).is_err());
        }
    }

    #[test]
    fn any_changed_byte_of_a_file_is_found(sketches in sketches(), at: Index, byte: u8) {
        let log = log_of(&sketches);
        for format in [ExportFormat::Json, ExportFormat::Ndjson] {
            let mut file = export(format, &log);
            let place = at.index(file.len());
            // White space between entries means nothing.
            prop_assume!(file[place] != byte && !file[place].is_ascii_whitespace());
            file[place] = byte;
            prop_assert!(verify_file(&file).is_err(), "{}", String::from_utf8_lossy(&file));
        }
    }
}

#[test]
fn an_export_of_nothing_verifies() {
    for format in [ExportFormat::Json, ExportFormat::Ndjson] {
        assert_eq!(verify_file(&export(format, &[])).unwrap().count, 0);
    }
}

#[test]
fn a_json_export_is_one_json_value() {
    let file = export(ExportFormat::Json, &plain_log(2));
    let value: serde_json::Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(value["data"].as_array().unwrap().len(), 2);
    assert_eq!(value["meta"]["manifest"]["facts"]["count"], 2);
}

#[test]
fn a_file_without_its_manifest_names_the_last_event() {
    let log = plain_log(3);
    for format in [ExportFormat::Json, ExportFormat::Ndjson] {
        let file = export(format, &log);
        let text = String::from_utf8(file).unwrap();
        let third = text.find("\"seq\":3").unwrap();
        let fault = verify_file(&text.as_bytes()[..third]).unwrap_err();
        assert!(matches!(fault, Fault::NoManifest { .. }), "{fault}");
        assert_eq!(fault.first_bad(), named(&log[2]));
    }
}

#[test]
fn nothing_may_follow_the_manifest() {
    let log = plain_log(2);
    let mut file = export(ExportFormat::Ndjson, &log);
    file.extend_from_slice(&lines_of(&log)[1]);
    let entry = 4;
    assert_eq!(verify_file(&file), Err(Fault::AfterManifest { entry }));
}

#[test]
fn what_is_no_export_is_a_fault() {
    for file in [
        "",
        "{}",
        "[]",
        "hello",
        "{\"data\":[]}",
        "{\"data\":[1],\"meta\":{}}",
        "\u{0}",
    ] {
        assert!(verify_file(file.as_bytes()).is_err(), "{file}");
    }
}
