//! What people may write into a configuration, and what they are told when it is wrong.

use std::fs;
use std::time::Duration;

use super::Config;
use super::load::{Loaded, Sources};
use super::problem::Problem;

#[test]
fn the_shipped_file_holds_the_defaults() {
    let loaded = read(SHIPPED).unwrap();

    let bare = read("[upstream]\nurl = \"https://sentry.example.com\"").unwrap();
    let said = |loaded: &Loaded| {
        // Warnings name places.
        let warnings = Vec::new();
        let config = Config {
            warnings,
            ..loaded.config.clone()
        };
        format!("{config:?}")
    };
    assert_eq!(said(&loaded), said(&bare));
    let texts: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts.len(),
        1,
        "only the missing robot is worth a warning: {texts:?}"
    );
    assert!(texts[0].contains("alert.robot: is not set"), "{texts:?}");
}

#[test]
fn the_shipped_file_names_every_key_that_is_obeyed() {
    let (_, keys) = Loaded::read_with_keys(&sources(&uncommented()));

    let missing: Vec<String> = keys
        .into_iter()
        .filter(|key| !key.ends_with("_file") && !ALTERNATIVES.contains(&key.as_str()))
        .filter(|key| !is_written(key))
        .collect();

    assert_eq!(missing, [""; 0]);
}

#[test]
fn the_commented_examples_load_too() {
    let loaded = read(&uncommented()).unwrap();

    assert_eq!(loaded.config.robots["oncall"].per_minute, 18);
    assert_eq!(loaded.config.alert.project_names.len(), 1);
}

#[test]
fn reports_every_problem_at_once_with_line_and_hint() {
    let problems = texts(
        r#"listen = "here"
thread = 4
[upstream]
url = "sentry.example.com"
connect_timeout = 5
[forward]
client_ip = "apend"
projects = ["shop"]
[robot.oncall]
webhook = "ftp://x"
per_minute = 60
timezone = "Mars/Olympus"
[alert]
robot = "onkall"
"#,
    );

    let expected = [
        "proxy.toml:1: listen: `here` is no address",
        "proxy.toml:2: thread: unknown key",
        "proxy.toml:4: upstream.url: `sentry.example.com` cannot be used",
        "proxy.toml:5: upstream.connect_timeout: expected a duration, found the number `5`",
        "proxy.toml:7: forward.client_ip: unknown value `apend`",
        "proxy.toml:8: forward.projects: `shop` is no project id",
        "proxy.toml:10: robot.oncall.webhook: ",
        "proxy.toml:11: robot.oncall.per_minute: `60` is out of range",
        "proxy.toml:12: robot.oncall.timezone: unknown time zone `Mars/Olympus`",
        "proxy.toml:14: alert.robot: there is no working robot `onkall`",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(
            problem.starts_with(expected),
            "{problem:?} should start with {expected:?}"
        );
        assert!(problem.contains("\n    hint: "), "{problem:?} has no hint");
    }
    assert!(problems[1].contains("did you mean `threads`?"));
    assert!(problems[4].contains("did you mean \"append\"?"));
}

#[test]
fn reports_broken_toml_with_its_line() {
    let problems = texts("listen = \"127.0.0.1:1\"\n[upstream\nurl = 3\n");

    assert!(
        problems
            .iter()
            .any(|problem| problem.starts_with("proxy.toml:2: ")),
        "{problems:?}"
    );
}

#[test]
fn the_upstream_has_to_be_set() {
    let problems = texts("");

    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("config: upstream.url: is not set"),
        "{problems:?}"
    );
}

#[test]
fn a_missing_file_is_a_problem_not_a_default() {
    let sources = Sources {
        file: Some("/nowhere/proxy.toml".into()),
        ..Sources::default()
    };

    let problems = Loaded::read(&sources).unwrap_err();

    assert!(
        problems[0]
            .to_string()
            .contains("cannot read `/nowhere/proxy.toml`")
    );
}

