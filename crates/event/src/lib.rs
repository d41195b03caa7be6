//! What an SDK sends to Sentry: endpoints, authentication, content codings, envelopes, store bodies and the fields we read.
//!
//! Pure: no I/O, no clock. Top-down: [`endpoint`] names what a request path means, [`auth`] finds the DSN's public key,
//! [`read`] goes from a captured request to its events by way of [`decode`], which undoes content codings within a bound,
//! [`envelope`], [`store`], [`security`], [`crash`], [`check_in`] and [`log`], which split and parse a body into
//! [`model::Event`]s; [`title`] says what Sentry would call them, and [`peek`] is for those who cannot wait for all of that.

pub mod auth;
pub mod category;
pub mod check_in;
pub mod crash;
pub mod decode;
pub mod dsn;
pub mod endpoint;
pub mod envelope;
pub mod error;
mod json;
pub mod log;
mod logentry;
pub mod model;
mod multipart;
pub mod peek;
mod query;
pub mod read;
pub mod refresh;
pub mod scan;
pub mod security;
pub mod store;
mod timestamp;
pub mod title;

pub use auth::{Auth, AuthSource, PublicKey};
pub use category::Categories;
pub use decode::Codings;
pub use dsn::Dsn;
pub use endpoint::{Endpoint, EndpointKind, ProjectId};
pub use envelope::{Envelope, ItemCounts, ItemType};
pub use error::{DecodeError, DsnError, EnvelopeError, ParseError};
pub use model::{Event, EventId, EventKind, Level};
pub use read::{Parsed, decode_body, parse_body, parse_request};
pub use store::parse_event;
