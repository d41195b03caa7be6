//! Buffers of requests that have been served, for those to come.
//!
//! malloc is slow for more than a kibibyte, and slower still where one thread frees what another has taken, as happens to
//! all that goes to the pipeline.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

/// One thread's spare buffers.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    own: RefCell<Vec<Vec<u8>>>,
    returned: Arc<Returned>,
}

/// Buffers of one thread that others are done with.
#[derive(Debug, Default)]
struct Returned(Mutex<Vec<Vec<u8>>>);

/// A buffer that comes back when the last part of it is dropped.
struct Lent {
    buffer: Vec<u8>,
    home: Arc<Returned>,
}

impl Spare {
    /// Returns an empty buffer with at least so much room.
    pub(crate) fn take(&self, room: usize) -> Vec<u8> {
        let mut own = self.own.borrow_mut();
        if own.is_empty() {
            self.returned.move_to(&mut own);
        }
        let mut buffer = own.pop().unwrap_or_default();
        // No more than that: the pipeline may hold thousands of them.
        buffer.reserve_exact(room);
        buffer
    }

    /// Keeps the buffer for another request, unless somebody still holds a part of it, it is large, or there are enough.
    pub(crate) fn put(&self, bytes: Bytes) {
        let Ok(buffer) = bytes.try_into_mut() else {
            return;
        };
        let mut own = self.own.borrow_mut();
        keep(buffer.into(), &mut own, MAX_COUNT);
    }

    /// Returns the same bytes, for other threads: their buffer comes back when the last part of it is dropped. It does not
    /// if somebody holds a part already.
    pub(crate) fn lend(&self, bytes: Bytes) -> Bytes {
        let lent = |buffer| {
            Bytes::from_owner(Lent {
                buffer: Vec::from(buffer),
                home: Arc::clone(&self.returned),
            })
        };
        bytes.try_into_mut().map_or_else(|held| held, lent)
    }
}

impl Returned {
    fn put(&self, buffer: Vec<u8>) {
        if let Some(mut buffers) = self.if_free() {
            keep(buffer, &mut buffers, MAX_RETURNED);
        }
    }

    /// Moves some to the thread that lent them.
    fn move_to(&self, own: &mut Vec<Vec<u8>>) {
        if let Some(mut buffers) = self.if_free() {
            let rest = buffers.len().saturating_sub(MAX_COUNT / 2);
            own.extend(buffers.drain(rest..));
        }
    }

    /// Nobody waits for a buffer: malloc has more.
    fn if_free(&self) -> Option<MutexGuard<'_, Vec<Vec<u8>>>> {
        self.0.try_lock().ok()
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.buffer));
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lent").finish_non_exhaustive()
    }
}

fn keep(mut buffer: Vec<u8>, buffers: &mut Vec<Vec<u8>>, max_count: usize) {
    if buffer.capacity() <= MAX_CAPACITY && buffers.len() < max_count {
        buffer.clear();
        buffers.push(buffer);
    }
}

/// Bytes that most requests need less of.
const MAX_CAPACITY: usize = 8 << 10;

/// Buffers that a thread has at hand.
const MAX_COUNT: usize = 32;

/// Buffers of a thread that come back before it wants them: the pipeline is done with many at once.
const MAX_RETURNED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(spare: &Spare, room: usize) -> Bytes {
        let mut buffer = spare.take(room);
        buffer.extend_from_slice(b"POST");
        buffer.into()
    }

    #[test]
    fn a_buffer_comes_back_empty_with_its_room() {
        let spare = Spare::default();
        let first = filled(&spare, 3000);
        let place = first.as_ptr();
        spare.put(first);

        let second = spare.take(2000);

        assert!(second.is_empty());
        assert_eq!((second.as_ptr(), spare.own.borrow().len()), (place, 0));
    }

    #[test]
    fn what_is_held_or_large_or_too_many_does_not_come_back() {
        let spare = Spare::default();
        let held = filled(&spare, 3000);
        spare.put(held.clone());
        spare.put(filled(&spare, MAX_CAPACITY + 1));
        assert_eq!((spare.own.borrow().len(), &held[..]), (0, &b"POST"[..]));

        let many: Vec<_> = (0..=MAX_COUNT).map(|_| filled(&spare, 3000)).collect();
        many.into_iter().for_each(|bytes| spare.put(bytes));
        assert_eq!(spare.own.borrow().len(), MAX_COUNT);
    }

    #[test]
    fn a_lent_buffer_comes_back_when_its_last_part_is_dropped() {
        let spare = Spare::default();
        let lent = spare.lend(filled(&spare, 3000));
        let (place, part) = (lent.as_ptr(), lent.slice(1..3));
        assert_eq!(lent, "POST");
        drop(lent);
        assert!(spare.returned.0.lock().unwrap().is_empty());

        std::thread::spawn(move || assert_eq!(part, "OS"))
            .join()
            .unwrap();

        let again = spare.take(3000);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn no_more_than_enough_buffers_come_back_and_none_that_is_held_or_large() {
        let spare = Spare::default();
        let held = filled(&spare, 3000);
        drop(spare.lend(held.clone()));
        drop(spare.lend(filled(&spare, MAX_CAPACITY + 1)));
        assert_eq!(spare.returned.0.lock().unwrap().len(), 0);

        let many = (0..=MAX_RETURNED).map(|_| spare.lend(filled(&spare, 3000)));
        drop(many.collect::<Vec<_>>());
        assert_eq!(spare.returned.0.lock().unwrap().len(), MAX_RETURNED);

        spare.take(1);
        assert_eq!(spare.own.borrow().len(), MAX_COUNT / 2 - 1);
        assert_eq!(
            spare.returned.0.lock().unwrap().len(),
            MAX_RETURNED - MAX_COUNT / 2
        );
    }
}
