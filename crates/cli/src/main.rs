//! The command line of sentry-notice: parses, prints, exits. One file a command.

mod admin_address;
mod args;
mod check;
mod demo;
mod dsn;
mod health;
mod init;
mod manual;
mod mute;
mod render;
mod report;
mod run;
mod send_test;
mod service;
mod spool;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Init(arguments) => init::init(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::SendTest(arguments) => send_test::send_test(&arguments),
        Command::Render(arguments) => render::render(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Dsn(arguments) => dsn::dsn(&arguments),
        Command::Spool(arguments) => spool::spool(&arguments),
        Command::Mute(arguments) => mute::mute(&arguments),
        Command::Health(arguments) => health::health(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::page(&arguments),
    }
}

/// The configuration or the call is wrong; nothing was done.
const USAGE: u8 = 2;
