//! Writes the requests of a spool into files that people and programs can read.
//!
//! Each request becomes one file `<sequence number>.http`: the HTTP/1.1 message as Sentry would get it, its body framed by
//! `Content-Length`, so that `nc` can send it. `index.jsonl` has one line for each:
//! `{"file","sequence","project","event_id","received_at","state","status","body_bytes"}`, where `received_at` is in
//! milliseconds since 1970, `state` is `waiting` or `refused`, and `status` is what Sentry refused it with.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;

use crate::body;
use crate::error::{LoadError, OpenError};
use crate::fs::{Access, Disk, File, Fs};
use crate::inspect::{entries, payload, walk};
use crate::load::Record;
use crate::record::{self, BodyFile, Head, Place};

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Requests that were written.
    pub requests: u64,
    /// Requests that turned out to be damaged, and were left out.
    pub damaged: u64,
}

/// Writes every request of a spool, waiting or refused, into a directory, which is made if it is missing. Changes nothing in
/// the spool, and works while a process has it open.
///
/// # Errors
/// When the spool cannot be read, or the directory not be written; files of the same names are not overwritten.
pub fn export(dir: &Path, to: &Path) -> Result<Exported, OpenError> {
    let entries = entries(&Disk, dir)?;
    match DirBuilder::new().mode(0o700).create(to) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(OpenError::io("make directory", to, error));
        }
        Ok(()) | Err(_) => {}
    }
    let failed = |error| OpenError::io("write into", to, error);
    let mut index = BufWriter::new(create(&to.join(INDEX)).map_err(failed)?);
    let mut exported = Exported::default();
    walk(&Disk, dir, &entries, |file, loaded| {
        for record in &loaded.records {
            match write_request(dir, to, file, record).map_err(failed)? {
                Some(line) => {
                    exported.requests += 1;
                    write_line(&mut index, &line).map_err(failed)?;
                }
                None => exported.damaged += 1,
            }
        }
        Ok(())
    })?;
    index.flush().map_err(failed)?;
    Ok(exported)
}

#[derive(Serialize)]
struct Line {
    file: String,
    sequence: u64,
    project: Option<u64>,
    event_id: Option<String>,
    received_at: u64,
    state: &'static str,
    status: Option<u16>,
    body_bytes: u64,
}

/// Writes one request; `None` if it is damaged.
fn write_request(
    dir: &Path,
    to: &Path,
    file: &dyn File,
    record: &Record,
) -> io::Result<Option<Line>> {
    let Ok((head, place, inline)) = payload(file, record)
        .map_err(drop)
        .and_then(|payload| record::decode(&payload).map_err(drop))
    else {
        return Ok(None);
    };
    let sequence = record.frame.sequence;
    let name = format!("{sequence:020}.http");
    let body_bytes = match place {
        Place::Inline => inline.len() as u64,
        Place::File(body) => body.len,
    };
    let mut out = BufWriter::new(create(&to.join(&name))?);
    write_head(&mut out, &head, body_bytes)?;
    let is_whole = match place {
        Place::Inline => out.write_all(&inline).map(|()| true)?,
        Place::File(body) => write_body(&mut out, dir, body)?,
    };
    out.flush()?;
    if !is_whole {
        fs::remove_file(to.join(&name))?;
        return Ok(None);
    }
    Ok(Some(Line {
        file: name,
        sequence,
        project: head.lane.project,
        event_id: head.event_id,
        received_at: milliseconds(head.received_at),
        state: if record.refused.is_some() {
            "refused"
        } else {
            "waiting"
        },
        status: record.refused,
        body_bytes,
    }))
}

fn write_head(out: &mut impl Write, head: &Head, length: u64) -> io::Result<()> {
    write!(out, "{} {} HTTP/1.1\r\n", head.method, head.target)?;
    let framing = ["content-length", "transfer-encoding"];
    for (name, value) in &head.fields {
        if framing
            .iter()
            .any(|framing| name.eq_ignore_ascii_case(framing.as_bytes()))
        {
            continue;
        }
        for piece in [
            name,
            &Bytes::from_static(b": "),
            value,
            &Bytes::from_static(b"\r\n"),
        ] {
            out.write_all(piece)?;
        }
    }
    write!(out, "Content-Length: {length}\r\n\r\n")
}

fn write_body(out: &mut impl Write, dir: &Path, body: BodyFile) -> io::Result<bool> {
    let file = match Disk.open(&dir.join(body::name(body.id)), Access::Read) {
        Ok(file) => file,
        Err(_) => return Ok(false),
    };
    let mut reader = match body::Reader::new(file, body) {
        Ok(reader) => reader,
        Err(_) => return Ok(false),
    };
    loop {
        match reader.next() {
            Ok(Some(block)) => out.write_all(&block)?,
            Ok(None) => return Ok(true),
            Err(LoadError::Damaged | LoadError::Unavailable(_)) => return Ok(false),
        }
    }
}

fn write_line(out: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn create(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

const INDEX: &str = "index.jsonl";
