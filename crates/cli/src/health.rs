//! `health`: asks a running proxy how it is, as HEALTHCHECK and exec probes do. No runtime, one connection, one deadline.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::admin_address::reachable;
use crate::args::HealthArguments;
use crate::report::{print, say};

pub(crate) fn health(arguments: &HealthArguments) -> ExitCode {
    let target = match target(arguments) {
        Ok(target) => target,
        Err(code) => return code,
    };
    match ask(&target, Duration::from_secs(arguments.timeout)) {
        Ok(Answer { status: 200, words }) => {
            print(format!("{target} answers 200: {words}"));
            ExitCode::SUCCESS
        }
        Ok(Answer { status, words }) => {
            say(format!("`{target}` answers {status}: {words}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(format!("cannot ask `{target}`"));
            say(format!("  because: {error}"));
            say("    hint: `sentry-notice run` must be up, and its `admin.listen` this address");
            ExitCode::FAILURE
        }
    }
}

/// Where to ask, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    authority: String,
    path: String,
}

struct Answer {
    status: u16,
    words: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "http://{}{}", self.authority, self.path)
    }
}

fn target(arguments: &HealthArguments) -> Result<Target, ExitCode> {
    let question = if arguments.alive {
        "/healthz"
    } else {
        "/readyz"
    };
    if let Some(url) = &arguments.url {
        return parse(url, question).ok_or_else(|| {
            say(format!("cannot read --url `{url}`"));
            say("    hint: such as http://127.0.0.1:9011; the admin pages speak plain http");
            ExitCode::FAILURE
        });
    }
    let sources = arguments.config.sources();
    match app::admin_address(&sources) {
        Ok(address) => Ok(Target {
            authority: reachable(address).to_string(),
            path: question.to_owned(),
        }),
        Err(problems) => {
            problems.iter().for_each(say);
            Err(ExitCode::FAILURE)
        }
    }
}

/// Reads `http://host:port`, with a path if another one than usual is to be asked.
fn parse(url: &str, question: &str) -> Option<Target> {
    let rest = url.trim().strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if authority.is_empty() || authority.contains('@') || !is_plain(rest) {
        return None;
    }
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let path = if matches!(path, "" | "/") {
        question.to_owned()
    } else {
        path.to_owned()
    };
    Some(Target { authority, path })
}

fn ask(target: &Target, patience: Duration) -> io::Result<Answer> {
    let deadline = Instant::now() + patience;
    let mut stream = connect(&target.authority, deadline)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        target.path, target.authority
    );
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while answer.len() < LONGEST {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            Err(error) => return Err(error),
        }
    }
    read_answer(&answer).ok_or_else(|| io::Error::other("what answers there does not speak HTTP"))
}

fn connect(authority: &str, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(late());
    }
    Ok(left)
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// Reads the status and the first line of the body.
fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.split(' ');
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = words.next()?.get(..3)?.parse().ok()?;
    let words = body.lines().next().unwrap_or_default();
    let words = words.chars().filter(|character| !character.is_control());
    Some(Answer {
        status,
        words: words.take(WORDS).collect(),
    })
}

/// Bytes of an answer that are read at most.
const LONGEST: usize = 64 << 10;

/// Characters of an answer that are shown.
const WORDS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_the_usual_path_unless_the_url_has_one() {
        let cases = [
            (
                "http://127.0.0.1:9011",
                Some("http://127.0.0.1:9011/readyz"),
            ),
            ("http://[::1]:9011/", Some("http://[::1]:9011/readyz")),
            ("http://admin/x", Some("http://admin:80/x")),
            ("https://127.0.0.1:9011", None),
            ("127.0.0.1:9011", None),
            ("http://", None),
            ("http://a b:1", None),
            ("http://a:1/\r\nX: y", None),
        ];

        for (url, expected) in cases {
            let target = parse(url, "/readyz").map(|target| target.to_string());
            assert_eq!(target.as_deref(), expected, "{url}");
        }
    }
}
