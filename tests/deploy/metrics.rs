//! The dashboard and the alert rules ask for numbers that the program really has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use testkit::{FakeSentry, Robot, RobotSimulator, SdkRequest};

use crate::program::{PATIENCE, RunningProxy, command};
use crate::tools::{deploy, succeed, tool};

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_rules_ask_for_what_is_there() {
    let exposed = exposed().await;
    let dashboard = std::fs::read_to_string(deploy("grafana/sentry-notice.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let rules = std::fs::read_to_string(deploy("prometheus/rules.yml")).unwrap();
    let mut asked = expressions(&dashboard);
    asked.extend(
        rules
            .lines()
            .filter(|line| line.contains(NAMES))
            .map(str::to_owned),
    );

    for page in ["../docs/deploy.md", "../docs/deploy.zh-CN.md"] {
        let page = std::fs::read_to_string(deploy(page)).unwrap();
        asked.extend(
            page.lines()
                .filter(|line| line.contains(NAMES))
                .map(str::to_owned),
        );
    }

    let mut wrong = Vec::new();
    for expression in &asked {
        for (name, labels) in selectors(expression) {
            match exposed.get(&name) {
                // A page may name a histogram as a whole.
                None if exposed.contains_key(&format!("{name}_sum")) => {}
                None => wrong.push(format!("`{name}` is no metric: {expression}")),
                Some(known) => wrong.extend(unknown(&name, &labels, known, expression)),
            }
        }
    }

    assert!(asked.len() > 40, "only {} expressions found", asked.len());
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn prometheus_accepts_the_rules_and_they_fire_as_meant() {
    let (Some(mut check), Some(mut config), Some(mut test)) =
        (tool("promtool"), tool("promtool"), tool("promtool"))
    else {
        return;
    };

    succeed(
        check
            .args(["check", "rules"])
            .arg(deploy("prometheus/rules.yml")),
    );
    succeed(
        config
            .args(["check", "config"])
            .arg(deploy("prometheus/prometheus.yml")),
    );
    succeed(
        test.args(["test", "rules"])
            .arg(deploy("prometheus/rules.test.yml")),
    );
}

#[test]
fn every_alert_has_a_case_in_which_it_fires() {
    let read = |file| std::fs::read_to_string(deploy(file)).unwrap();
    let (rules, cases) = (
        read("prometheus/rules.yml"),
        read("prometheus/rules.test.yml"),
    );

    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();

    assert!(alerts.len() > 10);
    for alert in alerts {
        let fires = format!("- alertname: {alert}\n");
        assert_eq!(
            cases.matches(&fires).count(),
            2,
            "{alert}: silent, then firing"
        );
    }
}

/// The labels of a metric, each with the values seen.
type Labels = BTreeMap<String, BTreeSet<String>>;

/// A label of a selector: its name, the operator, the value.
type Label = (String, String, String);

/// Returns every sample name of a program through which an error went to a robot, with its labels.
async fn exposed() -> BTreeMap<String, Labels> {
    let sentry = FakeSentry::start().await.unwrap();
    let robots = RobotSimulator::start([Robot::new("token")]).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let settings = [
        ("LISTEN", "127.0.0.1:0".to_owned()),
        ("ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("UPSTREAM__URL", sentry.url()),
        (
            "SPOOL__DIR",
            directory.path().join("spool").display().to_string(),
        ),
        ("ROBOT__ONCALL__WEBHOOK", robots.url("token")),
        ("ALERT__ROBOT", "oncall".to_owned()),
    ];
    let mut command = command(&["run"]);
    command.current_dir(directory.path());
    for (key, value) in settings {
        command.env(format!("SENTRY_NOTICE__{key}"), value);
    }
    let mut proxy = RunningProxy::watch(command.spawn().unwrap());
    let path = "/api/42/store/?sentry_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let request = SdkRequest::new("POST", path).body("{\"message\":\"boom\"}");
    testkit::send(proxy.address, &request).await.unwrap();
    robots.wait_for(1, PATIENCE).await.unwrap();
    let delivered = "sentry_notice_messages_total{robot=\"oncall\",result=\"ok\"} 1";
    let page = SdkRequest::new("GET", "/metrics");
    let asking = async {
        loop {
            let answer = testkit::send(proxy.admin, &page).await.unwrap();
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            if text.contains(delivered) {
                return text;
            }
        }
    };
    let text = tokio::time::timeout(PATIENCE, asking).await.unwrap();
    assert_eq!(proxy.terminate(), Some(0));
    let mut exposed = BTreeMap::<String, Labels>::new();
    for (name, labels) in text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(selectors)
    {
        let known = exposed.entry(name).or_default();
        for (label, _, value) in labels {
            known.entry(label).or_default().insert(value);
        }
    }
    exposed
}

/// Returns what of a selector's labels the program does not know.
fn unknown(name: &str, labels: &[Label], known: &Labels, expression: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (label, operator, value) in labels {
        // Prometheus adds where a number comes from.
        if ["instance", "job"].contains(&label.as_str()) {
            continue;
        }
        let Some(values) = known.get(label) else {
            wrong.push(format!("`{name}` has no label `{label}`: {expression}"));
            continue;
        };
        // Of those whose values are all there from the start, each has to be known.
        let is_closed = ["verdict", "endpoint", "reason", "result"].contains(&label.as_str())
            && values.len() > 1;
        if is_closed && !operator.contains('~') && !values.contains(value) {
            wrong.push(format!(
                "`{label}` of `{name}` is never `{value}`: {expression}"
            ));
        }
    }
    wrong
}

/// Returns every `name{label="value",…}` of a text, the labels as name, operator and value.
fn selectors(text: &str) -> Vec<(String, Vec<Label>)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(NAMES) {
        rest = &rest[start..];
        let end = rest
            .find(|one: char| !one.is_ascii_alphanumeric() && one != '_')
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let inside = after
            .strip_prefix('{')
            .and_then(|inside| Some(&inside[..inside.find('}')?]));
        let labels = inside.unwrap_or_default().split(',').filter_map(|label| {
            let (head, value) = label.split_once('"')?;
            let name = head.trim_end_matches(['=', '!', '~']);
            let operator = &head[name.len()..];
            let value = value.trim_end_matches('"');
            Some((
                name.trim().to_owned(),
                operator.to_owned(),
                value.to_owned(),
            ))
        });
        found.push((name.to_owned(), labels.collect()));
        rest = after;
    }
    found
}

/// Returns every expression of a dashboard, those of its variables too.
fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(text) if ["expr", "query"].contains(&key.as_str()) => {
                    vec![text.clone()]
                }
                value => expressions(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

const NAMES: &str = "sentry_notice_";
