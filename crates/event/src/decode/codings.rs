//! Which content codings lie on a body.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::codec::Coding;
use crate::error::DecodeError;

/// The content codings of a body, as its `Content-Encoding` fields name them.
///
/// What cannot be undone is told to whoever tries: a body that nobody reads may have any coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codings(Result<[Option<Coding>; MAX], DecodeError>);

impl Codings {
    /// No coding at all.
    pub const NONE: Codings = Codings(Ok([None; MAX]));

    /// Reads the values of the fields, each a list, in their order.
    ///
    /// sentry-ruby 5.3 sends an empty field, old Android SDKs send `UTF-8`; both mean none.
    pub fn of_fields<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Codings {
        let (mut codings, mut count) = ([None; MAX], 0);
        let names = values
            .into_iter()
            .flat_map(|value| value.split(|byte| *byte == b','));
        for name in names {
            match Coding::of_name(name.trim_ascii()) {
                Ok(None) => {}
                Ok(coding) if count < MAX => {
                    codings[count] = coding;
                    count += 1;
                }
                Ok(Some(_)) => return Codings(Err(DecodeError::TooManyCodings)),
                Err(error) => return Codings(Err(error)),
            }
        }
        Codings(Ok(codings))
    }

    /// Returns the only coding, if there is one; `None` when there are several, or they cannot be undone.
    pub(crate) fn at_most_one(self) -> Option<Option<Coding>> {
        match self.0 {
            Ok([only, None, ..]) => Some(only),
            Ok(_) | Err(_) => None,
        }
    }

    /// Returns the codings to undo, outermost first.
    pub(super) fn to_undo(self) -> Result<impl Iterator<Item = Coding>, DecodeError> {
        self.0.map(|codings| codings.into_iter().rev().flatten())
    }
}

/// The value of the only field, if there is one.
impl From<Option<&[u8]>> for Codings {
    fn from(value: Option<&[u8]>) -> Codings {
        Codings::of_fields(value)
    }
}

impl From<&HeaderMap> for Codings {
    fn from(headers: &HeaderMap) -> Codings {
        let values = headers.get_all(CONTENT_ENCODING);
        Codings::of_fields(values.iter().map(|value| value.as_bytes()))
    }
}

/// One coding is usual; more than three serve nobody but a bomb.
const MAX: usize = 3;
