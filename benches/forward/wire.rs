//! Reads just enough HTTP/1.1 to know where a message ends.
//!
//! Source: RFC 9112. Only `Content-Length` framing is known: whatever comes back in another framing was changed on the
//! way, and is an error here.

use std::io;

/// Where the head of a message ends and how long its body is, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) head: usize,
    pub(crate) body: usize,
}

/// Looks for a whole head at the start of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// When the body has no length that can be read.
pub(crate) fn frame(bytes: &[u8]) -> io::Result<Option<Frame>> {
    let Some(end) = bytes
        .windows(HEAD_END.len())
        .position(|window| window == HEAD_END)
    else {
        return Ok(None);
    };
    let body = bytes[..end]
        .split(|byte| *byte == b'\n')
        .find_map(length)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "a message without `Content-Length`",
            )
        })?;
    Ok(Some(Frame {
        head: end + HEAD_END.len(),
        body,
    }))
}

/// Tells whether an answer begins with status 200.
pub(crate) fn is_ok(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 200 ")
}

/// Returns the first line, for people.
pub(crate) fn first_line(bytes: &[u8]) -> String {
    let line = bytes
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

fn length(line: &[u8]) -> Option<usize> {
    let (name, value) = line.split_at_checked(CONTENT_LENGTH.len())?;
    if !name.eq_ignore_ascii_case(CONTENT_LENGTH) {
        return None;
    }
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

const HEAD_END: &[u8] = b"\r\n\r\n";
const CONTENT_LENGTH: &[u8] = b"content-length:";
