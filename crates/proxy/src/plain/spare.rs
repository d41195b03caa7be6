//! Buffers of requests that have been served, for those to come: malloc is slow for more than a kibibyte.

use std::cell::RefCell;

use bytes::Bytes;

/// One thread's spare buffers.
#[derive(Debug, Default)]
pub(crate) struct Spare(RefCell<Vec<Vec<u8>>>);

impl Spare {
    /// Returns an empty buffer with at least so much room.
    pub(crate) fn take(&self, room: usize) -> Vec<u8> {
        let mut buffer = self.0.borrow_mut().pop().unwrap_or_default();
        buffer.reserve(room);
        buffer
    }

    /// Keeps the buffer for another request, unless somebody still holds a part of it, it is large, or there are enough.
    pub(crate) fn put(&self, bytes: Bytes) {
        let Ok(buffer) = bytes.try_into_mut() else {
            return;
        };
        let mut buffer = Vec::from(buffer);
        let mut spare = self.0.borrow_mut();
        if buffer.capacity() <= MAX_CAPACITY && spare.len() < MAX_COUNT {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

/// Bytes that most requests need less of.
const MAX_CAPACITY: usize = 8 << 10;

/// Buffers of one thread.
const MAX_COUNT: usize = 32;

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
        assert_eq!((second.as_ptr(), spare.0.borrow().len()), (place, 0));
    }

    #[test]
    fn what_is_held_or_large_or_too_many_does_not_come_back() {
        let spare = Spare::default();
        let held = filled(&spare, 3000);
        spare.put(held.clone());
        spare.put(filled(&spare, MAX_CAPACITY + 1));
        assert_eq!((spare.0.borrow().len(), &held[..]), (0, &b"POST"[..]));

        let many: Vec<_> = (0..=MAX_COUNT).map(|_| filled(&spare, 3000)).collect();
        many.into_iter().for_each(|bytes| spare.put(bytes));
        assert_eq!(spare.0.borrow().len(), MAX_COUNT);
    }
}
