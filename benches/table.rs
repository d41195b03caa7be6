//! What the benches that print one table share: their flags, and where a table is kept.

use std::process::ExitCode;
use std::time::Duration;

/// `--seconds N` and `--save NAME`.
pub(crate) struct Flags(Vec<String>);

impl Flags {
    /// Measures, prints the table, and keeps it in `benches/runs/NAME.txt` where that is asked for.
    ///
    /// `cargo test --benches` only wants to know that the bench can be built: then nothing is measured.
    pub(crate) fn publish<E: std::fmt::Display>(
        measure: impl FnOnce(&Self) -> Result<String, E>,
    ) -> ExitCode {
        let flags = Self(std::env::args().skip(1).collect());
        let mut given = flags.0.iter();
        if given.any(|flag| flag == "--test" || flag == "--list") {
            return ExitCode::SUCCESS;
        }
        let table = match measure(&flags) {
            Ok(table) => table,
            Err(error) => return fail(&format!("cannot measure: {error}\n")),
        };
        print(&table);
        match flags.value_of("--save").map(|name| save(name, &table)) {
            Some(Err(error)) => fail(&format!("cannot save: {error}\n")),
            Some(Ok(())) | None => ExitCode::SUCCESS,
        }
    }

    /// Returns how long each part of the table may take.
    pub(crate) fn seconds(&self, usual: u64) -> Duration {
        let given = self.value_of("--seconds");
        Duration::from_secs(given.and_then(|text| text.parse().ok()).unwrap_or(usual))
    }

    fn value_of(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }
}

fn save(name: &str, table: &str) -> std::io::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/runs");
    std::fs::write(format!("{folder}/{name}.txt"), table)
}

fn fail(text: &str) -> ExitCode {
    print(text);
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "the table is what a bench is for")]
fn print(text: &str) {
    print!("{text}");
}