#[test]
fn flags_win_over_environment_and_environment_over_file() {
    let mut sources =
        sources("listen = \"127.0.0.1:1\"\nthreads = 1\n[upstream]\nurl = \"http://file\"\n");
    sources.environment = vec![
        (
            "SENTRY_NOTICE__UPSTREAM__URL".to_owned(),
            "http://environment".to_owned(),
        ),
        ("SENTRY_NOTICE__THREADS".to_owned(), "2".to_owned()),
        (
            "SENTRY_NOTICE__FORWARD__PROJECTS".to_owned(),
            "1, 42".to_owned(),
        ),
        ("OTHER".to_owned(), "x".to_owned()),
    ];
    sources.flags = vec![("--upstream", "upstream.url", "http://flag".to_owned())];

    let config = Loaded::read(&sources).unwrap().config;

    assert_eq!(config.proxy.upstream.url.to_string(), "http://flag");
    assert_eq!((config.proxy.listen.port(), config.proxy.threads), (1, 2));
    assert_eq!(config.proxy.forward.projects.len(), 2);
}

#[test]
fn a_wrong_environment_variable_is_named() {
    let mut sources = sources(MINIMAL);
    sources.environment = vec![("SENTRY_NOTICE__THREADS".to_owned(), "many".to_owned())];

    let problems = Loaded::read(&sources).unwrap_err();

    assert!(
        problems[0]
            .to_string()
            .starts_with("environment SENTRY_NOTICE__THREADS: threads: ")
    );
}

#[test]
fn secrets_come_from_the_file_a_variable_or_a_file_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let secret_file = directory.path().join("secret");
    fs::write(&secret_file, "SECfile\n").unwrap();
    let mut sources = sources(&format!(
        "{MINIMAL}\n[robot.a]\nwebhook = \"${{HOOK}}\"\nsecret_file = \"{}\"\n",
        secret_file.display()
    ));
    sources.environment = vec![(
        "HOOK".to_owned(),
        "http://127.0.0.1:1/robot/send?access_token=abc".to_owned(),
    )];

    let config = Loaded::read(&sources).unwrap().config;

    let robot = &config.robots["a"];
    assert_eq!(robot.secret, Some(dingtalk::Secret::new("SECfile")));
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("SECfile") && !shown.contains("token=abc"),
        "{shown}"
    );
}

#[test]
fn missing_variables_and_files_of_secrets_are_problems() {
    let problems = texts(&format!(
        "{MINIMAL}\n[robot.a]\nwebhook = \"${{NOT_SET}}\"\nsecret_file = \"/nowhere/secret\"\n"
    ));

    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("environment variable `NOT_SET` is not set"))
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("cannot read `/nowhere/secret`"))
    );
}

#[test]
fn a_key_of_mute_links_that_can_be_guessed_is_refused() {
    let guessed = texts(&format!("{MINIMAL}\n[admin]\nmute_key = \"secret\"\n"));
    let good = read(&format!(
        "{MINIMAL}\n[admin]\nmute_key = \"0123456789abcdef\"\n"
    ));

    assert!(
        guessed[0].contains("admin.mute_key: is shorter than 16 characters"),
        "{guessed:?}"
    );
    let good = good.unwrap();
    assert!(good.config.admin.mute_key.is_some());
    assert!(!format!("{:?}", good.config).contains("0123456789abcdef"));
}

#[test]
fn admin_pages_beyond_loopback_want_a_token() {
    let open = texts(&format!("{MINIMAL}\n[admin]\nlisten = \"0.0.0.0:9011\"\n"));
    let guarded = read(&format!(
        "{MINIMAL}\n[admin]\nlisten = \"0.0.0.0:9011\"\ntoken = \"t\"\n"
    ));

    assert!(open[0].contains("admin.token: is needed"), "{open:?}");
    assert!(guarded.is_ok());
}

