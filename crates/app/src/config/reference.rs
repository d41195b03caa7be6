//! Keeps docs/configuration.md what proxy.toml says; and other tests keep proxy.toml what the code says.
//!
//! `UPDATE=1 cargo test -p app reference` writes the page anew.

use std::path::Path;

use super::units;

#[test]
fn the_reference_is_what_the_shipped_file_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let meant = render(&read(SHIPPED));

    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, &meant).unwrap();
    }

    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == meant,
        "docs/configuration.md is not what proxy.toml says\nhint: UPDATE=1 cargo test -p app reference"
    );
}

#[test]
fn the_reference_has_every_key_that_is_obeyed() {
    let sections = read(SHIPPED);
    let sources = super::Sources {
        text: Some(("proxy.toml".to_owned(), SHIPPED.to_owned())),
        ..super::Sources::default()
    };
    let (_, obeyed) = super::Loaded::read_with_keys(&sources);

    let missing: Vec<String> = obeyed
        .into_iter()
        .filter(|dotted| {
            let (section, key) = dotted.rsplit_once('.').unwrap_or(("", dotted));
            // Those that are tables of their own, and the other ways to give a secret or a robot.
            let is_elsewhere =
                key.ends_with("_file") || matches!(key, "robots" | "robot" | "project");
            !is_elsewhere
                && !sections.iter().any(|one| {
                    one.path() == section && one.keys.iter().any(|known| known.name == key)
                })
        })
        .collect();

    assert_eq!(missing, [""; 0]);
}

/// A table of the file, with the words above its keys.
struct Section {
    /// `[spool]`, `[[mute]]`; empty for the top of the file.
    header: String,
    intro: String,
    keys: Vec<Key>,
}

struct Key {
    name: String,
    value: String,
    /// Whether the file sets it; otherwise the value is an example.
    is_set: bool,
    words: String,
}

impl Section {
    fn path(&self) -> &str {
        self.header.trim_matches(['[', ']'])
    }
}

fn read(text: &str) -> Vec<Section> {
    let top = Section {
        header: String::new(),
        intro: String::new(),
        keys: Vec::new(),
    };
    let (mut sections, mut prose) = (vec![top], String::new());
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_set = !line.starts_with('#');
        let section = sections.last_mut().unwrap();
        if bare.starts_with('[') {
            let (header, words) = split_comment(bare);
            join(&mut prose, words);
            sections.push(Section {
                header: header.to_owned(),
                intro: std::mem::take(&mut prose),
                keys: Vec::new(),
            });
        } else if let Some((name, rest)) = bare.split_once(" = ").filter(|(name, _)| is_key(name)) {
            let (value, words) = split_comment(rest);
            join(&mut section.intro, &std::mem::take(&mut prose));
            section.keys.push(Key {
                name: name.to_owned(),
                value: value.to_owned(),
                is_set,
                words: words.to_owned(),
            });
        } else if let Some(words) = continuation(line) {
            join(&mut section.keys.last_mut().unwrap().words, words);
        } else if line.is_empty() {
            // Words with nothing below them belong to what is above.
            join(&mut section.intro, &std::mem::take(&mut prose));
        } else {
            join(&mut prose, bare);
        }
    }
    sections
}

fn is_key(name: &str) -> bool {
    let is_plain = |one: char| one.is_ascii_lowercase() || one == '_' || one == '-';
    !name.is_empty() && name.chars().all(is_plain)
}

/// Splits `value   # words`; a `#` inside of a value has no blanks before it.
fn split_comment(text: &str) -> (&str, &str) {
    let (value, words) = text.split_once("  #").unwrap_or((text, ""));
    (value.trim(), words.trim())
}

/// Returns the words of a line that goes on with the comment of the line above.
fn continuation(line: &str) -> Option<&str> {
    let indented = line.strip_prefix('#').unwrap_or(line);
    let words = indented.strip_prefix("    ")?.trim_start();
    words.strip_prefix('#').map(str::trim)
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

fn render(sections: &[Section]) -> String {
    let mut page = HEAD.to_owned();
    for section in sections {
        let title = match section.header.as_str() {
            "" => "Top of the file".to_owned(),
            header => format!("`{header}`"),
        };
        page.push_str(&format!("\n## {title}\n"));
        if !section.intro.is_empty() {
            page.push_str(&format!("\n{}\n", section.intro));
        }
        if section.keys.is_empty() {
            continue;
        }
        let is_example = section.keys.iter().all(|key| !key.is_set);
        let third = if is_example {
            "default, or an example"
        } else {
            "default"
        };
        page.push_str(&format!(
            "\n| key | type | {third} | what |\n|---|---|---|---|\n"
        ));
        for key in &section.keys {
            let default = if key.is_set || is_example {
                format!("`{}`", key.value)
            } else {
                format!("not set; such as `{}`", key.value)
            };
            let (name, kind) = (&key.name, kind(&key.value));
            let cells = [
                format!("`{name}`"),
                kind.to_owned(),
                default,
                key.words.clone(),
            ];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            page.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }
    page
}

/// Names the kind of a value as the reader of values sees it.
fn kind(value: &str) -> &'static str {
    let node = |text: &str| super::tree::Node {
        value: super::tree::Value::Text(text.to_owned()),
        origin: super::Origin::Missing,
    };
    match value.chars().next() {
        Some('[') => "list",
        Some('{') => "table",
        Some('t' | 'f') => "true or false",
        Some('"') => {
            let inner = value.trim_matches('"');
            let is_number = inner.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number && units::duration(&node(inner)).is_ok() {
                "duration"
            } else if !is_number && units::size(&node(inner)).is_ok() {
                "size"
            } else {
                "text"
            }
        }
        _ => "number",
    }
}

const HEAD: &str = "# Configuration

Every key of [`proxy.toml`](../proxy.toml), as the shipped file says it. This page is generated from that file, which a test compares with the program; do not edit it.

- A flag wins over the environment, the environment over the file, the file over the default. `SENTRY_NOTICE__UPSTREAM__URL` sets `upstream.url`: two underscores a level, in any case.
- Unknown keys are errors, with the nearest known key as a hint. `sentry-notice check` reports every problem at once, with its line.
- Durations: `500ms`, `90s`, `5m`, `1h30m`, `7d`. Sizes: `512KiB`, `64MiB`, `2GiB`. A list may be one text with commas in the environment.
- Every secret (`webhook`, `secret`, `token`, `mute_key`, `state.url`) may be `${ENVIRONMENT_VARIABLE}`, or stand in a file of its own that the same key with `_file` names.
- SIGHUP reads the file anew. Some keys cannot change while the program runs: `listen`, `threads`, `robot`, `admin` (but for `public_url`), `spool` (but for `refresh_sent_at`), `tee.memory`, `state`, `log`. A file that changes one of them is not put in force, and the log names the first.
";

const SHIPPED: &str = include_str!("../../../../proxy.toml");
