//! What stands in `deploy/` is true: each file passes the check of the tool that reads it, fits the program, and the image
//! is built and run.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "deploy/files.rs"]
mod files;
#[path = "deploy/image.rs"]
mod image;
#[path = "deploy/metrics.rs"]
mod metrics;
#[path = "support/program.rs"]
mod program;
#[path = "deploy/tools.rs"]
mod tools;
