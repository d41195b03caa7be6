//! Heads that have come before: an SDK writes the same one again and again, but for the length of the body.
//!
//! What a head leads to depends on its bytes and on the settings alone. So what was found once holds for every head that
//! differs in the digits of `Content-Length` only, and need not be found again. What depends on the connection, such as
//! the client's address, is no part of it.
//! Why: docs/decisions/0034-heads-that-have-come-before.md.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use super::request::Plain;
use crate::screen::head::{Checked, Follows};

/// The heads that one thread has come across under one configuration.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// Those that came last are in front.
    familiar: RefCell<Vec<Rc<Familiar>>>,
    /// How many strange ones there were.
    strange: Cell<u32>,
    /// How many since the last familiar one.
    in_a_row: Cell<u32>,
}

/// A plain head that has come before.
#[derive(Debug)]
pub(crate) struct Familiar {
    /// As the client wrote it.
    came: Template,
    /// As Sentry gets it, but for what every request gets added at the end.
    goes: Template,
    plain: Plain,
}

/// A text in which some digits change.
#[derive(Debug)]
struct Template {
    text: Box<[u8]>,
    /// Where they stand; at its end if there are none.
    digits: Range<usize>,
}

impl Heads {
    /// Returns what is known of the head that `bytes` start with. Where one strange head follows another, few are looked
    /// for.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<Rc<Familiar>> {
        let in_a_row = self.in_a_row.get();
        // Once there are many, they stay many.
        self.in_a_row.set(in_a_row.checked_add(1).unwrap_or(MANY));
        if in_a_row >= MANY && !in_a_row.is_multiple_of(LOOKED_FOR) {
            return None;
        }
        let mut familiar = self.familiar.borrow_mut();
        let place = familiar.iter().position(|known| known.came.fits(bytes))?;
        self.in_a_row.set(0);
        familiar[..=place].rotate_right(1);
        familiar.first().map(Rc::clone)
    }

    /// Returns whether it is one of these, and not of those of other settings.
    pub(crate) fn hold(&self, familiar: &Rc<Familiar>) -> bool {
        let all = self.familiar.borrow();
        all.iter().any(|known| Rc::ptr_eq(known, familiar))
    }

    /// Remembers what was found about a head that was not familiar: `goes` is how it starts on its way to Sentry.
    ///
    /// Where there are more different heads than fit in here, most are not worth the memory of one that is.
    pub(crate) fn remember(&self, came: &[u8], goes: &[u8], plain: &Plain) {
        if came.len() > MAX_LENGTH || plain.passed.names_client() {
            return;
        }
        let strange = self.strange.replace(self.strange.get().wrapping_add(1));
        let mut familiar = self.familiar.borrow_mut();
        let is_full = familiar.len() == MAX_COUNT;
        if is_full && !strange.is_multiple_of(REMEMBERED) {
            return;
        }
        // It may not have been looked for.
        if familiar.iter().any(|known| known.came.fits(came)) {
            return;
        }
        if is_full {
            familiar.pop();
        }
        familiar.insert(0, Rc::new(Familiar::of(came, goes, plain)));
    }
}

impl Familiar {
    fn of(came: &[u8], goes: &[u8], plain: &Plain) -> Familiar {
        let (lines, length) = (plain.lines, plain.passed.length.as_ref());
        let in_head = |place: &Range<usize>| lines + place.start..lines + place.end;
        Familiar {
            came: Template::of(came, length.map(|length| in_head(&length.came))),
            goes: Template::of(goes, length.map(|length| length.goes.clone())),
            plain: plain.clone(),
        }
    }

    /// Returns the length of the head that `bytes` start with, and what the check of every head would say about it.
    pub(crate) fn check(&self, bytes: &[u8]) -> (usize, Checked) {
        let digits = &bytes[self.came.digits.clone()];
        let length = digits
            .iter()
            .fold(0, |length, digit| length * 10 + u64::from(digit - b'0'));
        let follows = if self.plain.passed.seen.is_chunked {
            Follows::Chunks
        } else {
            Follows::Length(length)
        };
        let checked = Checked {
            follows,
            expects_continue: false,
        };
        (self.came.text.len(), checked)
    }

