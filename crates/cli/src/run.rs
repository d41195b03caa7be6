//! `run`: the proxy until a signal.

use std::process::ExitCode;
use std::time::Duration;

use app::{App, Config, Stopped};

use crate::args::RunArguments;
use crate::report::{fail, load, say};

pub(crate) fn run(arguments: &RunArguments) -> ExitCode {
    let mut sources = arguments.config.sources();
    let flags = [
        ("--listen", "listen", &arguments.listen),
        ("--upstream", "upstream.url", &arguments.upstream),
    ];
    for (flag, key, value) in flags {
        sources
            .flags
            .extend(value.clone().map(|value| (flag, key, value)));
    }
    let config = match load(&sources) {
        Ok(loaded) => loaded.config,
        Err(code) => return code,
    };
    if let Err(error) = app::telemetry::start(config.log) {
        return fail(&error);
    }
    match runtime().map(|runtime| runtime.block_on(serve(config))) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// Returns the runtime of everything but forwarding: pipeline, robots, admin pages.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("notice")
        .enable_all()
        .build()
}

async fn serve(config: Config) -> ExitCode {
    let signal = match app::stop_signal() {
        Ok(signal) => signal,
        Err(error) => return fail(&error),
    };
    let upstream = config.proxy.upstream.url.to_string();
    let app = match App::new(config).await {
        Ok(app) => app,
        Err(error) => return fail(&error),
    };
    say(format!("listening on http://{}", app.address()));
    say(format!("admin on http://{}", app.admin_address()));
    say(format!("forwarding to {upstream}"));
    let stop = async {
        let name = signal.await;
        tracing::info!(signal = name, "stopping");
    };
    match app.run(stop, GRACE).await {
        Ok(Stopped { undelivered: 0 }) => ExitCode::SUCCESS,
        Ok(Stopped { undelivered }) => {
            tracing::error!(undelivered, "alerts were lost at exit");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// How long requests in flight, and then alerts in flight, may take at exit.
const GRACE: Duration = Duration::from_secs(10);
