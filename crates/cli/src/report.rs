//! What the commands say to people, on stderr: problems, warnings, failures with their causes.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use app::{Loaded, Problem, Sources};

use crate::USAGE;

/// Loads the configuration and prints its warnings; prints every problem when it cannot be used.
pub(crate) fn load(sources: &Sources) -> Result<Loaded, ExitCode> {
    read(sources).map_err(|problems| {
        say(problems);
        ExitCode::from(USAGE)
    })
}

/// Loads the configuration and prints its warnings; returns every problem in words when it cannot be used.
pub(crate) fn read(sources: &Sources) -> Result<Loaded, String> {
    let loaded = Loaded::read(sources).map_err(|problems| {
        let count = problems.len();
        let lines = problems.iter().map(|problem| format!("{problem}\n"));
        let problems = if count == 1 { "problem" } else { "problems" };
        lines.collect::<String>() + &format!("{count} {problems} in the configuration")
    })?;
    warn(&loaded.warnings);
    Ok(loaded)
}

/// Prints one line, or several, on stderr.
pub(crate) fn say(text: impl std::fmt::Display) {
    // Nobody may be listening; that must not stop the work.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints one line, or several, on stdout.
pub(crate) fn print(text: impl std::fmt::Display) {
    // A reader that has left, such as `head`, has seen what it wanted.
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints what can be done about what was said before.
pub(crate) fn hint(text: &str) {
    say(format!("    hint: {text}"));
}

/// Prints what is wrong with the call and what would be right, and returns exit code 2.
pub(crate) fn refuse(what: &str, right: &str) -> ExitCode {
    say(what);
    hint(right);
    ExitCode::from(USAGE)
}

/// Prints what failed and each cause on a line of its own, and returns exit code 1.
pub(crate) fn fail(error: &dyn Error) -> ExitCode {
    say(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        say(format!("  because: {error}"));
        cause = error.source();
    }
    ExitCode::FAILURE
}

fn warn(warnings: &[Problem]) {
    for warning in warnings {
        say(format!("warning: {warning}"));
    }
}
