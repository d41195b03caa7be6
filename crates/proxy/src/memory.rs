//! The memory that one thread may use for the bodies of requests in flight.

use std::cell::Cell;
use std::rc::Rc;

/// How much is left of one thread's memory for bodies.
#[derive(Debug)]
pub(crate) struct Memory {
    left: Cell<usize>,
}

/// A share of the memory, given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Rc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Rc<Memory> {
        Rc::new(Memory {
            left: Cell::new(bytes),
        })
    }

    /// Returns a share of nothing yet.
    pub(crate) fn hold(self: &Rc<Self>) -> Held {
        Held {
            memory: Rc::clone(self),
            bytes: 0,
        }
    }
}

impl Held {
    /// Takes more; `false`, and nothing is taken, when so much is not left.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let left = self.memory.left.get().checked_sub(bytes);
        if let Some(left) = left {
            self.memory.left.set(left);
            self.bytes += bytes;
        }
        left.is_some()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.left.set(self.memory.left.get() + self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let memory = Memory::new(10);
        let mut first = memory.hold();
        let mut second = memory.hold();

        assert!(first.grow(4) && first.grow(4));
        assert!(!second.grow(3));
        assert!(second.grow(2));
        drop(first);
        assert!(second.grow(8));
        assert!(!second.grow(1));
    }
}
