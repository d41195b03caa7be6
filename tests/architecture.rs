//! The house keeps its arrows: which crate may depend on which, and who may use which outside crate.
//!
//! The tables are those of docs/architecture.md.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

#[test]
fn our_crates_depend_only_along_the_arrows() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();

    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let Some(allowed) = arrows.get(package.name.as_str()) else {
            wrong.push(format!("crate `{}` has no row in the table", package.name));
            continue;
        };
        for name in dependencies(package).filter(|name| ours.contains(name)) {
            if !allowed.contains(&name) {
                wrong.push(format!("`{}` must not depend on `{name}`", package.name));
            }
        }
    }

    assert_eq!(wrong, [""; 0], "change the plan first: docs/decisions");
}

#[test]
fn outside_crates_are_used_only_where_the_plan_says() {
    let metadata = metadata();
    let owners: BTreeMap<&str, &[&str]> = OWNERS.iter().copied().collect();

    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        for name in dependencies(package) {
            let is_owner = owners
                .get(name)
                .is_none_or(|owners| owners.contains(&package.name.as_str()));
            if !is_owner {
                wrong.push(format!("`{}` must not use `{name}`", package.name));
            }
        }
    }

    assert_eq!(wrong, [""; 0], "change the plan first: docs/decisions");
}

#[test]
fn the_workspace_is_the_eleven_crates_of_the_plan() {
    let metadata = metadata();

    let found: BTreeSet<&str> = metadata
        .workspace_packages()
        .into_iter()
        .map(|package| package.name.as_str())
        .collect();

    let planned: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, planned);
}

#[test]
fn versions_with_known_framing_bugs_stay_out() {
    let metadata = metadata();
    let floors = [("hyper", (1, 11, 0)), ("h2", (0, 4, 16))];

    for (name, floor) in floors {
        let found: Vec<_> = metadata
            .packages
            .iter()
            .filter(|package| package.name.as_str() == name)
            .collect();

        assert!(!found.is_empty(), "{name} is gone; mend this test");
        for package in found {
            let version = (
                package.version.major,
                package.version.minor,
                package.version.patch,
            );
            assert!(
                version >= floor,
                "{name} {} is older than {floor:?}",
                package.version
            );
        }
    }
}

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(["--locked".to_owned(), "--offline".to_owned()])
        .exec()
        .expect("cargo metadata reads the workspace that was just built")
}

/// Names of everything a crate needs to run; what only its tests need is not bound by the plan.
fn dependencies(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.as_str())
}

/// Each crate and those of ours it may depend on.
const ARROWS: [(&str, &[&str]); 11] = [
    ("event", &[]),
    ("grouping", &["event"]),
    ("state", &[]),
    ("alert", &["event", "grouping", "state"]),
    ("dingtalk", &["alert", "event"]),
    ("spool", &[]),
    ("proxy", &["event", "spool"]),
    ("admin", &["alert", "state"]),
    (
        "app",
        &[
            "admin", "alert", "dingtalk", "event", "grouping", "proxy", "spool", "state",
        ],
    ),
    ("cli", &["app", "testkit"]),
    (
        "testkit",
        &[
            "admin", "alert", "app", "dingtalk", "event", "grouping", "proxy", "spool", "state",
        ],
    ),
];

/// Outside crates that only some of ours may use.
const OWNERS: [(&str, &[&str]); 29] = [
    ("anyhow", &["cli"]),
    ("askama", &["admin"]),
    ("axum", &["admin"]),
    ("base64", &["event", "dingtalk", "testkit"]),
    ("brotli", &["event"]),
    ("brotli-decompressor", &["event"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("flate2", &["event", "testkit"]),
    ("hashbrown", &["state"]),
    ("hmac", &["alert", "dingtalk", "testkit"]),
    ("hyper", &["proxy", "admin", "testkit"]),
    ("hyper-util", &["proxy", "admin", "testkit"]),
    ("libdeflater", &["event"]),
    ("md-5", &["grouping"]),
    ("rmp-serde", &["event"]),
    ("minijinja", &["dingtalk"]),
    ("postcard", &["spool", "state"]),
    ("redb", &["state"]),
    ("redis", &["state"]),
    ("reqwest", &["dingtalk"]),
    ("rustls", &["proxy", "admin", "app", "dingtalk", "testkit"]),
    ("sd-notify", &["cli"]),
    ("toml", &["app"]),
    ("tokio-rustls", &["proxy", "testkit"]),
    ("tracing-subscriber", &["app"]),
    ("xxhash-rust", &["grouping", "spool"]),
    ("zstd", &["event"]),
];
