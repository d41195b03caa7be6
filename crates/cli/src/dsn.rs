//! `dsn`: the DSN to give to the SDK.

use std::process::ExitCode;

use app::Dsn;

use crate::args::DsnArguments;
use crate::report::{print, refuse};

pub(crate) fn dsn(arguments: &DsnArguments) -> ExitCode {
    let through_proxy = read(&arguments.dsn).and_then(|dsn| through(&dsn, &arguments.proxy));
    match through_proxy {
        Ok(dsn) => {
            print(dsn);
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Reads a DSN, or says what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Dsn, ExitCode> {
    Dsn::parse(text).map_err(|error| refuse(&format!("cannot read the DSN: {error}"), DSN_HINT))
}

/// Returns the DSN to give to the SDK, or says what is wrong with the proxy's address.
pub(crate) fn through(dsn: &Dsn, proxy: &str) -> Result<Dsn, ExitCode> {
    dsn.with_host(proxy).map_err(|error| {
        refuse(
            &format!("cannot read --proxy `{proxy}`: {error}"),
            PROXY_HINT,
        )
    })
}

/// Returns whether SDKs can be sent to an address, or says what is wrong with it.
pub(crate) fn is_proxy(address: &str) -> bool {
    let example = Dsn::parse("https://KEY@sentry.example.com/42");
    example.is_ok_and(|dsn| through(&dsn, address).is_ok())
}

const DSN_HINT: &str =
    "such as https://KEY@sentry.example.com/42, from the project's settings in Sentry";
const PROXY_HINT: &str = "such as http://127.0.0.1:9010";
