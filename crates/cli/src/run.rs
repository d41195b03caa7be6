//! `run`: the proxy until a signal; SIGHUP reloads.

use std::process::ExitCode;
use std::time::Duration;

use app::{App, Config, Reload, ReloadRequest, Sources, Stage, Stopped};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use crate::args::RunArguments;
use crate::report::{fail, load, read, say};
use crate::service;

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
    raise_descriptor_limit();
    match runtime().map(|runtime| runtime.block_on(serve(config, sources))) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// Takes as many file descriptors as the system lets us have: each client is one, and each connection to Sentry.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, current = limit.current, "cannot raise the limit of file descriptors");
    }
}

/// Returns the runtime of everything but forwarding: pipeline, robots, admin pages.
///
/// One worker: handing each copied request from one thread to another would cost more than looking into it.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("notice")
        .enable_all()
        .build()
}

async fn serve(config: Config, sources: Sources) -> ExitCode {
    let (signal, hangup) = match (app::stop_signal(), app::reload_signal()) {
        (Ok(signal), Ok(hangup)) => (signal, hangup),
        (Err(error), _) | (_, Err(error)) => return fail(&error),
    };
    let (reload, reloads) = mpsc::channel(1);
    let upstream = config.proxy.upstream.url.to_string();
    let scheme = config.scheme();
    let mut app = match App::new(config).await {
        Ok(app) => app,
        Err(error) => {
            let code = fail(&error);
            if let Some(hint) = error.hint() {
                say(format!("    hint: {hint}"));
            }
            return code;
        }
    };
    let reloader = Reloader {
        hangup,
        requests: app.reload_requests(),
        sources,
        reload,
    };
    let reloader = tokio::spawn(reloader.run());
    say(format!("listening on {scheme}://{}", app.address()));
    say(format!("admin on http://{}", app.admin_address()));
    say(format!("forwarding to {upstream}"));
    let watching = service::watch(app.vitals());
    let stop = async {
        let name = signal.await;
        // A thread that ends is no reason to restart a process that stops.
        if let Some(watching) = watching {
            watching.abort();
        }
        tracing::info!(signal = name, "stopping");
    };
    let stopped = app.telling(service::tell).run(stop, reloads, GRACE).await;
    reloader.abort();
    match stopped {
        Ok(Stopped { undelivered: 0 }) => ExitCode::SUCCESS,
        Ok(Stopped { undelivered }) => {
            tracing::error!(undelivered, "alerts were lost at exit");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// Reads the configuration anew at each SIGHUP and at each request over HTTP; a wrong one is reported and not used.
struct Reloader {
    hangup: Signal,
    requests: Option<mpsc::Receiver<ReloadRequest>>,
    sources: Sources,
    reload: mpsc::Sender<Reload>,
}

impl Reloader {
    async fn run(mut self) {
        while let Some(answer) = self.next().await {
            service::tell_reloading();
            match read(&self.sources) {
                Ok(loaded) => {
                    let config = loaded.config;
                    if self.reload.send(Reload { config, answer }).await.is_err() {
                        return;
                    }
                }
                Err(problems) => {
                    say(&problems);
                    service::tell(Stage::Serving);
                    tracing::warn!("configuration not reloaded, the old one stays in force");
                    // Who asked may have left.
                    let _ = answer.map(|answer| answer.send(Err(problems)));
                }
            }
        }
    }

    /// Waits until the configuration is to be read anew, and returns who waits for what comes of it, if anyone does. `None`
    /// when nobody can ask any more.
    async fn next(&mut self) -> Option<Option<ReloadRequest>> {
        let request = async {
            match &mut self.requests {
                Some(requests) => requests.recv().await,
                None => None,
            }
        };
        tokio::select! {
            Some(answer) = request => Some(Some(answer)),
            hangup = self.hangup.recv() => hangup.map(|()| None),
        }
    }
}

/// How long requests in flight, and then alerts in flight, may take at exit.
const GRACE: Duration = Duration::from_secs(10);
