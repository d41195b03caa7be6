//! Splits a `multipart/form-data` body into its parts, without copying them.
//!
//! Source: RFC 7578, RFC 2046 §5.1. Bytes of a capture come without their `Content-Type`; the boundary is the body's own
//! first line, which no client known to us puts anything in front of.

use memchr::memmem::Finder;

/// One part of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'b> {
    /// The field's name, as it stands between the quotes.
    pub(crate) name: &'b str,
    /// Whether the part is a file, that is, has a file name.
    pub(crate) is_file: bool,
    /// The content, as it came.
    pub(crate) content: &'b [u8],
}

/// The parts of a form, in order, at most 200; parts without a name are left out.
///
/// A form that breaks off gives the parts up to there, the last as far as it came.
#[derive(Debug, Clone)]
pub(crate) struct Parts<'b> {
    /// What follows the boundary of the next part.
    rest: &'b [u8],
    delimiter: Finder<'b>,
    count: usize,
}

impl<'b> Parts<'b> {
    /// Opens a form; `None` when the body does not start with a boundary (`--` and at most 70 characters) and a line break.
    pub(crate) fn open(body: &'b [u8]) -> Option<Self> {
        let body = body.trim_ascii_start();
        let near = &body[..body.len().min(MAX_BOUNDARY)];
        let line = &near[..memchr::memchr(b'\n', near)?];
        let boundary = line.trim_ascii_end();
        if !boundary.starts_with(b"--") || boundary.len() < 3 {
            return None;
        }
        Some(Self {
            rest: &body[boundary.len()..],
            delimiter: Finder::new(boundary),
            count: 0,
        })
    }

    /// Splits the content of the part at the start off, up to the next boundary at the start of a line, or to the end.
    fn split_content(&mut self) -> &'b [u8] {
        let body = self.rest;
        for at in self.delimiter.find_iter(body) {
            if let Some(content) = body[..at].strip_suffix(b"\n") {
                self.rest = &body[at + self.delimiter.needle().len()..];
                return content.strip_suffix(b"\r").unwrap_or(content);
            }
        }
        self.rest = &[];
        body
    }
}

impl<'b> Iterator for Parts<'b> {
    type Item = Part<'b>;

    fn next(&mut self) -> Option<Part<'b>> {
        while self.count < MAX_PARTS && !self.rest.is_empty() && !self.rest.starts_with(b"--") {
            self.count += 1;
            let part = Part::parse(self.split_content());
            if part.is_some() {
                return part;
            }
        }
        None
    }
}

impl<'b> Part<'b> {
    /// Reads the headers that follow the boundary's line, up to an empty line.
    fn parse(part: &'b [u8]) -> Option<Self> {
        let (_, mut rest) = split_line(part)?;
        let mut disposition = None;
        for _ in 0..MAX_HEADERS {
            let (line, after) = split_line(rest)?;
            rest = after;
            if line.is_empty() {
                return Self::of(disposition?, rest);
            }
            disposition = disposition.or(disposition_of(line));
        }
        None
    }

    fn of(disposition: &'b str, content: &'b [u8]) -> Option<Self> {
        Some(Self {
            name: parameter(disposition, "name")?,
            is_file: parameter(disposition, "filename").is_some(),
            content,
        })
    }
}

/// Returns the value of a `Content-Disposition` line.
fn disposition_of(line: &[u8]) -> Option<&str> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    name.trim()
        .eq_ignore_ascii_case("content-disposition")
        .then_some(value)
}

/// Returns a parameter of `form-data; name="sentry"; filename="a\"b"`: what stands between the quotes, or a bare word.
fn parameter<'b>(disposition: &'b str, wanted: &str) -> Option<&'b str> {
    let (_, mut rest) = disposition.split_once(';')?;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = split_value(after.trim_start());
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after.split_once(';')?.1;
    }
}

/// Splits a quoted or bare value off; a quote after a backslash does not end it.
fn split_value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (text[..end].trim_end(), &text[end..]);
    };
    let mut is_escaped = false;
    for (at, character) in quoted.char_indices() {
        match character {
            '"' if !is_escaped => return (&quoted[..at], &quoted[at + 1..]),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    (quoted, "")
}

/// Splits a line of at most 4 KiB off, without its break.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let near = &text[..text.len().min(MAX_LINE)];
    let at = memchr::memchr(b'\n', near)?;
    let line = &text[..at];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &text[at + 1..]))
}

