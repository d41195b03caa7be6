//! What the numbers were made on, without names of hosts or places.

use std::fs;
use std::process::Command;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::process;
use crate::report::Report;

/// Adds the machine, the versions and the flags to the report.
pub(crate) fn describe(report: &mut Report, arguments: &Arguments) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    report.line(&format!(
        "machine  {cores} cores, {}, Linux {}",
        processor(),
        kernel.trim()
    ));
    report.line(&format!(
        "ours     {}",
        version(env!("CARGO_BIN_EXE_sentry-notice").as_ref(), "--version")
    ));
    for program in ["nginx", "haproxy"] {
        if let Some(path) = process::find(program) {
            report.line(&format!("{program:<8} {}", version(&path, "-v")));
        }
    }
    let flags: Vec<String> = std::env::args()
        .skip(1)
        .filter(|flag| flag != "--bench")
        .collect();
    report.line(&format!(
        "flags    {}",
        if flags.is_empty() {
            "none".to_owned()
        } else {
            flags.join(" ")
        }
    ));
    report.line(&format!(
        "method   {} threads per target; {} turns of {} s, alternating; medians; clients and origin share the cores",
        arguments.threads(),
        arguments.rounds,
        arguments.seconds,
    ));
}

/// Checks that this process may have so many descriptors.
pub(crate) fn must_allow(descriptors: usize) -> Outcome<()> {
    let text = fs::read_to_string("/proc/self/limits")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap_or_default();
    match line.split_whitespace().next().and_then(|soft| soft.parse::<usize>().ok()) {
        Some(allowed) if allowed < descriptors => Err(format!(
            "{descriptors} descriptors are needed, {allowed} are allowed; hint: `ulimit -n {descriptors}`, or a smaller number"
        )
        .into()),
        Some(_) | None => Ok(()),
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    line.map_or("unknown processor", |rest| {
        rest.trim_start_matches([' ', '\t', ':'])
    })
    .to_owned()
}

/// Returns the first line in which a program says its version.
fn version(program: &std::path::Path, flag: &str) -> String {
    let Ok(said) = Command::new(program).arg(flag).output() else {
        return "unknown".to_owned();
    };
    let text = [said.stdout, said.stderr].concat();
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}
