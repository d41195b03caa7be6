//! Reads what surrounds an error: user, request, SDK, trace, template.
//!
//! Source: Relay, `relay-event-schema/src/protocol/{user,request,clientsdk,templateinfo}.rs`.

use std::borrow::Cow;

use serde::de::MapAccess;

use crate::json::{Fields, Value};
use crate::model::{HttpRequest, Sdk, Template, Text, User};

impl<'de> Fields<'de> for User<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "id" => self.id = value.read()?,
            "username" => self.username = value.read()?,
            "email" => self.email = value.read()?,
            "ip_address" => self.ip_address = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for HttpRequest<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "url" => self.url = value.read()?,
            "method" => self.method = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }

    fn complete(&mut self) {
        self.url = self.url.take().map(without_query);
        if let Some(method) = &mut self.method
            && method.bytes().any(|byte| byte.is_ascii_lowercase())
        {
            method.to_mut().make_ascii_uppercase();
        }
    }
}

impl<'de> Fields<'de> for Sdk<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "name" => self.name = value.read()?,
            "version" => self.version = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for Template<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "filename" => self.filename = value.read()?,
            "context_line" => self.context_line = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// `{"trace":{"trace_id":…}}` among other contexts.
#[derive(Default)]
pub(super) struct Contexts<'de> {
    trace: Option<Trace<'de>>,
}

impl<'de> Contexts<'de> {
    pub(super) fn into_trace_id(self) -> Option<Text<'de>> {
        self.trace?.trace_id
    }
}

impl<'de> Fields<'de> for Contexts<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "trace" => self.trace = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Trace<'de> {
    trace_id: Option<Text<'de>>,
}

impl<'de> Fields<'de> for Trace<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: Value<'_, A>) -> Result<(), A::Error> {
        match name {
            "trace_id" => self.trace_id = value.read()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// Sentry keeps query and fragment apart from the URL; neither is shown.
fn without_query(url: Text<'_>) -> Text<'_> {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    match url {
        Cow::Borrowed(url) => Cow::Borrowed(&url[..end]),
        Cow::Owned(mut url) => {
            url.truncate(end);
            Cow::Owned(url)
        }
    }
}
