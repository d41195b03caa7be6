//! What an SDK sends to Sentry: endpoints, authentication, content codings, envelopes, store bodies and the fields we read.
//!
//! Pure: no I/O, no clock. Top-down: [`endpoint`] names what a request path means, [`auth`] finds the DSN's public key,
//! [`decode`] undoes content codings within a bound, `envelope` and `store` split and parse a body into
//! [`model::Event`]s, `title` says what Sentry would call them.

pub mod auth;
pub mod decode;
pub mod dsn;
pub mod endpoint;
pub mod error;
pub mod model;
mod query;

pub use auth::{Auth, AuthSource, PublicKey};
pub use dsn::Dsn;
pub use endpoint::{Endpoint, EndpointKind, ProjectId};
pub use model::{Event, EventId, EventKind, Level};
