//! `spool`: looks into the directory of a spool, also of a proxy that is stopped.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use app::spool::{Inspection, OpenError, Which, drop_requests, export, inspect};

use crate::USAGE;
use crate::args::{SpoolArguments, SpoolCommand};
use crate::report::{fail, load, print, say};

pub(crate) fn spool(arguments: &SpoolArguments) -> ExitCode {
    let dir = match directory(arguments) {
        Ok(dir) => dir,
        Err(code) => return code,
    };
    let done = match &arguments.command {
        SpoolCommand::Stats { json } => inspect(&dir).map(|found| {
            if *json {
                print(as_json(&dir, &found));
            } else {
                describe(&dir, &found);
            }
        }),
        SpoolCommand::Export { to } => export(&dir, to).map(|done| {
            print(format!(
                "{} written to `{}`",
                count(done.requests, "request"),
                to.display()
            ));
            if done.damaged > 0 {
                say(format!(
                    "{} left out: damaged",
                    count(done.damaged, "request")
                ));
            }
        }),
        SpoolCommand::Drop { refused, yes } => return drop_from(&dir, *refused, *yes),
    };
    conclude(done)
}

/// Returns the directory that the flag or the configuration names.
fn directory(arguments: &SpoolArguments) -> Result<PathBuf, ExitCode> {
    if let Some(dir) = &arguments.dir {
        return Ok(dir.clone());
    }
    let loaded = load(&arguments.config.sources())?;
    loaded.config.spool.map(|spool| spool.dir).ok_or_else(|| {
        say("the configuration switches the spool off");
        say("    hint: name a directory with --dir");
        ExitCode::from(USAGE)
    })
}

fn drop_from(dir: &Path, only_refused: bool, is_sure: bool) -> ExitCode {
    let which = if only_refused {
        Which::Refused
    } else {
        Which::All
    };
    if !is_sure {
        return match inspect(dir) {
            Ok(found) => {
                let refused = found.refused.values().sum::<u64>();
                let waiting = if only_refused { 0 } else { found.requests };
                say(format!(
                    "this would drop {} of `{}` for good",
                    count(waiting + refused, "request"),
                    dir.display()
                ));
                say("    hint: look at them with `spool export DIR` first, then say --yes");
                ExitCode::FAILURE
            }
            Err(error) => refuse(&error),
        };
    }
    conclude(
        drop_requests(dir, which)
            .map(|dropped| print(format!("{} dropped", count(dropped, "request")))),
    )
}

fn conclude(done: Result<(), OpenError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &OpenError) -> ExitCode {
    let code = fail(error);
    say(format!("    hint: {}", error.hint()));
    code
}

fn describe(dir: &Path, found: &Inspection) {
    print(format!("spool       {}", dir.display()));
    print(format!("size        {} bytes", found.bytes));
    print(format!("waiting     {}", count(found.requests, "request")));
    for (project, requests) in &found.projects {
        let project = project.map_or_else(
            || "no project".to_owned(),
            |project| format!("project {project}"),
        );
        print(format!("            {requests} of {project}"));
    }
    if let Some(age) = age(found) {
        print(format!("oldest      came {age} s ago"));
    }
    let refused = found.refused.values().sum::<u64>();
    print(format!("refused     {}", count(refused, "request")));
    for (status, requests) in &found.refused {
        print(format!("            {requests} with status {status}"));
    }
    let files = count(found.damaged_files, "file");
    print(format!(
        "damaged     {}, {files} set aside",
        count(found.damaged, "place")
    ));
}

fn as_json(dir: &Path, found: &Inspection) -> serde_json::Value {
    let projects: Vec<_> = found
        .projects
        .iter()
        .map(|(project, requests)| serde_json::json!({"project": project, "requests": requests}))
        .collect();
    let refused: Vec<_> = found
        .refused
        .iter()
        .map(|(status, requests)| serde_json::json!({"status": status, "requests": requests}))
        .collect();
    serde_json::json!({
        "dir": dir,
        "bytes": found.bytes,
        "requests": found.requests,
        "projects": projects,
        "oldest_seconds": age(found),
        "refused": refused,
        "damaged": found.damaged,
        "damaged_files": found.damaged_files,
    })
}

/// Returns the age of the oldest request in seconds.
fn age(found: &Inspection) -> Option<u64> {
    let age = SystemTime::now().duration_since(found.oldest?);
    Some(age.unwrap_or_default().as_secs())
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