#[test]
fn state_is_in_a_file_in_memory_or_in_redis() {
    let state = |lines: &str| {
        let loaded = read(&format!("{MINIMAL}\n[state]\n{lines}\n")).unwrap();
        assert_eq!(loaded.warnings.len(), warnings_of(MINIMAL), "{lines}");
        loaded.config.state
    };

    assert_eq!(state(""), state::Config::File("data/state.db".into()));
    assert_eq!(state("kind = \"memory\""), state::Config::Memory);
    let path = "kind = \"file\"\npath = \"/var/lib/notice/state.db\"";
    let file = state::Config::File("/var/lib/notice/state.db".into());
    assert_eq!(state(path), file);
    let state::Config::Redis(redis) =
        state("kind = \"redis\"\nurl = \"redis://:secret@cache:6379/1\"\nprefix = \"shop:\"")
    else {
        panic!("not Redis");
    };
    assert_eq!(redis.prefix, "shop:");
    assert_eq!(redis.address.to_string(), "redis://[redacted]@cache:6379/1");
    assert_eq!(redis.budget, Duration::from_millis(50));
    assert_eq!(redis.retention, Duration::from_secs(31 * 24 * 60 * 60));
}

#[test]
fn wrong_state_is_reported_without_the_password() {
    let lacks = texts(&format!("{MINIMAL}\n[state]\nkind = \"redis\"\n"));
    let bad = texts(&format!(
        "{MINIMAL}\n[state]\nkind = \"redis\"\nurl = \"redis+sentinel://:secret@a:26379\"\npath = \"\"\n"
    ));
    let unused = read(&format!("{MINIMAL}\n[state]\nurl = \"redis://x\"\n")).unwrap();

    assert!(lacks[0].contains("state.url: is not set"), "{lacks:?}");
    assert!(lacks[0].contains("hint: such as"), "{lacks:?}");
    let bad = bad.join("\n");
    assert!(
        bad.contains("state.url: lacks the name of the master"),
        "{bad}"
    );
    assert!(bad.contains("state.path: names no file"), "{bad}");
    assert!(!bad.contains("secret"), "{bad}");
    let warnings: Vec<String> = unused.warnings.iter().map(ToString::to_string).collect();
    let warned = warnings
        .iter()
        .any(|text| text.contains("state.url: has no effect"));
    assert!(warned, "{warnings:?}");
}

fn warnings_of(text: &str) -> usize {
    read(text).unwrap().warnings.len()
}

#[test]
fn the_proxy_speaks_of_itself_as_told() {
    let robot = "[robot.a]\nwebhook = \"tokena\"\n";
    let loaded = read(&format!(
        "{MINIMAL}\n{robot}[self]\nrobot = \"a\"\noutage_after = \"90s\"\n"
    ));
    let wrong = texts(&format!(
        "{MINIMAL}\n{robot}[self]\nrobot = \"b\"\noutage_after = \"0s\"\n"
    ));

    let config = loaded.unwrap().config;
    assert_eq!(config.outage_after, Duration::from_secs(90));
    assert_eq!(config.alert.own_robot.as_deref(), Some("a"));
    assert!(
        wrong.iter().any(|text| text.contains("self.robot: "))
            && wrong
                .iter()
                .any(|text| text.contains("self.outage_after: must be longer than nothing")),
        "{wrong:?}"
    );
}

