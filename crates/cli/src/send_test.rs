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
        Ok(runtime) => {
            let wanted = arguments.robot.as_deref();
            match runtime.block_on(test_each(&config, wanted, |verdict| print(verdict))) {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(error) => fail(&error),
    }
}

/// Sends a test card to each robot, or to the one that is wanted, and tells each verdict; returns whether all took it.
pub(crate) async fn test_each(
    config: &Config,
    wanted: Option<&str>,
    tell: impl Fn(&Verdict),
) -> bool {
    let mut are_delivered = true;
    for (name, robot) in &config.robots {
        if wanted.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let verdict = Verdict::of(name, app::probe::send_test(robot).await);
        tell(&verdict);
        are_delivered &= verdict.is_delivered;
    }
    are_delivered
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

/// What became of a test card, in words.
pub(crate) struct Verdict {
    is_delivered: bool,
    words: String,
}

impl Verdict {
    fn of(robot: &str, sent: Result<(), app::probe::Failure>) -> Self {
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
