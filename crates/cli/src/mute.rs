//! `mute`: lists, sets and removes mutes of a proxy that runs, through its admin pages.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use testkit::SdkRequest;

use crate::admin_address::reachable;
use crate::args::{MuteAddArguments, MuteArguments, MuteCommand};
use crate::report::{fail, hint, load, print, refuse, say};

pub(crate) fn mute(arguments: &MuteArguments) -> ExitCode {
    let desk = match Desk::of(arguments) {
        Ok(desk) => desk,
        Err(code) => return code,
    };
    let done = match &arguments.command {
        MuteCommand::List { json } => desk.list(*json),
        MuteCommand::Add(wanted) => desk.add(wanted),
        MuteCommand::Remove { ids } => desk.remove(ids),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

/// The admin pages of a proxy.
struct Desk {
    address: SocketAddr,
    token: Option<String>,
}

impl Desk {
    /// Finds the pages by the flags, or by the configuration where these say nothing.
    fn of(arguments: &MuteArguments) -> Result<Self, ExitCode> {
        // A token among the arguments can be seen by everybody on the machine.
        let token = arguments.token.clone();
        let token = token.or_else(|| std::env::var("SENTRY_NOTICE__ADMIN__TOKEN").ok());
        if let Some(url) = &arguments.admin {
            let address = address(url)?;
            return Ok(Self { address, token });
        }
        let loaded = load(&arguments.config.sources()).inspect_err(|_| {
            hint("name the proxy's configuration with --config, or its admin pages with --admin");
        })?;
        let admin = loaded.config.admin;
        let address = reachable(admin.listen);
        let token = token.or_else(|| admin.token.map(|token| token.reveal().to_owned()));
        Ok(Self { address, token })
    }

    fn list(&self, as_json: bool) -> Result<(), ExitCode> {
        let mutes = self.call("GET", "/api/mutes", None)?;
        if as_json {
            print(&mutes);
            return Ok(());
        }
        let mutes = mutes.as_array().cloned().unwrap_or_default();
        if mutes.is_empty() {
            print("nothing is muted");
        }
        mutes.iter().for_each(describe);
        Ok(())
    }

    fn add(&self, wanted: &MuteAddArguments) -> Result<(), ExitCode> {
        let set = self.call("POST", "/api/mutes", Some(body_of(wanted)?))?;
        describe(&set);
        Ok(())
    }

    /// Tries every id, and fails when one was not there.
    fn remove(&self, ids: &[String]) -> Result<(), ExitCode> {
        let removed = ids.iter().map(|id| {
            let path = format!("/api/mutes/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
            self.call("DELETE", &path, None)?;
            print(format!("removed {id}"));
            Ok(())
        });
        removed.fold(Ok(()), Result::and)
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, ExitCode> {
        let mut request = SdkRequest::new(method, path);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(body) = body {
            let ty = "application/json";
            request = request.header("Content-Type", ty).body(body.to_string());
        }
        let answer = self.send(&request)?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.json());
        }
        let said = answer.json();
        let text = String::from_utf8_lossy(&answer.body);
        let detail = said["detail"].as_str().unwrap_or(text.trim());
        say(format!("the proxy answered {}: {detail}", answer.status));
        match (answer.status, said["hint"].as_str()) {
            (401, _) => hint(
                "give the token of `admin.token` with --token, or instead of --admin name the proxy's configuration with --config",
            ),
            (_, Some(text)) if !text.is_empty() => hint(text),
            _ => {}
        }
        Err(ExitCode::FAILURE)
    }

    fn send(&self, request: &SdkRequest) -> Result<testkit::Response, ExitCode> {
        let runtime = crate::run::runtime().map_err(|error| fail(&error))?;
        let asking = runtime.block_on(async {
            tokio::time::timeout(PATIENCE, testkit::send(self.address, request)).await
        });
        let unreachable = |code| {
            let address = self.address;
            hint(&format!(
                "is `sentry-notice run` running, and are its admin pages at {address}? Say --config or --admin"
            ));
            code
        };
        match asking {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unreachable(fail(&error))),
            Err(_) => {
                say(format!("no answer from {} in {PATIENCE:?}", self.address));
                Err(unreachable(ExitCode::FAILURE))
            }
        }
    }
}

/// Returns what the API is asked for.
fn body_of(wanted: &MuteAddArguments) -> Result<Value, ExitCode> {
    let mut body = Map::new();
    let texts = [
        ("issue", &wanted.issue),
        ("for", &wanted.lasts),
        ("until", &wanted.until),
        ("comment", &wanted.comment),
    ];
    for (key, value) in texts {
        body.extend(value.clone().map(|value| (key.to_owned(), value.into())));
    }
    let by = wanted.by.clone().or_else(|| std::env::var("USER").ok());
    let by = by.filter(|by| !by.is_empty());
    body.insert(
        "by".to_owned(),
        by.unwrap_or_else(|| "cli".to_owned()).into(),
    );
    let mut conditions = Map::new();
    for condition in &wanted.conditions {
        let Some((key, pattern)) = condition.split_once('=') else {
            let right = "a key of `match` and a pattern, such as --match 'title=*timeout*'";
            return Err(refuse(&format!("`{condition}` is no condition"), right));
        };
        let patterns = conditions
            .entry(key.trim())
            .or_insert_with(|| Vec::<Value>::new().into());
        if let Value::Array(patterns) = patterns {
            patterns.push(pattern.trim().into());
        }
    }
    if !conditions.is_empty() {
        body.insert("match".to_owned(), conditions.into());
    }
    Ok(body.into())
}

/// `match-0a1b2c3d  title = "*timeout*"`, then when and who.
fn describe(mute: &Value) {
    let text = |key: &str| mute[key].as_str().unwrap_or_default().to_owned();
    let id = mute["id"].as_str().unwrap_or("(proxy.toml)");
    print(format!("{id}  {}", text("what")));
    let until = match mute["until"].as_str() {
        Some(until) => format!("until {until}"),
        None => "until it is removed".to_owned(),
    };
    let since = mute["since"].as_str();
    let since = since.map_or_else(String::new, |since| format!(", since {since}"));
    let comment = Some(text("comment")).filter(|comment| !comment.is_empty());
    let comment = comment.map_or_else(String::new, |comment| format!(": {comment}"));
    print(format!("    {until}{since}, by {}{comment}", text("by")));
}

/// Reads `http://127.0.0.1:9011`, also without the scheme.
fn address(url: &str) -> Result<SocketAddr, ExitCode> {
    let bare = url.strip_prefix("http://").unwrap_or(url);
    let bare = bare.trim_end_matches('/');
    let mut found = bare.to_socket_addrs().ok();
    found.as_mut().and_then(Iterator::next).ok_or_else(|| {
        let right = "the listener itself, by http: such as http://127.0.0.1:9011";
        refuse(&format!("`{url}` is no address of admin pages"), right)
    })
}

/// How long the proxy may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
