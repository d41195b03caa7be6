//! Checks a request's head before hyper parses it: what two servers could read differently is refused.
//!
//! Source: RFC 9112 §2.2, §3.2, §5.1, §5.2, §6.3 and §11.2 (request smuggling), RFC 9110 §5.6.2 (tokens) and
//! §10.1.1 (Expect).

use memchr::memchr;

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follows {
    /// A body of so many bytes; 0 for none.
    Length(u64),
    /// A chunked body.
    Chunks,
}

/// What a checked head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) follows: Follows,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
}

/// What is wrong with a request before it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum HeadFault {
    /// A line does not end in CRLF, or is folded, or is no field.
    Line,
    /// The request line is not `METHOD target HTTP/1.x`.
    RequestLine,
    /// The target is longer than any SDK's.
    TargetTooLong,
    /// The fields are too many or too long.
    FieldsTooLarge,
    /// `Host` is missing, doubled or no host.
    Host,
    /// The length of the body can be read in more than one way.
    Framing,
    /// `Expect` asks for something other than `100-continue`.
    Expectation,
    /// The head took too long.
    Timeout,
}

/// Looks for the end of a head in what has come so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct EndFinder {
    /// Where the unfinished line starts.
    line: usize,
    /// How far the unfinished line has been searched.
    searched: usize,
}

impl EndFinder {
    /// Returns the length of the head with its empty line, `None` if more must come. `head` grows from call to call.
    pub(crate) fn find(&mut self, head: &[u8]) -> Result<Option<usize>, HeadFault> {
        while let Some(at) = memchr(b'\n', &head[self.searched..]) {
            let end = self.searched + at;
            let line = &head[self.line..end];
            match line {
                b"\r" => return Ok(Some(end + 1)),
                [.., b'\r'] => {}
                _ => return Err(HeadFault::Line),
            }
            self.line = end + 1;
            self.searched = end + 1;
        }
        self.searched = head.len();
        Ok(None)
    }

    /// Returns whether the request line itself is still incomplete.
    pub(crate) fn is_in_request_line(&self) -> bool {
        self.line == 0
    }
}

/// Checks a whole head, from the request line to the empty line.
pub(crate) fn check(head: &[u8]) -> Result<Checked, HeadFault> {
    match check_start(head)? {
        Some((_, checked)) => Ok(checked),
        None => Err(HeadFault::Line),
    }
}

/// Checks the head that `bytes` start with; returns its length too, `None` when it is incomplete.
pub(crate) fn check_start(bytes: &[u8]) -> Result<Option<(usize, Checked)>, HeadFault> {
    let mut lines = Lines { rest: bytes };
    let Some(request_line) = lines.next().transpose()? else {
        return Ok(None);
    };
    let is_http_11 = check_request_line(request_line)?;
    let mut fields = Fields::default();
    for index in 0.. {
        let Some(line) = lines.next().transpose()? else {
            return Ok(None);
        };
        let length = bytes.len() - lines.rest.len();
        if index == MAX_FIELDS && !line.is_empty()
            || length - request_line.len() > MAX_FIELDS_LENGTH
        {
            return Err(HeadFault::FieldsTooLarge);
        }
        if line.is_empty() {
            return Ok(Some((length, fields.checked(is_http_11)?)));
        }
        fields.add(line)?;
    }
    Ok(None)
}

/// Whole lines without their CRLF.
struct Lines<'h> {
    rest: &'h [u8],
}

impl<'h> Iterator for Lines<'h> {
    type Item = Result<&'h [u8], HeadFault>;

    fn next(&mut self) -> Option<Result<&'h [u8], HeadFault>> {
        let end = memchr(b'\n', self.rest)?;
        let (line, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        Some(line.strip_suffix(b"\r\n").ok_or(HeadFault::Line))
    }
}

/// The fields that decide where a message ends and whom it is for.
#[derive(Default)]
struct Fields {
    host_count: usize,
    length: Option<u64>,
    is_chunked: bool,
    expects_continue: bool,
}

impl Fields {
    fn add(&mut self, line: &[u8]) -> Result<(), HeadFault> {
        let colon = memchr(b':', line).ok_or(HeadFault::Line)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) || has_control(value) {
            return Err(HeadFault::Line);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.add_host(value),
            6 if name.eq_ignore_ascii_case(b"expect") => self.add_expectation(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.add_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.add_coding(value),
            _ => Ok(()),
        }
    }

    fn add_host(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        self.host_count += 1;
        if self.host_count == 1 && is_host(value.trim_ascii()) {
            Ok(())
        } else {
            Err(HeadFault::Host)
        }
    }