#[test]
fn routes_inherit_what_they_do_not_set() {
    let loaded = read(&format!(
        r#"{MINIMAL}
[robot.a]
webhook = "tokena"
timezone = "Europe/Berlin"
[robot.b]
webhook = "tokenb"
[alert]
robot = "a"
repeat = "2h"
repeat_factor = 1
threshold = "5 users in 1h"
burst = ""
active = ["Mon-Fri 08:00-22:00"]
[[alert.route]]
name = "prod"
match = {{ environment = "prod*", project = 42, handled = false, tag.owner = ["x", "!y"] }}
robots = ["b", "a", "b"]
threshold = "3 in 5m"
mention = {{ mobiles = ["13800000000"] }}
continue = true
[[alert.route.route]]
match = {{ level = "fatal" }}
active = []
quiet_after = "1h"
[[alert.route]]
match = {{ environment = "/^dev/" }}
robot = ""
timezone = "UTC"
"#
    ))
    .unwrap();

    let root = loaded.config.alert.routes.root();
    let [prod, dev] = &root.children[..] else {
        panic!("{root:?}");
    };
    let fatal = &prod.children[0];
    assert_eq!(
        (root.robots.as_slice(), root.rule.burst),
        (["a".to_owned()].as_slice(), None)
    );
    assert_eq!(root.rule.threshold.to_string(), "5 users in 1h");
    assert_eq!(root.rule.active.zone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(
        (prod.robots.as_slice(), prod.continues),
        (["b".to_owned(), "a".to_owned()].as_slice(), true)
    );
    assert_eq!(
        (prod.rule.repeat, prod.rule.threshold.to_string().as_str()),
        (root.rule.repeat, "3 in 5m")
    );
    let shown = prod.matcher.to_string();
    assert!(
        shown.contains("environment = \"prod*\"") && shown.contains("tag.owner = [\"x\", \"!y\"]"),
        "{shown}"
    );
    assert!(
        shown.contains("project = \"42\"") && shown.contains("handled = \"false\""),
        "{shown}"
    );
    assert_eq!((fatal.robots.len(), fatal.continues), (2, false));
    assert_eq!(fatal.mention.as_ref().unwrap().mobiles, ["13800000000"]);
    assert!(fatal.rule.active.spans.is_empty() && fatal.rule.quiet_after.is_some());
    assert_eq!(
        fatal.path().join(" / "),
        r#"alert / prod / level = "fatal""#
    );
    assert_eq!(
        (dev.robots.len(), dev.rule.active.zone.iana_name()),
        (0, Some("UTC"))
    );
    assert_eq!(dev.rule.active.spans.len(), 1);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn every_fault_of_a_route_is_reported_where_it_is() {
    let problems = texts(&format!(
        r#"{MINIMAL}
[robot.oncall]
webhook = "token"
webhooks = ["other"]
secrets = ["SEC1"]
[alert]
robot = "oncall"
repeat_factor = 0.5
threshold = "many"
burst = "1 in 1m"
repeat = "2h"
repeat_max = "1h"
active = ["all day"]
quiet_after = "0s"
[[alert.route]]
match = {{ enviroment = "prod", title = "/(/", level = {{}} }}
robot = "onkall"
threshold = "5000 in 1m"
burst = "100000 in 1m"
[[mute]]
comment = "everything?"
until = "tomorrow"
[self]
robot = "nobody"
"#
    ));

    let expected = [
        "proxy.toml:6: robot.oncall.secrets: holds 1 secrets for 2 webhooks",
        "proxy.toml:9: alert.repeat_factor: expected a number from 1 to 1000",
        "proxy.toml:10: alert.threshold: `many` is no threshold",
        "proxy.toml:11: alert.burst: `1 in 1m` would be a burst of every event",
        "proxy.toml:13: alert.repeat_max: is shorter than `repeat`",
        "proxy.toml:14: alert.active: `all day` is no span of hours",
        "proxy.toml:15: alert.quiet_after: must be longer than nothing",
        "proxy.toml:17: alert.route[0].match.level: expected a text in quotes, found a table",
        "proxy.toml:17: alert.route[0].match.title: cannot read `/(/` as a pattern: unclosed group",
        "proxy.toml:17: alert.route[0].match.enviroment: unknown key",
        "proxy.toml:18: alert.route[0].robot: there is no working robot `onkall`",
        "proxy.toml:19: alert.route[0].threshold: `5000` is out of range: at most 1000 are counted",
        "proxy.toml:20: alert.route[0].burst: `100000` is out of range: at most 1000 are counted",
        "proxy.toml:21: mute[0].match: is not set",
        "proxy.toml:23: mute[0].until: `tomorrow` is no moment",
        "proxy.toml:25: self.robot: there is no working robot `nobody`",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for expected in expected {
        let found = problems.iter().any(|problem| problem.starts_with(expected));
        assert!(found, "{expected}: {problems:#?}");
    }
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("did you mean `environment`?"))
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("did you mean `oncall`?"))
    );
}

