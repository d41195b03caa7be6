//! `completions` and `man`: what a packager installs besides the program, made from its flags.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::USAGE;
use crate::args::{Arguments, CompletionsArguments, ManArguments};
use crate::report::{fail, say};

pub(crate) fn completions(arguments: &CompletionsArguments) -> ExitCode {
    let mut program = Arguments::command();
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, name, &mut script);
    hand_out(&script)
}

pub(crate) fn page(arguments: &ManArguments) -> ExitCode {
    let mut program = Arguments::command();
    // Gives each command its full name, such as `sentry-notice spool stats`.
    program.build();
    let mut command = &program;
    for name in &arguments.command {
        let Some(found) = command.find_subcommand(name) else {
            say(format!("there is no command `{name}`"));
            say(format!("    hint: {}", known(command)));
            return ExitCode::from(USAGE);
        };
        command = found;
    }
    let mut page = Vec::new();
    match clap_mangen::Man::new(command.clone())
        .source(concat!("sentry-notice ", env!("SENTRY_NOTICE_VERSION")))
        .render(&mut page)
    {
        Ok(()) => hand_out(&page),
        Err(error) => fail(&error),
    }
}

fn known(command: &clap::Command) -> String {
    let names: Vec<&str> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    match names.as_slice() {
        [] => format!("`{}` has no commands of its own", command.get_name()),
        names => format!("known: {}", names.join(", ")),
    }
}

fn hand_out(text: &[u8]) -> ExitCode {
    match io::stdout().lock().write_all(text) {
        // A reader that has left, such as `head`, has seen what it wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&error),
        _ => ExitCode::SUCCESS,
    }
}
