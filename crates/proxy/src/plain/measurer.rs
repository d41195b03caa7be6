//! Where a plain request ends.

use std::rc::Rc;

use super::heads::{Familiar, Heads};
use crate::screen::chunks::Chunks;
use crate::screen::head::{self, Follows};

/// Follows a request to its end.
#[derive(Debug, Default)]
pub(crate) struct Measurer {
    known: Option<Known>,
}

/// A request whose head is there.
#[derive(Debug)]
struct Known {
    /// Its head, if it has come before.
    familiar: Option<Rc<Familiar>>,
    head: usize,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    /// Where the request ends.
    Length(usize),
    /// A chunked body, and how far it has been followed.
    Chunks(Chunks, usize),
}

/// How much of a request is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measured {
    /// All of it: the lengths of its head and of the whole.
    Whole { head: usize, end: usize },
    /// Its head, and not all of its body.
    Incomplete { is_first: bool },
    /// What is there is not a plain request.
    Other,
}

impl Measurer {
    /// Looks at all that has been read of a request, of which `known` bytes have been looked at before.
    ///
    /// A head that does not come at once is not plain: whoever sends it in pieces pays for more patient code.
    pub(crate) fn measure(
        &mut self,
        read: &[u8],
        known: usize,
        heads: &Heads,
        max_head: usize,
    ) -> Measured {
        let is_first = known == 0;
        if is_first {
            self.known = Known::of(read, heads, max_head);
        }
        let Some(Known { head, rest, .. }) = &mut self.known else {
            return Measured::Other;
        };
        let end = match rest {
            Rest::Length(end) => Some(*end).filter(|end| *end <= read.len()),
            Rest::Chunks(chunks, followed) => match chunks.advance(&read[*followed..]) {
                // What is about one connection only would go on with the rest.
                Ok(_) if chunks.has_extras() => return Measured::Other,
                Ok(more) => {
                    *followed += more;
                    Some(*followed).filter(|_| chunks.is_done())
                }
                Err(_) => return Measured::Other,
            },
        };
        match end {
            Some(end) if end - *head <= MAX_BODY => Measured::Whole { head: *head, end },
            None if read.len() - *head <= MAX_BODY => Measured::Incomplete { is_first },
            Some(_) | None => Measured::Other,
        }
    }

    /// Returns what was known of the head of the request that has been measured.
    pub(crate) fn into_familiar(self) -> Option<Rc<Familiar>> {
        self.known?.familiar
    }
}

impl Known {
    fn of(read: &[u8], heads: &Heads, max_head: usize) -> Option<Known> {
        let familiar = heads.find(read);
        let (head, checked) = match &familiar {
            Some(familiar) => familiar.check(read),
            None => head::check_start(read).ok()??,
        };
        if head > max_head || checked.expects_continue {
            return None;
        }
        let rest = match checked.follows {
            Follows::Length(length) => {
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= MAX_BODY)?;
                Rest::Length(head + length)
            }
            Follows::Chunks => Rest::Chunks(Chunks::new(), head),
        };
        Some(Known {
            familiar,
            head,
            rest,
        })
    }
}

/// Bytes of the largest plain body, with its framing if it is chunked.
const MAX_BODY: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "POST /api/1/store/ HTTP/1.1\r\nHost: a\r\n";

    fn measure(steps: &[&str]) -> Vec<Measured> {
        let (mut measurer, mut read) = (Measurer::default(), String::new());
        let one = |step: &&str| {
            let known = read.len();
            read.push_str(step);
            measurer.measure(read.as_bytes(), known, &Heads::default(), 1000)
        };
        steps.iter().map(one).collect()
    }

    #[test]
    fn finds_the_end_of_a_request_however_its_body_is_cut() {
        let with_length = format!("{HEAD}Content-Length: 3\r\n\r\n");
        let head = with_length.len();
        let whole = Measured::Whole {
            head,
            end: head + 3,
        };
        let (first, later) = (
            Measured::Incomplete { is_first: true },
            Measured::Incomplete { is_first: false },
        );
        assert_eq!(
            measure(&[&with_length, "a", "bcPOST"]),
            [first, later, whole]
        );
        assert_eq!(measure(&[&(with_length + "abc")]), [whole]);

        let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
        let head = chunked.len();
        let whole = Measured::Whole {
            head,
            end: head + 13,
        };
        assert_eq!(
            measure(&[&chunked, "3\r\na", "bc\r\n0\r\n\r\nPOST"]),
            [first, later, whole]
        );
    }

    #[test]
    fn leaves_to_others_what_is_not_plain() {
        let long = format!("{HEAD}X: {}\r\n\r\n", "y".repeat(1000));
        let large = format!("{HEAD}Content-Length: {}\r\n\r\n", MAX_BODY + 1);
        let cases = [
            "POST /api/1/store/ HTTP/1.1\r\nHost: a",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\nHost: a\n\n",
            "POST / HTTP/1.1\r\n\r\n",
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nx\r\n"),
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0;a\r\n\r\n"),
            &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n"),
            &format!("{HEAD}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"),
            &long,
            &large,
        ];

        for case in cases {
            assert_eq!(measure(&[case]), [Measured::Other], "{case:?}");
        }
    }

    #[test]
    fn a_chunked_body_may_not_grow_beyond_the_limit() {
        let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));

        let measured = measure(&[&head, &chunk.repeat(15), &chunk, &chunk]);

        let last = measured.last().copied();
        assert_eq!(
            (measured[1], last),
            (
                Measured::Incomplete { is_first: false },
                Some(Measured::Other)
            )
        );
    }
}
