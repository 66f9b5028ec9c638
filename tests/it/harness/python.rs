//! Programs in Python: clients that are not ours.

use std::path::Path;

use tokio::process::Command;

/// Runs a script of `tests/it` with arguments, in the environment that `test.sh` has made, and answers what it printed.
pub(crate) async fn python(script: &str, arguments: &[&str]) -> String {
    let python = std::env::var_os("TRUNKLINE_TEST_PYTHON")
        .expect("TRUNKLINE_TEST_PYTHON names a Python with the libraries of test.sh");
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(script);
    let output = Command::new(python)
        .arg(&script)
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .expect("Python can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", script.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
