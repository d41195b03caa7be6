//! Tells the program which commit it is built from, for `--version`: what `SENTRY_NOTICE_COMMIT` says, else what the
//! checkout's `.git` says. The git program is not needed.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={COMMIT}");
    let given = env::var(COMMIT).ok().filter(|commit| !commit.is_empty());
    let version = env!("CARGO_PKG_VERSION");
    let version = match given.or_else(commit_of_checkout) {
        Some(commit) => format!("{version} ({})", shorten(&commit)),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=SENTRY_NOTICE_VERSION={version}");
}

fn shorten(commit: &str) -> String {
    let is_safe =
        |character: &char| character.is_ascii_alphanumeric() || "._-".contains(*character);
    commit.chars().filter(is_safe).take(SHOWN).collect()
}

/// Returns the commit that is checked out; `None` outside a checkout.
fn commit_of_checkout() -> Option<String> {
    let git = git_directory(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../.git"
    )))?;
    let head = read(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else {
        return Some(head);
    };
    // A linked worktree keeps its HEAD for itself and shares the branches.
    let shared = read(&git.join("commondir")).map_or_else(|| git.clone(), |path| git.join(path));
    read(&git.join(name))
        .or_else(|| read(&shared.join(name)))
        .or_else(|| packed(&read(&shared.join("packed-refs"))?, name))
}

/// Follows the file that stands in for the directory in a linked worktree.
fn git_directory(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    read(path)?.strip_prefix("gitdir: ").map(PathBuf::from)
}

fn packed(refs: &str, name: &str) -> Option<String> {
    let found = refs.lines().find_map(|line| {
        let (commit, known) = line.split_once(' ')?;
        (known == name).then_some(commit)
    });
    found.map(str::to_owned)
}

/// Reads a file of one value, and asks cargo to come back when it changes.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text.trim().to_owned())
}

const COMMIT: &str = "SENTRY_NOTICE_COMMIT";

/// Characters of a commit that are shown.
const SHOWN: usize = 12;
