//! Gathers the sources of the configuration and reads them as one.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::problem::{Origin, Problem};
use super::read;
use super::secret::Environment;
use super::section::{Findings, Section};
use super::tree::{self, Node, Table, Value};
use super::units::address;
use super::{AdminConfig, Config};

/// Where the configuration comes from, weakest first.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file the user named.
    pub file: Option<PathBuf>,
    /// A text that stands in for the file: the name it goes by, and the text.
    pub text: Option<(String, String)>,
    /// The environment of the process.
    pub environment: Vec<(String, String)>,
    /// Flags: the flag, the dotted key it sets, the value.
    pub flags: Vec<(&'static str, &'static str, String)>,
    /// Values of a command's own that stand in for keys nobody set: the dotted key, the value.
    pub fallbacks: Vec<(&'static str, String)>,
}

/// A configuration that may be used, and what is worth knowing about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Things that do no harm, but that the operator should know.
    pub warnings: Vec<Problem>,
}

impl Sources {
    /// Returns the sources of a process: a file (`proxy.toml` here, if it exists and none was named) and its environment.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let usual = PathBuf::from(USUAL_FILE);
        Self {
            text: None,
            file: file.or_else(|| usual.exists().then_some(usual)),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            flags: Vec::new(),
            fallbacks: Vec::new(),
        }
    }
}

impl Loaded {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Every problem there is, in the order of the file's lines; trying again helps only after mending them.
    pub fn read(sources: &Sources) -> Result<Self, Vec<Problem>> {
        Self::read_with_keys(sources).0
    }

    /// Reads the configuration, and also returns every dotted key that was looked for and is obeyed.
    pub(super) fn read_with_keys(
        sources: &Sources,
    ) -> (Result<Self, Vec<Problem>>, BTreeSet<String>) {
        let findings = Findings::default();
        let mut table = read_file(sources, &findings);
        tree::overlay_environment(&mut table, sources.environment.iter().cloned());
        for (flag, key, value) in &sources.flags {
            tree::overlay(&mut table, &path(key), text(value, Origin::Flag(flag)));
        }
        for (key, value) in &sources.fallbacks {
            tree::underlay(&mut table, &path(key), text(value, Origin::Missing));
        }

        let environment: Environment = sources.environment.iter().cloned().collect();
        let mut config = read::config(Section::root(table, findings.clone()), &environment);
        let (problems, warnings) = findings.take();
        config.warnings = warnings.iter().map(ToString::to_string).collect();
        let loaded = if problems.is_empty() {
            Ok(Self { config, warnings })
        } else {
            Err(problems)
        };
        (loaded, findings.keys())
    }
}

/// Returns where a process with these sources serves its admin pages, whatever else they say.
///
/// A process goes on when its file is changed into one that it would refuse; who asks how it is must not stumble over that.
///
/// # Errors
/// What keeps the address from being read.
pub fn admin_address(sources: &Sources) -> Result<SocketAddr, Vec<Problem>> {
    let findings = Findings::default();
    let mut table = read_file(sources, &findings);
    tree::overlay_environment(&mut table, sources.environment.iter().cloned());
    let default = AdminConfig::default().listen;
    let mut admin = Section::root(table, findings.clone()).section("admin");
    let listen = admin.read("listen", default, address);
    let (problems, _) = findings.take();
    if problems.is_empty() {
        Ok(listen)
    } else {
        Err(problems)
    }
}

fn path(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

fn text(value: &str, origin: Origin) -> Node {
    Node {
        value: Value::Text(value.to_owned()),
        origin,
    }
}

fn read_file(sources: &Sources, findings: &Findings) -> Table {
    let (file, text) = match (&sources.text, &sources.file) {
        (Some(named), _) => named.clone(),
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => (path.display().to_string(), text),
            Err(error) => {
                findings.problem(unreadable(&path.display().to_string(), &error));
                return Table::new();
            }
        },
        (None, None) => return Table::new(),
    };
    let (table, problems) = tree::parse(&file, &text);
    for problem in problems {
        findings.problem(problem);
    }
    table
}

fn unreadable(file: &str, error: &std::io::Error) -> Problem {
    let hint = match error.kind() {
        ErrorKind::NotFound => "name the file with --config",
        ErrorKind::PermissionDenied => "let the user that runs sentry-notice read it",
        ErrorKind::InvalidData => "the file must be UTF-8",
        _ => "",
    };
    Problem {
        origin: Origin::Missing,
        key: String::new(),
        what: format!("cannot read `{file}`: {error}"),
        hint: hint.to_owned(),
    }
}

/// The file that is read when none is named.
const USUAL_FILE: &str = "proxy.toml";
