//! The programs that read what is in `deploy/`: where they are, and what to say when one is missing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Returns a call of a tool, or says that the test is skipped; with `SENTRY_NOTICE_REQUIRE_REAL` it fails instead.
pub(crate) fn tool(name: &str) -> Option<Command> {
    let installed = std::env::var_os("SENTRY_NOTICE_DEPLOY_TOOLS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = installed
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|program| program.is_file());
    if found.is_none() {
        skip(&format!("`{name}` is missing"));
    }
    found.map(Command::new)
}

/// Says that a part did not run, past the capture of the test harness; with `SENTRY_NOTICE_REQUIRE_REAL` it fails.
pub(crate) fn skip(what: &str) {
    let hint = "tests/setup.sh installs it, target/test-env/env.sh says where it is";
    assert!(
        std::env::var_os("SENTRY_NOTICE_REQUIRE_REAL").is_none(),
        "{what}\nhint: {hint}"
    );
    writeln!(std::io::stderr().lock(), "skipped: {what}\nhint: {hint}").unwrap();
}

/// Says that a part did not run because this machine does not permit it: nothing that could be installed would help.
pub(crate) fn leave_out(what: &str) {
    writeln!(std::io::stderr().lock(), "left out: {what}").unwrap();
}

/// Runs a call, and fails with all it said when it does not end well.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = all(&output);
    assert!(output.status.success(), "{command:?} says:\n{said}");
    said
}

/// Returns everything that was printed.
pub(crate) fn all(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Returns a path below `deploy/`.
pub(crate) fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

/// Returns the root of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}
