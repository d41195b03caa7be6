//! Compares our hashes with those that Sentry's own algorithm gives the same events.
//!
//! Reads `../shared/corpus/grouping` beside the checkout, or `$SENTRY_NOTICE_CORPUS/grouping`; without it the tests are
//! skipped and say so.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail and report as tests do"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use event::model::Event;
use grouping::{Config, FingerprintRule, Group, Grouper, Node, explain, group, normalize_message};
use serde_json::Value;

#[test]
fn hashes_agree_with_sentry() {
    let Some(corpus) = corpus() else { return };
    let expected = read_json(&corpus.join("expected.json"));

    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut wrong: Vec<&str> = Vec::new();
    for (name, expected) in expected.as_object().unwrap() {
        let input = fs::read(corpus.join("inputs").join(name)).unwrap();
        let found = grouped(&input);
        let wanted: Vec<&str> = texts(&expected["hashes"]);
        let platform = expected["platform"].as_str().unwrap_or("none");
        let is_native = matches!(platform, "native" | "cocoa");
        let tally = tallies.entry(platform.to_owned()).or_default();
        tally.count(&found, &wanted);
        if found.hashes != wanted {
            print_difference(name, &input, expected);
        }
        if found.hashes != wanted && !is_native {
            wrong.push(name);
        }
    }

    eprintln!("agreement by platform: {tallies:?}");
    assert!(wrong.is_empty(), "{wrong:?}");
    let native = ["native", "cocoa"]
        .iter()
        .filter_map(|platform| tallies.get(*platform));
    let primary: usize = native.map(|tally| tally.primary).sum();
    assert!(primary >= 15, "{primary} of 25 native hashes");
}

/// Real events one after the other, then all of them again with other messages.
#[test]
fn a_grouper_that_has_seen_them_all_says_the_same() {
    let Some(corpus) = corpus() else { return };
    let expected = read_json(&corpus.join("expected.json"));

    let mut grouper = Grouper::new(Config::default());
    for other in ["", " 17 of 4711"] {
        for name in expected.as_object().unwrap().keys() {
            let input = fs::read(corpus.join("inputs").join(name)).unwrap();
            let mut event = event::parse_event(&input, None).unwrap();
            for exception in &mut event.exceptions {
                let value = exception.value.take().unwrap_or_default();
                exception.value = Some(format!("{value}{other}").into());
            }
            let expected = group(&event, &Config::default());
            assert_eq!(grouper.group(&event), expected, "{name}");
        }
    }
}

#[test]
fn messages_parameterize_as_sentry_does() {
    let Some(corpus) = corpus() else { return };
    let cases = read_json(&corpus.join("parameterization.json"));

    let (mut agreed, mut all) = (0, 0);
    for case in cases["cases_2026"].as_array().unwrap() {
        let newest = case["output_newest"].as_str();
        let stable = case["output"]
            .as_str()
            .filter(|_| case["stable"].as_bool() == Some(true));
        let (Some(expected), Some(input)) = (newest.or(stable), case["input"].as_str()) else {
            continue;
        };
        for (before, after) in [
            ("", ""),
            ("prefix ", ""),
            ("", " suffix"),
            ("prefix ", " suffix"),
        ] {
            let found = normalize_message(&format!("{before}{input}{after}")).into_owned();
            let wanted = format!("{before}{expected}{after}");
            all += 1;
            agreed += usize::from(found == wanted);
            if found != wanted {
                eprintln!("differs: {input:?}: {found:?} instead of {wanted:?}");
            }
        }
    }

    eprintln!("{agreed} of {all} messages agree");
    assert!(agreed * 100 >= all * 98, "{agreed} of {all}");
}

#[derive(Debug, Default)]
struct Tally {
    all: usize,
    primary: usize,
    every: usize,
}

impl Tally {
    fn count(&mut self, found: &Group, wanted: &[&str]) {
        self.all += 1;
        self.primary += usize::from(found.hashes[0] == wanted[0]);
        self.every += usize::from(found.hashes == wanted);
    }
}

/// Says which values made our hashes and which Sentry's.
fn print_difference(name: &str, input: &[u8], expected: &Value) {
    let event = event::store::parse_event(input, None).unwrap();
    let explanation = explain(&event, &config(&serde_json::from_slice(input).unwrap()));
    eprintln!(
        "differs: {name}: found {:?}, wanted {}",
        explanation.hashes, expected["hashes"]
    );
    for variant in explanation
        .variants
        .iter()
        .filter(|variant| variant.hash.is_some())
    {
        let mut values = Vec::new();
        variant
            .nodes
            .iter()
            .for_each(|node| collect(node, &mut values));
        eprintln!("  {} found  {values:?}", variant.name);
    }
    for (variant, values) in expected["values"].as_object().into_iter().flatten() {
        eprintln!("  {variant} wanted {values}");
    }
}

fn collect<'n>(node: &'n Node, values: &mut Vec<&'n str>) {
    if node.contributes {
        values.extend(node.value.as_deref());
        node.children
            .iter()
            .for_each(|child| collect(child, values));
    }
}

fn grouped(input: &[u8]) -> Group {
    let event: Event<'_> = event::store::parse_event(input, None).unwrap();
    group(&event, &config(&serde_json::from_slice(input).unwrap()))
}

/// The project's rules that were in force when the expected hashes were made stand in the event.
fn config(input: &Value) -> Config {
    let enhancements = input["_grouping"]["enhancements"]
        .as_str()
        .unwrap_or_default();
    let rules = input["_fingerprinting_rules"]
        .as_array()
        .into_iter()
        .flatten()
        .map(fingerprint_rule);
    Config::default()
        .with_enhancements(enhancements)
        .unwrap()
        .with_fingerprint_rules(rules)
}

fn fingerprint_rule(rule: &Value) -> FingerprintRule {
    let pairs = rule["matchers"].as_array().unwrap().iter().map(|pair| {
        let pair = texts(pair);
        (pair[0], pair[1])
    });
    let values = texts(&rule["fingerprint"]).into_iter().map(str::to_owned);
    FingerprintRule::new(pairs, values, None).unwrap()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("SENTRY_NOTICE_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let grouping = root.join("grouping");
    let exists = grouping.join("expected.json").exists();
    if !exists {
        eprintln!("skipped: ../shared/corpus not found");
    }
    exists.then_some(grouping)
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
