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
        match app::probe::send_test(robot).await {
            Ok(()) => print(format!("{name}: delivered")),
            Err(failure) => {
                print(format!(
                    "{name}: not delivered: {}: {}",
                    failure.reason, failure.detail
                ));
                if !failure.hint.is_empty() {
                    print(format!("    hint: {}", failure.hint));
                }
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