    /// Writes such a head as Sentry gets it, but for what is added at its end; returns what else there is to know.
    pub(crate) fn write(&self, head: &[u8], out: &mut Vec<u8>) -> Plain {
        let digits = self.goes.digits.clone();
        out.extend_from_slice(&self.goes.text);
        out[digits].copy_from_slice(&head[self.came.digits.clone()]);
        self.plain.clone()
    }
}

impl Template {
    fn of(head: &[u8], digits: Option<Range<usize>>) -> Template {
        Template {
            digits: digits.unwrap_or(head.len()..head.len()),
            text: head.into(),
        }
    }

    /// Returns whether `bytes` start with the text, with the same digits or as many others.
    fn fits(&self, bytes: &[u8]) -> bool {
        let Range { start, end } = self.digits;
        let Some(head) = bytes.get(..self.text.len()) else {
            return false;
        };
        head[..start] == self.text[..start]
            && head[end..] == self.text[end..]
            && head[start..end].iter().all(u8::is_ascii_digit)
    }
}

/// Heads that a thread remembers: some SDKs, some projects, lengths of three, four and five digits.
const MAX_COUNT: usize = 16;

/// One strange head of so many takes the place of a familiar one.
const REMEMBERED: u32 = 32;

/// After so many strange heads in a row, looking for familiar ones is not worth while.
const MANY: u32 = 32;

/// Then one of so many is looked for.
const LOOKED_FOR: u32 = 8;

