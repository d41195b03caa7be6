//! The stacks of an event as grouping sees them: normalised frames, and what the enhancement rules say about them.

use std::borrow::Cow;

use event::model::{Event, Exception, Stacktrace, Thread};

use crate::coarse::CoarseReason;
use crate::config::Config;
use crate::enhance::{ExceptionTexts, Rules, Updates};
use crate::frame::Frame;

/// A stack, prepared.
pub(crate) struct Stack<'e> {
    /// Frames, outermost caller first.
    pub(crate) frames: Vec<Frame<'e>>,
    /// What the rules say.
    pub(crate) updates: Updates<'e>,
    /// Why the frames cannot be compared.
    pub(crate) coarse: Option<CoarseReason>,
}

impl<'e> Stack<'e> {
    fn new(
        stack: &'e Stacktrace<'e>,
        exception: ExceptionTexts<'_>,
        context: Context<'_, 'e>,
    ) -> Self {
        let frames: Vec<Frame<'e>> = stack
            .frames
            .iter()
            .map(|frame| Frame::new(frame, context.platform))
            .collect();
        let updates = Updates::of(&frames, exception, context.rules);
        let coarse = CoarseReason::of(&frames);
        Self {
            frames,
            updates,
            coarse,
        }
    }

    /// Returns whether a frame is in app after all rules.
    pub(crate) fn is_in_app(&self, at: usize) -> bool {
        self.updates.in_app.contains(at)
    }

    fn is_changed(&self) -> bool {
        let is_kept = |(at, frame): (usize, &Frame<'e>)| {
            let is_trimmed = frame.raw_function.is_some();
            !is_trimmed && self.is_in_app(at) == frame.in_app.unwrap_or_default()
        };
        !self.frames.iter().enumerate().all(is_kept)
    }

    /// Returns the last frame in app, else the last one.
    pub(crate) fn crash_frame(&self) -> Option<&Frame<'e>> {
        let at = self
            .updates
            .in_app
            .last()
            .or(self.frames.len().checked_sub(1))?;
        self.frames.get(at)
    }
}

/// An event with its stacks prepared.
pub(crate) struct Prepared<'e> {
    /// The event.
    pub(crate) event: &'e Event<'e>,
    /// The event's platform, `other` when it has none.
    pub(crate) platform: &'e str,
    /// The stacks of `event.exceptions`, one by one.
    pub(crate) exceptions: Vec<Option<Stack<'e>>>,
    /// The event's own stack.
    pub(crate) stacktrace: Option<Stack<'e>>,
    /// The stack of the thread that matters.
    pub(crate) thread: Option<Stack<'e>>,
}

impl<'e> Prepared<'e> {
    /// Prepares an event.
    pub(crate) fn new(event: &'e Event<'e>, config: &'e Config) -> Self {
        let platform = if event.platform.is_empty() {
            "other"
        } else {
            &*event.platform
        };
        let rules = config.enhancements();
        let context = Context {
            platform,
            rules: &rules,
        };
        let bare = |stack| Stack::new(stack, ExceptionTexts::default(), context);
        let of_exception = |exception: &'e Exception<'e>| {
            let stack = exception.stacktrace.as_ref()?;
            Some(Stack::new(stack, exception_texts(exception), context))
        };
        Self {
            event,
            platform,
            exceptions: event.exceptions.iter().map(of_exception).collect(),
            stacktrace: event.stacktrace.as_ref().map(bare),
            thread: relevant_thread(&event.threads)
                .and_then(|thread| thread.stacktrace.as_ref())
                .map(bare),
        }
    }

    /// Returns the event as Sentry stores it, for title and culprit: functions trimmed, in app as the rules say.
    pub(crate) fn as_stored(&self) -> Cow<'e, Event<'e>> {
        let sole = self
            .thread
            .as_ref()
            .filter(|_| self.event.threads.len() == 1);
        let own = [self.stacktrace.as_ref(), sole];
        let is_changed = |stack: &Stack<'e>| stack.is_changed();
        let mut all = self
            .exceptions
            .iter()
            .map(Option::as_ref)
            .chain(own)
            .flatten();
        if !all.any(is_changed) {
            return Cow::Borrowed(self.event);
        }
        let mut event = self.event.clone();
        for (exception, stack) in event.exceptions.iter_mut().zip(&self.exceptions) {
            store(stack.as_ref(), exception.stacktrace.as_mut());
        }
        store(own[0], event.stacktrace.as_mut());
        store(
            own[1],
            event
                .threads
                .first_mut()
                .and_then(|thread| thread.stacktrace.as_mut()),
        );
        Cow::Owned(event)
    }