    fn add_expectation(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        self.expects_continue = true;
        if value.trim_ascii().eq_ignore_ascii_case(b"100-continue") {
            Ok(())
        } else {
            Err(HeadFault::Expectation)
        }
    }

    /// One line, digits only: `+2`, `2, 2`, `0x2` and a second line are read differently by different servers.
    fn add_length(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        let digits = value.trim_ascii();
        let is_number = (1..=MAX_LENGTH_DIGITS).contains(&digits.len())
            && digits.iter().all(u8::is_ascii_digit);
        if !is_number || self.length.is_some() {
            return Err(HeadFault::Framing);
        }
        let length = digits
            .iter()
            .fold(0, |length, digit| length * 10 + u64::from(digit - b'0'));
        self.length = Some(length);
        Ok(())
    }

    fn add_coding(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.is_chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(HeadFault::Framing);
        }
        self.is_chunked = true;
        Ok(())
    }

    fn checked(&self, is_http_11: bool) -> Result<Checked, HeadFault> {
        Ok(Checked {
            follows: self.follows(is_http_11)?,
            expects_continue: self.expects_continue,
        })
    }

    fn follows(&self, is_http_11: bool) -> Result<Follows, HeadFault> {
        if self.host_count == 0 && is_http_11 {
            return Err(HeadFault::Host);
        }
        match (self.is_chunked, self.length) {
            (true, None) if is_http_11 => Ok(Follows::Chunks),
            (true, _) => Err(HeadFault::Framing),
            (false, length) => Ok(Follows::Length(length.unwrap_or(0))),
        }
    }
}

/// Returns whether the version is 1.1 (and not 1.0).
fn check_request_line(line: &[u8]) -> Result<bool, HeadFault> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HeadFault::RequestLine);
    };
    if target.len() > MAX_TARGET {
        return Err(HeadFault::TargetTooLong);
    }
    let is_method =
        (1..=MAX_METHOD).contains(&method.len()) && method.iter().all(u8::is_ascii_graphic);
    if !is_method || !is_target(method, target) {
        return Err(HeadFault::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(HeadFault::RequestLine),
    }
}

/// A path, or the forms that other refusals explain better. A fragment has no place in a request: hyper would drop it.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    let is_form = target.starts_with(b"/") || target == b"*" || method == b"CONNECT";
    is_form && memchr(b'#', target).is_none() && !has_control(target)
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .fold(true, |is_token, byte| is_token & TOKEN[usize::from(*byte)])
}

/// Looks at every byte without a branch, so that the compiler can look at many at once.
fn has_control(text: &[u8]) -> bool {
    text.iter().fold(false, |found, byte| {
        found | ((*byte < b' ') & (*byte != b'\t')) | (*byte == 0x7f)
    })
}

/// `name`, `address` or `[address]`, with an optional port.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value {
        [b'[', ..] => match memchr(b']', value) {
            Some(end) => value.split_at(end + 1),
            None => return false,
        },
        _ => value.split_at(memchr(b':', value).unwrap_or(value.len())),
    };
    let is_name = |byte: &u8| HOST[usize::from(*byte)];
    let is_address = |byte: &u8| byte.is_ascii_hexdigit() || b"[]:.%".contains(byte);
    let is_host = match host {
        [] => false,
        [b'[', ..] => host.iter().all(is_address),
        _ => host.iter().all(is_name),
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_host && is_port
}

/// Which bytes a token may hold.
static TOKEN: [bool; 256] = letters_digits_and(b"!#$%&'*+-.^_`|~");

/// Which bytes a name of a host may hold (`reg-name` of RFC 3986, which includes IPv4 addresses).
static HOST: [bool; 256] = letters_digits_and(b"-._~%!$&'()*+,=");

/// Returns which bytes are letters and digits of ASCII, or one of some others.
pub(crate) const fn letters_digits_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
}

/// Bytes of a target; hyper's own limit is 65 534. raven-js 1.x puts whole events into it.
const MAX_TARGET: usize = 48 << 10;

/// Bytes of all fields together.
const MAX_FIELDS_LENGTH: usize = 32 << 10;

/// Lines of fields; hyper keeps room for as many.
const MAX_FIELDS: usize = 100;

/// Bytes of a method; the longest registered one has 17.
const MAX_METHOD: usize = 32;