/// Bytes of the longest head that is remembered.
const MAX_LENGTH: usize = 2 << 10;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderValue;

    use super::super::measurer::Measurer;
    use super::super::request::Request;
    use super::*;
    use crate::config::{ClientIp, Config};
    use crate::connection::Client;
    use crate::headers::Forwarded;
    use crate::metrics::Metrics;
    use crate::patrol::Patrol;
    use crate::plan::Plan;
    use crate::tap;
    use crate::worker::Worker;

    const HEAD: &str =
        "POST /api/1/envelope/ HTTP/1.1\r\nHost: proxy.test\r\nContent-Length: 217\r\nA: b\r\n\r\n";

    fn config(client_ip: ClientIp) -> Config {
        let mut config = Config::default();
        config.upstream.url = "http://sentry.test/under".parse().unwrap();
        config.forward.client_ip = client_ip;
        config
    }

    fn worker(config: Config) -> Worker {
        let plan = Plan::new(config).unwrap();
        Worker::new(plan, tap::channel(1).0, Arc::new(Metrics::new()), None)
    }

    fn client(peer: &'static str) -> Client {
        Client {
            peer: format!("{peer}:1").parse().unwrap(),
            forwarded: Forwarded {
                peer: HeaderValue::from_static(peer),
                protocol: HeaderValue::from_static("http"),
            },
            activity: Rc::clone(&Patrol::new().register().activity),
        }
    }

    /// Reads a whole request; returns all that is found out about it.
    fn read(worker: &Worker, client: &Client, head: &str, body: &str) -> Option<String> {
        let (bytes, settings) = (format!("{head}{body}"), worker.settings());
        let (bytes, mut measurer) = (bytes.as_bytes(), Measurer::default());
        let measured = measurer.measure(bytes, 0, &settings.heads, 8 << 10);
        let familiar = measurer.into_familiar();
        let read = Request::read(worker, settings, client, bytes, head.len(), familiar)?;
        let text = String::from_utf8(read.bytes.to_vec()).unwrap();
        let target = &text[read.target.clone()];
        let found = (read.endpoint, read.label, &read.method, &read.seen);
        Some(format!(
            "{measured:?} {found:?} {target} {} {text}",
            read.body
        ))
    }

    fn count(worker: &Worker) -> usize {
        worker.settings().heads.familiar.borrow().len()
    }

    fn is_familiar(worker: &Worker, head: &str) -> bool {
        let settings = worker.settings();
        let familiar = settings.heads.familiar.borrow();
        familiar
            .iter()
            .any(|known| known.came.fits(head.as_bytes()))
    }

    #[test]
    fn a_familiar_head_leads_to_what_a_strange_one_does() {
        let lines = [
            "POST /api/1/envelope/ HTTP/1.1",
            "POST /under/api/22/store/?sentry_key=a HTTP/1.1",
            "GET /api/1/store/?sentry_data=abc HTTP/1.1",
        ];
        let hosts = ["Host: proxy.test", "hOST:proxy.test:80  "];
        let bodies = [
            ("Content-Length: 0", "Content-Length: 7", "abcdefg"),
            (
                "content-length:  99 ",
                "content-length:  12 ",
                "abcdefghijkl",
            ),
            ("Content-Length:13", "Content-Length:13", "abcdefghijklm"),
            (
                "Transfer-Encoding: chunked",
                "Transfer-Encoding: chunked",
                "3\r\nabc\r\n0\r\n\r\n",
            ),
            ("X-Length: 7", "X-Length: 7", ""),
        ];
        let others = [
            "A: 1",
            "Content-Encoding: gzip\r\nA:",
            "content-encoding: br\r\nContent-Encoding:gzip",
            "Connection: close, x-a\r\nX-A: b",
            "X-Forwarded-For: 10.0.0.1",
            "X-Forwarded-Proto: https\r\nX-Forwarded-Host: other.test",
        ];
        for client_ip in [ClientIp::Append, ClientIp::Replace, ClientIp::Keep] {
            let names_clients =
                |other: &str| other.contains("For:") && client_ip != ClientIp::Replace;
            let cases = std::iter::repeat_n(bodies, 36).flatten().enumerate();
            for (index, (first, second, body)) in cases {
                let (line, host) = (lines[index / 60], hosts[index / 30 % 2]);
                let other = others[index / 5 % 6];
                let orders = |length| {
                    [
                        [host, length, other],
                        [other, length, host],
                        [length, host, other],
                    ]
                };
                for (first, second) in orders(first).into_iter().zip(orders(second)) {
                    let head =
                        |fields: [&str; 3]| format!("{line}\r\n{}\r\n\r\n", fields.join("\r\n"));
                    let (known, strange) = (worker(config(client_ip)), worker(config(client_ip)));
                    read(&known, &client("192.0.2.7"), &head(first), "").unwrap();

                    let (head, client) = (head(second), client("192.0.2.123"));
                    assert_eq!(
                        is_familiar(&known, &head),
                        !names_clients(other),
                        "{head:?}"
                    );
                    let expected = read(&strange, &client, &head, body);
                    assert!(expected.is_some(), "{head:?}");
                    assert_eq!(read(&known, &client, &head, body), expected, "{head:?}");
                    assert!(known.settings().heads.strange.get() <= 1, "{head:?}");
                }
            }
        }
    }

    #[test]
    fn only_other_digits_of_the_length_leave_a_head_familiar() {
        let known = worker(config(ClientIp::Append));
        let digits = HEAD.find("217").unwrap()..HEAD.find("217").unwrap() + 3;
        read(&known, &client("192.0.2.7"), HEAD, "").unwrap();

        for length in ["000", "218", "999"] {
            let other = HEAD.replace("217", length);
            let found = read(&known, &client("192.0.2.7"), &other, "").unwrap();
            assert!(is_familiar(&known, &other));
            assert!(
                found.contains(&format!("\r\nContent-Length: {length}\r\n")),
                "{found}"
            );
        }
        for at in 0..HEAD.len() {
            for byte in [b'0', b'b', b' ', b'\r', b'\n', b':', b'+'] {
                let mut other = HEAD.as_bytes().to_vec();
                other[at] = byte;
                let is_same = other == HEAD.as_bytes() || digits.contains(&at) && byte == b'0';
                let heads = &known.settings().heads;
                heads.in_a_row.set(0);
                assert_eq!(heads.find(&other).is_some(), is_same, "{at} {byte}");
            }
            assert!(!is_familiar(&known, &HEAD[..at]));
            assert!(!is_familiar(
                &known,
                &format!("{}x{}", &HEAD[..at], &HEAD[at..])
            ));
        }
    }

    #[test]
    fn what_follows_a_familiar_head_is_none_of_it() {
        let known = worker(config(ClientIp::Append));
        read(&known, &client("192.0.2.7"), HEAD, "").unwrap();

        let pipelined = format!("{}{HEAD}", HEAD.replace("217", "003"));
        let found = known.settings().heads.find(pipelined.as_bytes()).unwrap();

        let (length, checked) = found.check(pipelined.as_bytes());
        assert_eq!((length, checked.follows), (HEAD.len(), Follows::Length(3)));
    }

    #[test]
    fn heads_that_came_last_are_kept_and_few_of_very_many() {
        let known = worker(config(ClientIp::Append));
        let head = |number: usize| HEAD.replace("A: b", &format!("A: {number:05}"));
        let come = |number| drop(read(&known, &client("192.0.2.7"), &head(number), ""));

        (0..MAX_COUNT).for_each(come);
        assert!((0..MAX_COUNT).all(|number| is_familiar(&known, &head(number))));
        come(3);
        let many = REMEMBERED as usize * (MAX_COUNT - 1);
        (100..100 + many).for_each(come);

        assert_eq!(count(&known), MAX_COUNT);
        let old: Vec<_> = (0..MAX_COUNT)
            .filter(|number| is_familiar(&known, &head(*number)))
            .collect();
        assert_eq!(old, [3]);
    }

    #[test]
    fn among_strange_heads_few_are_looked_for_until_one_is_familiar() {
        let known = worker(config(ClientIp::Append));
        read(&known, &client("192.0.2.7"), HEAD, "").unwrap();
        let find = |head: &[u8]| known.settings().heads.find(head).is_some();
        assert!((0..MANY - 1).all(|_| !find(b"strange")));
        assert!(find(HEAD.as_bytes()));

        (0..1001).for_each(|_| assert!(!find(b"strange")));
        let found: Vec<_> = (0..100).map(|_| find(HEAD.as_bytes())).collect();

        let first = found.iter().position(|found| *found).unwrap();
        assert!((1..LOOKED_FOR as usize).contains(&first), "{first}");
        assert!(found[first..].iter().all(|found| *found));
    }

    #[test]
    fn a_head_that_was_not_looked_for_is_remembered_once() {
        let known = worker(config(ClientIp::Append));
        (0..MANY).for_each(|_| drop(known.settings().heads.find(b"strange")));

        (0..10).for_each(|_| drop(read(&known, &client("192.0.2.7"), HEAD, "")));

        assert_eq!(count(&known), 1);
    }

    #[test]
    fn neither_long_heads_nor_those_that_name_clients_are_kept() {
        let known = worker(config(ClientIp::Append));
        let long = HEAD.replace("A: b", &format!("A: {}", "b".repeat(MAX_LENGTH)));
        let named = HEAD.replace("A: b", "X-Forwarded-For: 10.0.0.1");

        assert!(read(&known, &client("192.0.2.7"), &long, "").is_some());
        assert!(read(&known, &client("192.0.2.7"), &named, "").is_some());

        assert_eq!(count(&known), 0);
    }

    #[test]
    fn a_head_is_strange_again_under_other_settings() {
        let known = worker(config(ClientIp::Append));
        read(&known, &client("192.0.2.7"), HEAD, "").unwrap();
        let mut closed = config(ClientIp::Append);
        closed.forward.projects = ["2".parse().unwrap()].into_iter().collect();

        // Found before the reload, asked after it.
        let before = known.settings().heads.find(HEAD.as_bytes());
        assert!(before.is_some());
        known.adopt(Plan::new(closed).unwrap());

        assert_eq!(read(&known, &client("192.0.2.7"), HEAD, ""), None);
        let (bytes, settings) = (HEAD.as_bytes(), known.settings());
        let client = client("192.0.2.7");
        let after = Request::read(&known, settings, &client, bytes, bytes.len(), before);
        assert!(after.is_none());
    }
}