    /// Returns why some stack's frames cannot be compared.
    pub(crate) fn coarse(&self) -> Option<CoarseReason> {
        let own = [&self.stacktrace, &self.thread].into_iter().flatten();
        self.exceptions
            .iter()
            .flatten()
            .chain(own)
            .find_map(|stack| stack.coarse)
    }

    /// Returns the frame that fingerprint variables speak of: of the last exception, the event or its only thread.
    pub(crate) fn crash_frame(&self) -> Option<&Frame<'e>> {
        let last = self.exceptions.last().and_then(Option::as_ref);
        let sole = self
            .thread
            .as_ref()
            .filter(|_| self.event.threads.len() == 1);
        [last, self.stacktrace.as_ref(), sole]
            .into_iter()
            .flatten()
            .find(|stack| !stack.frames.is_empty())?
            .crash_frame()
    }

    /// Returns the stacks that fingerprint rules look at: those of all exceptions, else the event's, else the thread's.
    pub(crate) fn stacks(&self) -> Vec<&Stack<'e>> {
        let of_exceptions: Vec<&Stack<'e>> = self.exceptions.iter().flatten().collect();
        if of_exceptions.iter().any(|stack| !stack.frames.is_empty()) {
            return of_exceptions;
        }
        let has_frames = |stack: &&Stack<'e>| !stack.frames.is_empty();
        let own = self.stacktrace.as_ref().filter(has_frames);
        own.or(self.thread.as_ref()).into_iter().collect()
    }
}

/// Returns the crashed thread, else the current one, else the only one; `None` when that is not one thread.
fn relevant_thread<'t>(threads: &'t [Thread<'t>]) -> Option<&'t Thread<'t>> {
    let only = |is_wanted: fn(&Thread<'_>) -> bool| {
        let mut wanted = threads.iter().filter(|thread| is_wanted(thread));
        wanted.next().filter(|_| wanted.next().is_none())
    };
    only(|thread| thread.crashed)
        .or_else(|| only(|thread| thread.current))
        .or_else(|| only(|_| true))
}

fn store<'e>(stack: Option<&Stack<'e>>, stored: Option<&mut Stacktrace<'e>>) {
    let (Some(stack), Some(stored)) = (stack, stored) else {
        return;
    };
    for (at, (frame, stored)) in stack.frames.iter().zip(&mut stored.frames).enumerate() {
        stored.in_app = Some(stack.is_in_app(at));
        stored.function.clone_from(&frame.function);
    }
}

#[derive(Clone, Copy)]
struct Context<'c, 'e> {
    platform: &'e str,
    rules: &'c [&'e Rules],
}

fn exception_texts<'e>(exception: &'e Exception<'_>) -> ExceptionTexts<'e> {
    ExceptionTexts {
        ty: exception.ty.as_deref(),
        value: exception.value.as_deref(),
        mechanism: exception.mechanism.ty.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(crashed: bool, current: bool) -> Thread<'static> {
        Thread {
            crashed,
            current,
            ..Thread::default()
        }
    }

    #[test]
    fn one_crashed_thread_beats_one_current_beats_one_at_all() {
        let find = |threads: &[Thread<'_>]| {
            relevant_thread(threads).map(|thread| (thread.crashed, thread.current))
        };

        assert_eq!(
            find(&[thread(true, false), thread(false, true)]),
            Some((true, false))
        );
        assert_eq!(
            find(&[thread(false, false), thread(false, true)]),
            Some((false, true))
        );
        assert_eq!(
            find(&[thread(true, false), thread(true, true)]),
            Some((true, true))
        );
        assert_eq!(find(&[thread(false, false)]), Some((false, false)));
        assert_eq!(find(&[thread(false, false), thread(false, false)]), None);
    }
}