/// Digits of a length: always within 64 bits.
const MAX_LENGTH_DIGITS: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn follows(head: &[u8]) -> Result<Follows, HeadFault> {
        check(head).map(|checked| checked.follows)
    }

    fn with(fields: &str) -> Result<Follows, HeadFault> {
        follows(format!("POST /api/1/store/ HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
    }

    #[test]
    fn reads_what_follows() {
        assert_eq!(with(""), Ok(Follows::Length(0)));
        assert_eq!(with("Content-Length: 12\r\n"), Ok(Follows::Length(12)));
        assert_eq!(with("content-length:  007 \r\n"), Ok(Follows::Length(7)));
        assert_eq!(with("Transfer-Encoding: Chunked\r\n"), Ok(Follows::Chunks));
        assert_eq!(
            with("Expect: 100-Continue\r\nContent-Length: 1\r\n"),
            Ok(Follows::Length(1))
        );
    }

    #[test]
    fn refuses_framing_that_can_be_read_in_two_ways() {
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "Content-Length: 2, 2\r\n",
            "Content-Length: +2\r\n",
            "Content-Length: -2\r\n",
            "Content-Length: 0x2\r\n",
            "Content-Length: 2 2\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding:\r\n",
        ] {
            assert_eq!(with(fields), Err(HeadFault::Framing), "{fields:?}");
        }
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(follows(old), Err(HeadFault::Framing));
    }

    #[test]
    fn refuses_lines_that_are_no_fields() {
        for fields in [
            " folded\r\n",
            "X: a\r\n\tb\r\n",
            "X : a\r\n",
            "no colon\r\n",
            ": empty\r\n",
            "X: a\rb\r\n",
            "X: \0\r\n",
            "X: \u{7f}\r\n",
            "X(: a\r\n",
            "X\u{e9}: a\r\n",
            "Content-Length : 3\r\n",
        ] {
            assert_eq!(with(fields), Err(HeadFault::Line), "{fields:?}");
        }
    }

    #[test]
    fn refuses_hosts_that_are_missing_doubled_or_malformed() {
        let check_host =
            |fields: &str| follows(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes());

        for fields in [
            "",
            "Host: a\r\nHost: a\r\n",
            "Host: a/b@c\r\n",
            "Host: a b\r\n",
            "Host:\r\n",
            "Host: a:b\r\n",
            "Host: [::1\r\n",
        ] {
            assert_eq!(check_host(fields), Err(HeadFault::Host), "{fields:?}");
        }
        for fields in [
            "Host: a\r\n",
            "host:a.b-c:80\r\n",
            "Host: [::1]:9000\r\n",
            "Host: 127.0.0.1\r\n",
        ] {
            assert_eq!(check_host(fields), Ok(Follows::Length(0)), "{fields:?}");
        }
        assert_eq!(follows(b"GET / HTTP/1.0\r\n\r\n"), Ok(Follows::Length(0)));
    }

    #[test]
    fn refuses_request_lines_that_are_none() {
        for line in [
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / HTTP/2.0",
            "GET / http/1.1",
            "GET /# HTTP/1.1",
            "GET http://a/ HTTP/1.1",
            "PRI * HTTP/2.0",
            " GET / HTTP/1.1",
            "\u{16}\u{3}\u{1}",
            "GET a HTTP/1.1",
        ] {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(
                follows(head.as_bytes()),
                Err(HeadFault::RequestLine),
                "{line:?}"
            );
        }
        let long = format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "a".repeat(MAX_TARGET)
        );
        assert_eq!(follows(long.as_bytes()), Err(HeadFault::TargetTooLong));
    }

    #[test]
    fn refuses_too_many_or_too_large_fields() {
        assert_eq!(with(&"A: b\r\n".repeat(99)), Ok(Follows::Length(0)));
        assert_eq!(
            with(&"A: b\r\n".repeat(100)),
            Err(HeadFault::FieldsTooLarge)
        );
        assert_eq!(
            with(&format!("A: {}\r\n", "b".repeat(MAX_FIELDS_LENGTH))),
            Err(HeadFault::FieldsTooLarge)
        );
        assert_eq!(with("Expect: 200-maybe\r\n"), Err(HeadFault::Expectation));
    }

    #[test]
    fn finds_the_end_however_the_head_is_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for cut in 0..head.len() {
            let mut finder = EndFinder::default();

            let first = finder.find(&head[..cut]).unwrap();
            let found = if first.is_some() {
                first
            } else {
                finder.find(head).unwrap()
            };

            assert_eq!(found, Some(head.len() - 4), "{cut}");
        }
        assert_eq!(
            EndFinder::default().find(b"GET / HTTP/1.1\nHost: a\n\n"),
            Err(HeadFault::Line)
        );
    }
}
