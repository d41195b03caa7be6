//! Makes messages of what waits: one alert with the counts of now, or a digest of many.

use std::sync::Arc;
use std::time::SystemTime;

use state::{Gathered, Waiting};

use crate::message::Digest;
use crate::stored::Stored;
use crate::{Alert, Message, Notice};

/// A message, and whose wait ends with its delivery.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// Stays the same over retries of the same message.
    pub(super) id: String,
    pub(super) message: Arc<Message>,
    /// Each id, and how many events of its issue the message tells.
    pub(super) told: Vec<(String, u64)>,
    /// Alerts that found no room, which the message counts.
    pub(super) missed: u64,
}

/// What waits and cannot be read: another version put it there.
pub(super) struct Unreadable;

/// Makes the message of one that is said alone.
pub(super) fn alone(waiting: &Waiting) -> Result<Batch, Unreadable> {
    let message = read(waiting).ok_or(Unreadable)?;
    Ok(Batch {
        id: waiting.id.clone(),
        message: Arc::new(message),
        told: vec![(waiting.id.clone(), events(waiting))],
        missed: 0,
    })
}

/// Makes one message of everything that is due; `None` when that is nothing.
pub(super) fn digest(
    due: &Gathered,
    missed: u64,
    status_url: Option<String>,
    now: SystemTime,
) -> Option<Batch> {
    if let ([one], [], 0) = (due.named.as_slice(), due.others.as_slice(), missed) {
        // What cannot be read is counted as one more in a digest of its own.
        if let Ok(batch) = alone(one) {
            return Some(batch);
        }
    }
    let named = due.named.iter().map(|one| (one.id.clone(), events(one)));
    let others = due.others.iter().map(|one| (one.id.clone(), one.events));
    let told: Vec<(String, u64)> = named.chain(others).collect();
    if told.is_empty() && missed == 0 {
        return None;
    }
    let (mut alerts, mut notices) = (Vec::new(), Vec::new());
    for message in due.named.iter().filter_map(read) {
        sort_in(message, &mut alerts, &mut notices);
    }
    let since = due.named.iter().map(|waiting| waiting.since).min();
    let digest = Digest {
        alerts_total: (told.len() - notices.len()) as u64,
        events: told.iter().map(|(_, events)| events).sum(),
        alerts,
        notices,
        missed,
        since: since.unwrap_or(now),
        until: now,
        status_url,
    };
    Some(Batch {
        id: digest_id(&told, missed, now),
        message: Arc::new(Message::Digest(Box::new(digest))),
        told,
        missed,
    })
}

fn sort_in(message: Message, alerts: &mut Vec<Alert>, notices: &mut Vec<Notice>) {
    match message {
        Message::Alert(alert) => alerts.push(*alert),
        Message::Notice(notice) => notices.push(*notice),
        Message::Digest(_) | Message::Test { .. } => {}
    }
}

fn read(waiting: &Waiting) -> Option<Message> {
    let mut stored = Stored::decode(&waiting.payload)?;
    if let (Stored::Alert(alert), Some(tally)) = (&mut stored, &waiting.tally) {
        alert.counts.refresh(tally);
    }
    Some(stored.into_message())
}

fn events(waiting: &Waiting) -> u64 {
    waiting.tally.map_or(0, |tally| tally.events_since_said)
}

/// The same messages make the same digest, so that a receiver can drop a repeat.
fn digest_id(told: &[(String, u64)], missed: u64, now: SystemTime) -> String {
    let ids = told.iter().flat_map(|(id, _)| id.bytes().chain([0]));
    let hash = ids.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    if told.is_empty() {
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        return format!("missed-{missed}-{}", since.as_millis());
    }
    format!("digest-{hash:016x}-{}", told.len())
}
