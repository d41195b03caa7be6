//! `render`: what an event would become, down to the exact DingTalk message. Sends nothing.

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use app::preview::{Preview, Step, preview};
use app::{Config, ProjectId};
use serde_json::{Value, json};

use crate::USAGE;
use crate::args::RenderArguments;
use crate::report::{fail, load, print, say};

pub(crate) fn render(arguments: &RenderArguments) -> ExitCode {
    let mut sources = arguments.config.sources();
    // Without any configuration it shows the card of a robot with default settings.
    sources
        .fallbacks
        .extend(STAND_INS.map(|(key, value)| (key, value.to_owned())));
    let config = match load(&sources) {
        Ok(loaded) => loaded.config,
        Err(code) => return code,
    };
    let Ok(project) = arguments.project.parse::<ProjectId>() else {
        say(format!(
            "--project `{}` is no project id",
            arguments.project
        ));
        say("    hint: the number at the end of the DSN");
        return ExitCode::from(USAGE);
    };
    let mut code = ExitCode::SUCCESS;
    for file in &arguments.files {
        if let Err(failed) = render_file(&config, file, project, arguments.json) {
            code = failed;
        }
    }
    code
}

fn render_file(
    config: &Config,
    file: &Path,
    project: ProjectId,
    as_json: bool,
) -> Result<(), ExitCode> {
    let name = file.display().to_string();
    let bytes = read(file).map_err(|error| {
        say(format!("cannot read `{name}`"));
        fail(&error)
    })?;
    let previews = preview(config, bytes.into(), project, SystemTime::now()).map_err(|error| {
        say(format!("{name}:"));
        fail(&error)
    })?;
    if previews.is_empty() {
        say(format!("{name}: holds no event"));
    }
    for preview in &previews {
        if as_json {
            print(json_line(&name, preview));
        } else {
            print_preview(&name, preview);
        }
    }
    Ok(())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn json_line(file: &str, preview: &Preview) -> Value {
    let subject = &preview.subject;
    let messages = preview.messages.iter();
    json!({
        "file": file,
        "project": subject.project.to_string(),
        "event_id": subject.event_id.map(|id| id.to_string()),
        "level": subject.level.as_str(),
        "type": subject.kind.as_str(),
        "title": subject.title,
        "culprit": subject.culprit,
        "location": location(preview),
        "hashes": preview.group.hashes,
        "alertable": preview.is_alertable,
        "route": preview.routes.first().cloned().unwrap_or_default(),
        "routes": preview.routes,
        "muted_by": preview.muted_by,
        "messages": messages.map(|(robot, body)| json!({"robot": robot, "body": body})).collect::<Vec<_>>(),
    })
}

fn print_preview(file: &str, preview: &Preview) {
    let subject = &preview.subject;
    let id = subject
        .event_id
        .map_or_else(|| "without id".to_owned(), |id| id.to_string());
    print(format!("{file}: event {id} of project {}", subject.project));
    print(format!("  title     {}", subject.title));
    print(format!(
        "  level     {}, type {}",
        subject.level,
        subject.kind.as_str()
    ));
    print(format!("  culprit   {}", subject.culprit));
    print(format!(
        "  location  {}",
        location(preview).unwrap_or_default()
    ));
    print(format!("  hashes    {}", preview.group.hashes.join(" ")));
    let explanation = preview.explanation.to_string();
    explanation
        .lines()
        .for_each(|line| print(format!("    {line}")));
    if !preview.is_alertable {
        print("  alert     none: its kind or level does not alert");
        return;
    }
    for route in &preview.routes {
        print(format!("  route     {}", route.join(" → ")));
    }
    preview.steps.iter().for_each(print_step);
    match &preview.muted_by {
        Some(by) => print(format!("  message   none: muted by {by}")),
        None if preview.messages.is_empty() => print("  message   none: no robot is configured"),
        None => {}
    }
    for (robot, body) in &preview.messages {
        print(format!("  message   to {robot}:"));
        print(format!("{body:#}"));
    }
}

/// Prints a route that was tried: whether it matches, and by which of its conditions.
fn print_step(step: &Step) {
    let name = step.path.last().map(String::as_str).unwrap_or_default();
    let verdict = match (step.is_match, step.is_taken) {
        (true, true) => "takes it",
        (true, false) => "matches",
        (false, _) => "does not match",
    };
    let indent = "  ".repeat(step.path.len());
    print(format!("    {indent}{name}: {verdict}"));
    for (condition, found, holds) in &step.conditions {
        let found = match found.as_slice() {
            [] => "nothing".to_owned(),
            found => found.join(", "),
        };
        let mark = if *holds { "holds" } else { "fails" };
        print(format!("    {indent}  {condition}: {mark}, found {found}"));
    }
}

fn location(preview: &Preview) -> Option<&str> {
    let location = preview.subject.location.as_ref()?;
    Some(location.filename.as_str())
}

/// What stands in for the keys that a look at events needs and that nobody set.
const STAND_INS: [(&str, &str); 3] = [
    ("upstream.url", "https://sentry.example.com"),
    (
        "robot.preview.webhook",
        "https://oapi.dingtalk.com/robot/send?access_token=preview",
    ),
    ("alert.robot", "preview"),
];
