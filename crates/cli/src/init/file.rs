//! The file that `init` writes: the shipped `proxy.toml`, with the answers in their places.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use app::{Config, Sources};

use crate::USAGE;
use crate::args::InitArguments;
use crate::report::{fail, load, say};

use super::answers::Answers;

/// Refuses to go on when the file is there and may not be replaced: before anybody answers questions for nothing.
pub(super) fn refuse_existing(arguments: &InitArguments) -> Result<(), ExitCode> {
    if arguments.output.symlink_metadata().is_err() || arguments.force {
        return Ok(());
    }
    say(format!("`{}` is there already", arguments.output.display()));
    say("    hint: --output names another file, --force replaces this one");
    Err(ExitCode::from(USAGE))
}

/// Returns the text of the file.
pub(super) fn compose(answers: &Answers) -> String {
    let text = replace(SHIPPED, URL, &format!("url = {}", quote(&answers.sentry)));
    if answers.webhook.is_empty() {
        return text;
    }
    let mut robot = format!("[robot.oncall]\nwebhook = {}\n", quote(&answers.webhook));
    for (key, value) in [("secret", &answers.secret), ("keyword", &answers.keyword)] {
        if !value.is_empty() {
            robot.push_str(&format!("{key} = {}\n", quote(value)));
        }
    }
    robot.push_str(&format!("language = {}\n\n", quote(&answers.language)));
    let text = replace(&text, AFTER_ROBOTS, &format!("{robot}{AFTER_ROBOTS}"));
    replace(
        &text,
        SPEAKER,
        &SPEAKER.replacen("\"\"      ", "\"oncall\"", 1),
    )
}

/// Reads the text as `run` would.
pub(super) fn understand(text: &str, arguments: &InitArguments) -> Result<Config, ExitCode> {
    let sources = Sources {
        text: Some((arguments.output.display().to_string(), text.to_owned())),
        environment: Sources::of_process(None).environment,
        ..Sources::default()
    };
    load(&sources).map(|loaded| loaded.config)
}

/// Writes the file as a whole or not at all; nobody but its owner may read it.
pub(super) fn write(text: &str, arguments: &InitArguments) -> Result<(), ExitCode> {
    let output = &arguments.output;
    let directory = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let written = tempfile::NamedTempFile::new_in(directory).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    });
    let kept = written.and_then(|file| {
        let kept = if arguments.force {
            file.persist(output)
        } else {
            file.persist_noclobber(output)
        };
        kept.map_err(|error| error.error)
    });
    kept.map(drop).map_err(|error| {
        say(format!("cannot write `{}`", output.display()));
        say("    hint: its directory must be there, and yours to write; --output names another file");
        let _ = fail(&error);
        ExitCode::from(USAGE)
    })
}

fn replace(text: &str, place: &str, by: &str) -> String {
    debug_assert_eq!(text.matches(place).count(), 1, "{place}");
    text.replacen(place, by, 1)
}

/// Writes a text as TOML's basic string.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

const SHIPPED: &str = include_str!("../../../../proxy.toml");

// The places in it; a test writes a file and reads it back.
const URL: &str = "url = \"https://sentry.example.com\"";
const AFTER_ROBOTS: &str = "[grouping]\n";
const SPEAKER: &str = "robot = \"\"                      # who speaks: the name of a [robot.NAME]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_whatever_is_in_it() {
        let answers = Answers {
            sentry: "https://sentry.example.com/prefix".to_owned(),
            dsn: None,
            webhook: "https://oapi.dingtalk.com/robot/send?access_token=0a1b".to_owned(),
            secret: "SEC\"\\\u{7f}#é".to_owned(),
            keyword: "报警".to_owned(),
            language: "en".to_owned(),
        };

        let text = compose(&answers);

        let sources = Sources {
            text: Some(("test".to_owned(), text.clone())),
            ..Sources::default()
        };
        let loaded = app::Loaded::read(&sources).unwrap_or_else(|problems| panic!("{problems:?}"));
        let robot = &loaded.config.robots["oncall"];
        assert_eq!(
            loaded.config.proxy.upstream.url.to_string(),
            "https://sentry.example.com/prefix"
        );
        assert_eq!(robot.keyword.as_deref(), Some("报警"));
        assert_eq!(loaded.config.alert.routes.root().robots, ["oncall"]);
        assert!(text.contains(r##"secret = "SEC\"\\\u007F#é""##), "{text}");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }

    #[test]
    fn without_a_robot_nothing_but_the_address_changes() {
        let answers = Answers {
            sentry: "https://sentry.example.com".to_owned(),
            dsn: None,
            webhook: String::new(),
            secret: String::new(),
            keyword: String::new(),
            language: "en".to_owned(),
        };

        assert_eq!(compose(&answers), SHIPPED);
    }
}
