//! `check`: every problem of a configuration, then the routes and robots it means.

use std::process::ExitCode;

use app::{Config, Mention, Route, date, short};

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
        config.scheme(),
        config.proxy.listen
    ));
    print(format!("upstream  {}", config.proxy.upstream.url));
    print(format!("admin     http://{}", config.admin.listen));
    print("routes");
    print_route(config.alert.routes.root(), 1);
    print(format!("  level ≥ {}", config.alert.min_level));
    for mute in &config.alert.mutes {
        let until = mute
            .until
            .map(date)
            .map_or_else(String::new, |date| format!(" until {date}"));
        print(format!("  mute {}{until}; {}", mute.matcher, mute.comment));
    }
    print("robots");
    for robot in config.robots.values() {
        let webhooks: Vec<String> = robot.webhooks.iter().map(ToString::to_string).collect();
        let signs = if robot.secret.is_some() {
            "signs"
        } else {
            "does not sign"
        };
        let budget = robot.per_minute;
        let writes = if robot.template.is_some() {
            "; cards by its template"
        } else {
            ""
        };
        print(format!(
            "  {} → {}; {signs}; {budget} messages a minute each{writes}",
            robot.name,
            webhooks.join(", ")
        ));
    }
    print("ok");
}

/// Prints a route and those below it; of those only what differs from the route above.
fn print_route(route: &Route, depth: usize) {
    print(format!("{}{}", "  ".repeat(depth), describe_route(route)));
    for child in &route.children {
        print_child(child, route, depth + 1);
    }
}

fn print_child(route: &Route, parent: &Route, depth: usize) {
    let matcher = route.matcher.to_string();
    let mut facts = Vec::new();
    if matcher.is_empty() {
        facts.push("everything".to_owned());
    } else if matcher != route.name {
        facts.push(matcher);
    }
    if route.robots != parent.robots {
        facts.push(robots(route));
    }
    facts.extend(differences(route, parent));
    if route.continues {
        facts.push("continues".to_owned());
    }
    let indent = "  ".repeat(depth);
    print(format!("{indent}{}: {}", route.name, facts.join("; ")));
    for child in &route.children {
        print_child(child, route, depth + 1);
    }
}

fn describe_route(route: &Route) -> String {
    let facts: Vec<String> = rule_facts(route)
        .into_iter()
        .map(|(_, fact)| fact)
        .collect();
    format!("{} {}; {}", route.name, robots(route), facts.join("; "))
}

fn robots(route: &Route) -> String {
    match route.robots.as_slice() {
        [] => "→ no robot (shown on the status page only)".to_owned(),
        robots => format!("→ {}", robots.join(", ")),
    }
}

fn differences(route: &Route, parent: &Route) -> Vec<String> {
    let parents = rule_facts(parent);
    let facts = rule_facts(route).into_iter();
    facts
        .filter(|fact| !parents.contains(fact))
        .map(|(_, fact)| fact)
        .collect()
}

/// Each key of a route in words.
fn rule_facts(route: &Route) -> Vec<(&'static str, String)> {
    let rule = &route.rule;
    let repeats = match rule.repeat_factor {
        factor if factor > 1.0 => format!(
            "repeats after {}, growing ×{factor} to {}",
            short(rule.repeat),
            short(rule.repeat_max)
        ),
        _ => format!("repeats after {}", short(rule.repeat)),
    };
    let burst = rule.burst.map_or_else(
        || "no bursts".to_owned(),
        |burst| format!("burst {} in {}", burst.count, short(burst.within)),
    );
    let mut facts = vec![
        ("threshold", format!("speaks at {}", rule.threshold)),
        ("repeat", repeats),
        ("burst", burst),
        (
            "regression",
            format!("regression after {}", short(rule.regression_after)),
        ),
        ("digest", format!("digest {}", short(rule.digest))),
    ];
    if !rule.new_release {
        facts.push(("new_release", "silent about new releases".to_owned()));
    }
    if let Some(quiet) = rule.quiet_after {
        facts.push(("quiet", format!("tells when quiet for {}", short(quiet))));
    }
    if !rule.active.spans.is_empty() {
        let spans: Vec<String> = rule.active.spans.iter().map(ToString::to_string).collect();
        let zone = rule.active.zone.iana_name().unwrap_or("local time");
        facts.push(("active", format!("active {} ({zone})", spans.join(", "))));
    }
    if let Some(mention) = &route.mention {
        facts.push(("mention", mentions(mention)));
    }
    facts
}

fn mentions(mention: &Mention) -> String {
    let all = mention.all.then(|| "everyone".to_owned());
    let people = mention.mobiles.iter().chain(&mention.user_ids).cloned();
    let people: Vec<String> = people.chain(all).collect();
    match people.is_empty() {
        true => "mentions nobody".to_owned(),
        false => format!("mentions {}", people.join(", ")),
    }
}
