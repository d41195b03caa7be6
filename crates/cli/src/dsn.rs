//! `dsn`: the DSN to give to the SDK.

use std::process::ExitCode;

use app::Dsn;

use crate::USAGE;
use crate::args::DsnArguments;
use crate::report::{print, say};

pub(crate) fn dsn(arguments: &DsnArguments) -> ExitCode {
    let dsn = match Dsn::parse(&arguments.dsn) {
        Ok(dsn) => dsn,
        Err(error) => return refuse(&format!("cannot read the DSN: {error}"), DSN_HINT),
    };
    match dsn.with_host(&arguments.proxy) {
        Ok(dsn) => {
            print(dsn);
            ExitCode::SUCCESS
        }
        Err(error) => refuse(
            &format!("cannot read --proxy `{}`: {error}", arguments.proxy),
            PROXY_HINT,
        ),
    }
}

fn refuse(what: &str, hint: &str) -> ExitCode {
    say(what);
    say(format!("    hint: {hint}"));
    ExitCode::from(USAGE)
}

const DSN_HINT: &str =
    "such as https://KEY@sentry.example.com/42, from the project's settings in Sentry";
const PROXY_HINT: &str = "such as http://127.0.0.1:9010";