#[test]
fn reads_mutes_and_people() {
    let config = read(&format!(
        r#"{MINIMAL}
[[mute]]
match = {{ title = "*ECONNRESET*" }}
until = "2026-12-31"
comment = "known"
[[mute]]
match = {{ project = [42, "shop"] }}
until = 2026-12-31T00:00:00Z
[people]
Alice = "13800000000"
"team-shop" = {{ user_ids = ["manager1"] }}
"#
    ))
    .unwrap()
    .config;

    let [first, second] = &config.alert.mutes[..] else {
        panic!("{:?}", config.alert.mutes);
    };
    let between = second
        .until
        .unwrap()
        .duration_since(first.until.unwrap())
        .unwrap();
    assert_eq!(
        between.as_secs(),
        8 * 3_600,
        "Shanghai's midnight comes first"
    );
    assert_eq!(second.matcher.to_string(), r#"project = ["42", "shop"]"#);
    let people = &config.alert.people.0;
    assert_eq!(people["alice"].mobiles, ["13800000000"]);
    assert_eq!(people["team-shop"].user_ids, ["manager1"]);
}

#[test]
fn faults_in_rule_files_are_reported_at_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules.txt");
    fs::write(&rules, "family:native function:log_* -app\nnonsense\n").unwrap();

    let problems = texts(&format!(
        "{MINIMAL}\n[grouping]\nrules_file = \"{}\"\n",
        rules.display()
    ));

    let expected = format!("{}:2: grouping.rules_file: ", rules.display());
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with(&expected), "{problems:?}");
}

#[test]
fn routes_need_projects_and_an_address() {
    let good = read(&format!(
        "{MINIMAL}\n[[upstream.route]]\nprojects = [\"42\", 43]\nurl = \"https://other.example.com\"\n"
    ));
    let bad = texts(&format!(
        "{MINIMAL}\n[[upstream.route]]\nproject = [\"42\"]\n"
    ));

    assert_eq!(
        good.unwrap().config.proxy.upstream.routes[0].projects.len(),
        2
    );
    for expected in [
        "proxy.toml:3: upstream.route[0].projects: is not set",
        "proxy.toml:3: upstream.route[0].url: is not set",
        "proxy.toml:4: upstream.route[0].project: unknown key",
    ] {
        assert!(
            bad.iter().any(|problem| problem.starts_with(expected)),
            "{expected}: {bad:?}"
        );
    }
}

#[test]
fn a_certificate_needs_its_key_and_files_must_be_there() {
    let problems = texts(&format!(
        "{MINIMAL}\n[tls]\ncert_file = \"/nowhere/cert.pem\"\n"
    ));

    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("tls.cert_file: cannot read")),
        "{problems:?}"
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("tls.key_file: is needed")),
        "{problems:?}"
    );
}

#[test]
fn the_proxy_of_the_environment_is_used_for_https_only() {
    let proxied = |url: &str| {
        let mut sources = sources(&format!("[upstream]\nurl = \"{url}\""));
        sources.environment = vec![(
            "HTTPS_PROXY".to_owned(),
            "http://proxy.example.com:3128".to_owned(),
        )];
        Loaded::read(&sources)
            .unwrap()
            .config
            .proxy
            .upstream
            .proxy
            .is_some()
    };

    assert!(proxied("https://sentry.example.com"));
    assert!(!proxied("http://sentry.example.com"));
}

#[test]
fn links_are_filled_only_with_what_is_known() {
    let problems = texts(&format!(
        "{MINIMAL}\n[sentry]\nevent_url = \"{{url}}/{{slug}}\"\n"
    ));

    assert!(
        problems[0].contains("sentry.event_url: `{slug}` cannot be filled in"),
        "{problems:?}"
    );
}