/// Two hyphens, 70 characters and the line break, with room for blanks (RFC 2046 §5.1.1).
const MAX_BOUNDARY: usize = 80;

const MAX_PARTS: usize = 200;

const MAX_HEADERS: usize = 20;

const MAX_LINE: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(body: &str) -> Vec<(&str, bool, &str)> {
        let parts = Parts::open(body.as_bytes()).into_iter().flatten();
        parts
            .map(|part| {
                let content = std::str::from_utf8(part.content).unwrap();
                (part.name, part.is_file, content)
            })
            .collect()
    }

    #[test]
    fn splits_fields_and_files() {
        let body = "--b-1\r\nContent-Disposition: form-data; name=\"sentry\"\r\n\r\n{\"a\":1}\r\n--b-1\r\n\
            Content-Type: application/octet-stream\r\ncontent-disposition: form-data; filename=\"a;\\\" name=x.dmp\"; name=dump\r\n\r\n\
            MDMP--b-1\r\n\r\n--b-1--\r\nContent-Disposition: form-data; name=\"late\"\r\n\r\nno";
        let expected = [
            ("sentry", false, "{\"a\":1}"),
            ("dump", true, "MDMP--b-1\r\n"),
        ];

        assert_eq!(parts(body), expected);
        assert_eq!(
            parts(&body.replace("\r\n", "\n")),
            [expected[0], ("dump", true, "MDMP--b-1\n")]
        );
    }

    #[test]
    fn a_form_that_breaks_off_gives_what_came() {
        let head = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n";

        assert_eq!(parts(&format!("{head}\r\nhal")), [("a", false, "hal")]);
        assert_eq!(parts(&format!("{head}\r\n")), [("a", false, "")]);
        assert!(parts(head).is_empty());
        assert!(parts("--b\r\n").is_empty());
    }

    #[test]
    fn what_does_not_start_with_a_boundary_is_no_form() {
        let long = format!("--{}\r\n", "b".repeat(100));
        for body in ["", "MDMP", "--\r\n", "--b", "b\r\n", &long] {
            assert!(Parts::open(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn parts_without_a_name_and_with_endless_headers_are_left_out() {
        let named = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n";
        for broken in [
            "--b\r\n\r\nx\r\n".to_owned(),
            "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n".to_owned(),
            "--b\r\nContent-Disposition: form-data; file=x\r\n\r\nx\r\n".to_owned(),
            format!("--b\r\nX: {}\r\n\r\nx\r\n", "x".repeat(5000)),
            format!("--b\r\n{}\r\nx\r\n", "X: x\r\n".repeat(30)),
        ] {
            let body = format!("{broken}{named}--b--\r\n");
            assert_eq!(parts(&body), [("a", false, "x")], "{broken}");
        }
    }

    #[test]
    fn reads_at_most_200_parts() {
        let body = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n".repeat(300);

        assert_eq!(parts(&body).len(), 200);
    }

    proptest! {
        #[test]
        fn never_panics_and_slices_only_the_body(
            body in "(--b|--|\r\n|\n|\r|Content-Disposition: form-data; |name=|filename=|\"|\\\\|;|a|:){0,30}",
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            for body in [body.as_bytes(), format!("--b\r\n{body}").as_bytes(), bytes.as_slice()] {
                let parts = Parts::open(body).into_iter().flatten();
                prop_assert!(parts.map(|part| part.content.len()).sum::<usize>() <= body.len());
            }
        }

        #[test]
        fn contents_of_any_bytes_come_back(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..5)) {
            let mut body = Vec::new();
            for content in &contents {
                body.extend(b"--long-boundary\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n");
                body.extend(content);
                body.extend(b"\r\n");
            }
            body.extend(b"--long-boundary--\r\n");

            let found: Vec<_> = Parts::open(&body).unwrap().map(|part| part.content.to_vec()).collect();

            prop_assert_eq!(found, contents);
        }
    }
}
