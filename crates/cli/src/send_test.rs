//! `send-test`: a test card to each robot, and DingTalk's verdict in words.

use std::process::ExitCode;

use app::Config;

use crate::USAGE;
use crate::args::SendTestArguments;
use crate::report::{fail, load, print, say};

pub(crate) fn send_test(arguments: &SendTestArguments) -> ExitCode {
    let config = match load(&arguments.config.sources()) {
        Ok(loaded) => loaded.config,
        Err(code) => return code,
    };
    if let Some(code) = nothing_to_test(&config, arguments.robot.as_deref()) {
        return code;
    }
    match crate::run::runtime() {
        Ok(runtime) => runtime.block_on(test_all(&config, arguments.robot.as_deref())),
        Err(error) => fail(&error),
    }
}

fn nothing_to_test(config: &Config, wanted: Option<&str>) -> Option<ExitCode> {
    let names: Vec<&str> = config.robots.keys().map(String::as_str).collect();
    match wanted {
        Some(name) if !names.contains(&name) => {
            say(format!("there is no robot `{name}`"));
            say(format!("    hint: known robots: {}", names.join(", ")));
        }
        None if names.is_empty() => {
            say("no robot is configured");
            say("    hint: add a table [robot.NAME] with `webhook`, and `secret` if it signs");
        }
        _ => return None,
    }
    Some(ExitCode::from(USAGE))
}

async fn test_all(config: &Config, wanted: Option<&str>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for (name, robot) in &config.robots {
        if wanted.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let verdict = Verdict::of(name, app::probe::send_test(robot).await);
        print(&verdict);
        if !verdict.is_delivered {
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// What became of a test card, in words.
pub(crate) struct Verdict {
    pub(crate) is_delivered: bool,
    words: String,
}

impl Verdict {
    pub(crate) fn of(robot: &str, sent: Result<(), app::probe::Failure>) -> Self {
        let words = match &sent {
            Ok(()) => format!("{robot}: delivered"),
            Err(failure) => {
                let (reason, detail) = (failure.reason, &failure.detail);
                let mut words = format!("{robot}: not delivered: {reason}: {detail}");
                if !failure.hint.is_empty() {
                    words.push_str("\n    hint: ");
                    words.push_str(failure.hint);
                }
                words
            }
        };
        Self {
            is_delivered: sent.is_ok(),
            words,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.words)
    }
}