#[test]
fn the_documented_links_are_what_is_documented() {
    let documentation = include_str!("../../../../docs/links.md");
    let examples: Vec<_> = documentation.split("```toml\n").skip(1).collect();
    let id = event::model::EventId::parse("9f3c2d1a00004000800000000000beef");

    for example in &examples {
        let (toml, rest) = example.split_once("```").unwrap();
        let (_, links) = rest.split_once("```text\n").unwrap();
        let (links, _) = links.split_once("```").unwrap();
        let config = read(&format!("{MINIMAL}\n{toml}")).unwrap().config;
        let project = event::endpoint::ProjectId::parse("42").unwrap();

        let made = config
            .alert
            .links
            .of(project, id, Some("ZeroDivisionError"));

        let made = [made.event.unwrap(), made.similar.unwrap()];
        assert_eq!(links.trim_end(), made.join("\n"), "{toml}");
    }
    assert_eq!(examples.len(), 5);
}

#[test]
fn faults_in_a_template_are_reported_at_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("card.md");
    let robot = |file: &str| {
        format!(
            "{MINIMAL}\n[robot.oncall]\nwebhook = \"abcdef0123\"\ntemplate_file = \"{file}\"\n[alert]\nrobot = \"oncall\"\n"
        )
    };
    fs::write(&file, "{{ event.titel }}\n\n{{ evnt.title }}\n").unwrap();

    let problems = texts(&robot(file.to_str().unwrap()));

    let expected = [
        format!(
            "{}:1: robot.oncall.template_file: unknown variable `event.titel`",
            file.display()
        ),
        format!(
            "{}:3: robot.oncall.template_file: unknown variable `evnt.title`",
            file.display()
        ),
    ];
    assert_eq!(problems, expected);
    assert!(
        texts(&robot("/nowhere/card.md"))[0]
            .contains("robot.oncall.template_file: cannot read `/nowhere/card.md`"),
    );

    fs::write(&file, "{{ built_in }}\n").unwrap();
    let config = read(&robot(file.to_str().unwrap())).unwrap().config;
    assert!(config.robots["oncall"].template.is_some());
    let every = config.robots["oncall"].mention_all_every;
    assert_eq!(every, std::time::Duration::from_secs(1_800));
}

fn read(text: &str) -> Result<Loaded, Vec<Problem>> {
    Loaded::read(&sources(text))
}

fn texts(text: &str) -> Vec<String> {
    let problems = read(text).map(|loaded| loaded.warnings).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

fn sources(text: &str) -> Sources {
    Sources {
        text: Some(("proxy.toml".to_owned(), text.to_owned())),
        ..Sources::default()
    }
}

/// The shipped file with its commented examples switched on.
fn uncommented() -> String {
    let lines = SHIPPED.lines().map(|line| {
        // Files that the examples name do not exist here.
        let example = line.strip_prefix("# ").filter(|rest| {
            let names_a_file = rest
                .split(" = ")
                .next()
                .is_some_and(|key| key.ends_with("_file"));
            !names_a_file
                && (rest.starts_with('[')
                    || rest
                        .split_once(" = ")
                        .is_some_and(|(key, _)| !key.contains(' ')))
        });
        example.unwrap_or(line)
    });
    lines.collect::<Vec<_>>().join("\n").replace('…', "0a1b")
}

/// Returns whether a dotted key stands in the shipped file, tables included.
fn is_written(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap();
    let text = uncommented();
    let is_key = ["\n", ", ", "{ "]
        .iter()
        .any(|before| text.contains(&format!("{before}{name} = ")));
    is_key || text.contains(&format!("\n[{key}]"))
}

const SHIPPED: &str = include_str!("../../../../proxy.toml");
const MINIMAL: &str = "[upstream]\nurl = \"http://127.0.0.1:9000\"";

/// Other ways to say what a key in the file says.
const ALTERNATIVES: [&str; 7] = [
    "alert.robots",
    "alert.route[0].match.tag.owner",
    "alert.route[0].robots",
    "project",
    "robot",
    "robot.oncall.secrets",
    "robot.oncall.webhooks",
];
