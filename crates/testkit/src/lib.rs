//! The world around sentry-notice, small enough to run inside a process: a fake Sentry and what tests say to it.
//!
//! Used by the tests and by `sentry-notice demo`. Nothing here talks to anything but 127.0.0.1, and everything is bounded.
//!
//! - [`FakeSentry`] records raw requests and answers like Relay, or as its [`Script`] says: slowly, wrongly, half, never.
//! - [`RobotSimulator`] takes messages as DingTalk's custom robots do, with the same refusals, and shows what a group would see.
//! - [`SdkRequest`] and [`Client`] send requests with every byte under control; [`Style`] makes them as SDKs do, [`samples`] gives a
//!   set with expectations, and [`Corpus`] loads captured ones.

mod behaviour;
mod client;
mod clock;
mod corpus;
mod event_id;
mod received;
mod record;
mod robot;
mod script;
mod sdk;
mod sentry;
mod server;
mod wire;

pub use behaviour::{Answer, AnswerFraming, Behaviour, Break, Point};
pub use client::{Client, ClientError, Response, send};
pub use clock::SimulatedClock;
pub use corpus::{Corpus, CorpusError, CorpusRequest};
pub use received::Received;
pub use record::NotArrived;
pub use robot::{
    Link, Message, MessageType, Reason, Refusal, Robot, RobotFailure, RobotSimulator, Wording,
};
pub use script::Script;
pub use sdk::{Payload, Sample, SdkKey, SdkRequest, Style, samples};
pub use sentry::FakeSentry;
pub use server::{Listening, Malformed};
pub use wire::{Framing, Headers, Version, WireError};
