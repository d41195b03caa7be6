//! Durable queue of requests that Sentry could not take.
//!
//! Empty for now: until it is built, such a request is refused with 503 and counted as lost, see `proxy::handler`.
