//! `init`: a first configuration. Gathers what it needs, writes the file, tries both ends, prints the DSN to use.

mod answers;
mod ends;
mod file;

use std::process::ExitCode;

use app::Dsn;

use crate::args::InitArguments;
use crate::dsn;
use crate::report::{fail, print, say};

use self::answers::Answers;

pub(crate) fn init(arguments: &InitArguments) -> ExitCode {
    match steps(arguments) {
        Ok(code) | Err(code) => code,
    }
}

fn steps(arguments: &InitArguments) -> Result<ExitCode, ExitCode> {
    file::refuse_existing(arguments)?;
    let answers = Answers::gather(arguments)?;
    let given = answers.dsn.as_ref();
    let for_sdk = given.map(|given| dsn::through(given, &arguments.proxy));
    let for_sdk = for_sdk.transpose()?;
    let text = file::compose(&answers);
    let config = file::understand(&text, arguments)?;
    file::write(&text, arguments)?;
    say(format!(
        "wrote `{}`: every key with its default; only you may read it",
        arguments.output.display()
    ));

    let are_well = arguments.no_check || try_ends(&text, &config, given)?;
    say_next(arguments, for_sdk.as_ref());
    if let Some(dsn) = for_sdk {
        print(dsn);
    }
    Ok(if are_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Asks Sentry and sends a test card, and says how both ended; returns whether both were well.
fn try_ends(text: &str, config: &app::Config, dsn: Option<&Dsn>) -> Result<bool, ExitCode> {
    let runtime = crate::run::runtime().map_err(|error| fail(&error))?;
    Ok(runtime.block_on(async {
        let sentry = ends::try_sentry(text, dsn).await;
        let robots = ends::try_robots(config).await;
        sentry && robots
    }))
}

fn say_next(arguments: &InitArguments, dsn: Option<&Dsn>) {
    let config = match arguments.output.to_str() {
        Some("proxy.toml") | None => String::new(),
        Some(file) => format!(" --config {file}"),
    };
    say("");
    say("next:");
    say(format!("  sentry-notice run{config}"));
    match dsn {
        Some(_) => say("and give your SDK this DSN:"),
        None => say(format!(
            "and give your SDK the DSN that this prints:\n  sentry-notice dsn YOUR_DSN --proxy {}",
            arguments.proxy
        )),
    }
}
