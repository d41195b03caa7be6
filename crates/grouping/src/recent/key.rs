//! What the group of an event depends on, if it is an error of one exception with a stack; its message is not part of that.

use event::model::{Event, EventKind, Exception, Frame, Mechanism, Text};

use crate::platform::Family;

/// Writes all that the group of an event depends on but for the title, which is made of the exception's type and message.
///
/// `false` when the group depends on more, or may: several exceptions, other stacks, a fingerprint, and JavaScript, about whose
/// messages there are built-in rules. Whether the stack counts at all has to be seen from the group.
pub(super) fn write(event: &Event<'_>, key: &mut Vec<u8>) -> bool {
    key.clear();
    // Named one by one, so that a new field of an event has to be thought of here.
    let Event {
        kind,
        platform,
        culprit,
        transaction,
        checksum: None,
        fingerprint,
        exceptions,
        stacktrace: None,
        threads,
        request,
        // Read by rules that are not there, or by strategies that come after that of exceptions.
        logentry: _,
        template: _,
        security: _,
        level: _,
        logger: _,
        release: _,
        sdk: _,
        tags: _,
        // Part of the title.
        title: _,
        // Read by nobody here.
        id: _,
        timestamp: _,
        dist: _,
        environment: _,
        server_name: _,
        user: _,
        trace_id: _,
    } = event
    else {
        return false;
    };
    let has_stacks = threads.iter().any(|thread| thread.stacktrace.is_some());
    let is_plain = *kind == EventKind::Error && fingerprint.is_empty() && !has_stacks;
    if !is_plain || Family::of(platform) == Family::JavaScript {
        return false;
    }
    let mut key = Key(key);
    key.text(Some(platform));
    key.text(culprit.as_ref());
    key.text(transaction.as_ref());
    if culprit.is_none() && transaction.is_none() {
        key.text(request.as_ref().and_then(|request| request.url.as_ref()));
    }
    matches!(&**exceptions, [exception] if key.exception(exception))
}

struct Key<'k>(&'k mut Vec<u8>);

impl Key<'_> {
    fn exception(&mut self, exception: &Exception<'_>) -> bool {
        let Exception {
            ty: Some(ty),
            mechanism:
                Mechanism {
                    ty: mechanism,
                    synthetic: false,
                    ns_error: None,
                    handled: _,
                    // They tell several exceptions apart.
                    exception_id: _,
                    parent_id: _,
                    is_exception_group: _,
                    source: _,
                },
            stacktrace: Some(stack),
            value: _,
            // It tells a wrapper from what it wraps.
            module: _,
        } = exception
        else {
            return false;
        };
        self.text(Some(ty));
        self.text(mechanism.as_ref());
        for frame in &stack.frames {
            self.frame(frame);
            if self.0.len() > MAX_KEY {
                return false;
            }
        }
        !ty.is_empty()
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        let Frame {
            platform,
            module,
            filename,
            abs_path,
            function,
            raw_function,
            package,
            context_line,
            lineno,
            colno,
            in_app,
            has_sourcemap,
        } = frame;
        let texts = [
            platform,
            module,
            filename,
            abs_path,
            function,
            raw_function,
            package,
            context_line,
        ];
        for text in texts {
            self.text(text.as_ref());
        }
        for number in [lineno, colno] {
            self.0.push(u8::from(number.is_some()));
            let number = number.unwrap_or_default();
            self.0.extend_from_slice(&number.to_le_bytes());
        }
        let flag = in_app.map_or(2, u8::from);
        self.0.extend_from_slice(&[flag, u8::from(*has_sourcemap)]);
    }

    /// With its length in front, so that no two lists of texts are written alike.
    fn text(&mut self, text: Option<&Text<'_>>) {
        let length = text.map_or(u32::MAX, |text| {
            u32::try_from(text.len()).unwrap_or(u32::MAX - 1)
        });
        self.0.extend_from_slice(&length.to_le_bytes());
        if let Some(text) = text {
            self.0.extend_from_slice(text.as_bytes());
        }
    }
}

/// Bytes of the largest key: a stack of some hundred frames.
const MAX_KEY: usize = 32 << 10;
