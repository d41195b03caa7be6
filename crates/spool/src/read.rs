//! Reads a request back from its segment.

use bytes::Bytes;

use crate::body::{self, Reader, fault};
use crate::error::LoadError;
use crate::frame::{self, FRAME};
use crate::fs::{Access, read_exact};
use crate::index::Spot;
use crate::record::{self, Head, Place};
use crate::repair;
use crate::shared::Shared;

/// A body that was found.
#[derive(Debug)]
pub(crate) enum Stored {
    Inline(Bytes),
    File(Reader),
}

/// Reads a request; what of it is damaged is kept aside.
pub(crate) fn read(shared: &Shared, sequence: u64) -> Result<(Head, Stored), LoadError> {
    let mut spot = spot(shared, sequence)?;
    loop {
        let payload = read_payload(shared, &spot, sequence);
        let again = self::spot(shared, sequence)?;
        match payload {
            // The segment was replaced in between.
            Err(_) if again != spot => spot = again,
            Ok(payload) => {
                return decode(shared, payload).inspect_err(|_| keep(shared, &spot.name));
            }
            Err(LoadError::Damaged) => {
                keep(shared, &spot.name);
                return Err(LoadError::Damaged);
            }
            Err(error) => return Err(error),
        }
    }
}

fn spot(shared: &Shared, sequence: u64) -> Result<Spot, LoadError> {
    shared.index().spot(sequence).ok_or(LoadError::Damaged)
}

fn read_payload(shared: &Shared, spot: &Spot, sequence: u64) -> Result<Bytes, LoadError> {
    let file = shared.fs.open(&shared.path(&spot.name), Access::Read);
    let mut bytes = vec![0; spot.len as usize];
    read_exact(&*file.map_err(fault)?, &mut bytes, spot.offset).map_err(fault)?;
    let frame = frame::peek(&bytes, spot.marker);
    let is_it = frame.is_some_and(|frame| frame.sequence == sequence);
    if !is_it || !frame::is_sound(&bytes, spot.marker) {
        return Err(LoadError::Damaged);
    }
    Ok(Bytes::from(bytes).slice(FRAME..))
}

fn decode(shared: &Shared, payload: Bytes) -> Result<(Head, Stored), LoadError> {
    let (head, place, inline) = record::decode(&payload).map_err(|_| LoadError::Damaged)?;
    let body = match place {
        Place::Inline => Stored::Inline(inline),
        Place::File(file) => {
            let reader = Reader::open(shared, file);
            if matches!(reader, Err(LoadError::Damaged)) {
                keep(shared, &body::name(file.id));
            }
            Stored::File(reader?)
        }
    };
    Ok((head, body))
}

/// Keeps a file aside in which something is damaged.
fn keep(shared: &Shared, name: &str) {
    if let Err(error) = repair::link_aside(shared, name) {
        tracing::warn!(name, %error, "a damaged file cannot be set aside");
    }
}
