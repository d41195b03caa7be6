//! Reads exceptions and their mechanisms.
//!
//! Source: Relay, `relay-event-schema/src/protocol/{exception,mechanism}.rs`, `relay-event-normalization/src/event.rs`.

use std::borrow::Cow;

use serde::de::MapAccess;

use crate::json::{Fields, JsonText, Value, Weigh};
use crate::model::{Exception, Mechanism, Text};

impl<'de> Fields<'de> for Exception<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "type" => self.ty = value.read()?,
            "value" => {
                let JsonText(text) = value.read()?;
                self.value = text.filter(|text| !text.is_empty());
            }
            "module" => self.module = value.read()?,
            "mechanism" => {
                let mechanism: Option<Mechanism<'de>> = value.read()?;
                self.mechanism = mechanism.unwrap_or_default();
            }
            "stacktrace" | "sentry.interfaces.Stacktrace" => self.stacktrace = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }

    /// Some SDKs send `TypeError: x is null` as the value alone.
    fn complete(&mut self) {
        if self.ty.is_none()
            && let Some((ty, rest)) = self.value.as_ref().and_then(split_type)
        {
            self.ty = Some(ty);
            self.value = rest;
        }
    }

    fn is_nothing(&self) -> bool {
        let has_text = self.ty.is_some() || self.value.is_some() || self.module.is_some();
        !has_text && self.stacktrace.is_none()
    }
}

/// At most 100 exceptions with 10,000 frames together.
impl Weigh for Exception<'_> {
    const MAX: usize = 10_000;

    fn weight(&self) -> usize {
        100 + self
            .stacktrace
            .as_ref()
            .map_or(0, |stack| stack.frames.len())
    }
}

impl<'de> Fields<'de> for Mechanism<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "type" => self.ty = value.read()?,
            "handled" => self.handled = value.read()?,
            "synthetic" => self.synthetic = value.read()?,
            "exception_id" => self.exception_id = value.read()?,
            "parent_id" => self.parent_id = value.read()?,
            "is_exception_group" => self.is_exception_group = value.read()?,
            "source" => self.source = value.read()?,
            "meta" => {
                let meta: Option<Meta<'de>> = value.read()?;
                let ns_error = meta.and_then(|meta| meta.ns_error);
                self.ns_error = ns_error.map(|error| (error.domain, error.code));
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Meta<'de> {
    ns_error: Option<NsError<'de>>,
}

impl<'de> Fields<'de> for Meta<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "ns_error" => self.ns_error = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct NsError<'de> {
    domain: Option<Text<'de>>,
    code: Option<i64>,
}

impl<'de> Fields<'de> for NsError<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "domain" => self.domain = value.read()?,
            "code" => self.code = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// Splits `Word: rest` of one line into the word and the rest.
fn split_type<'de>(value: &Text<'de>) -> Option<(Text<'de>, Option<Text<'de>>)> {
    let (word, _) = value.split_once(':')?;
    let is_word = word.chars().all(|c| c.is_alphanumeric() || c == '_');
    if word.is_empty() || !is_word || value.contains('\n') {
        return None;
    }
    let at = word.len();
    Some(match value {
        Cow::Borrowed(text) => (
            Cow::Borrowed(&text[..at]),
            part(text[at + 1..].trim(), Cow::Borrowed),
        ),
        Cow::Owned(text) => {
            let owned = |part: &str| Cow::Owned(part.to_owned());
            (owned(&text[..at]), part(text[at + 1..].trim(), owned))
        }
    })
}

fn part<'t, 'de>(text: &'t str, keep: impl Fn(&'t str) -> Text<'de>) -> Option<Text<'de>> {
    (!text.is_empty()).then(|| keep(text))
}
