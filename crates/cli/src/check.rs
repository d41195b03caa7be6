//! `check`: every problem of a configuration, then the routes and robots it means.

use std::process::ExitCode;

use app::Config;

use crate::args::CheckArguments;
use crate::report::{load, print};

pub(crate) fn check(arguments: &CheckArguments) -> ExitCode {
    let loaded = match load(&arguments.config.sources()) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    describe(&loaded.config);
    ExitCode::SUCCESS
}

fn describe(config: &Config) {
    print(format!(
        "listen    {}://{}",
        crate::run::scheme(config),
        config.proxy.listen
    ));
    print(format!("upstream  {}", config.proxy.upstream.url));
    print(format!("admin     http://{}", config.admin.listen));
    print("routes");
    let robots = match config.alert.robots.as_slice() {
        [] => "no robot (shown on the status page only)".to_owned(),
        robots => robots.join(", "),
    };
    let repeat = config.alert.rule.repeat;
    print(format!(
        "  alert → {robots}; level ≥ {}; repeats after {repeat:?}",
        config.alert.min_level
    ));
    print("robots");
    for robot in config.robots.values() {
        let webhooks: Vec<String> = robot.webhooks.iter().map(ToString::to_string).collect();
        let signs = if robot.secret.is_some() {
            "signs"
        } else {
            "does not sign"
        };
        let budget = robot.per_minute;
        print(format!(
            "  {} → {}; {signs}; {budget} messages a minute",
            robot.name,
            webhooks.join(", ")
        ));
    }
    print("ok");
}
