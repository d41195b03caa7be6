//! Speaks DingTalk's robot API: renders what is to be said, signs it, sends it, and says in words why it was refused.
//!
//! Top-down: [`Robot`] is the client behind [`alert::Notifier`]; [`render`] is the pure step before it: a message becomes
//! a card of rows (`card`), the card becomes markdown or plain text in which nothing of an event can act (`write`,
//! `markdown`, `mask`), and that becomes the JSON of [`Body`]. `errcode` reads the answers.
//!
//! Source: DingTalk, "Custom robots: send group messages", "Robot message types", "Customize robot security settings".

mod card;
mod config;
mod errcode;
mod links;
mod markdown;
mod mask;
pub mod message;
mod render;
mod robot;
mod sign;
mod words;
mod write;

pub use alert::Mention;

pub use crate::config::{
    Language, MessageKind, OpenLinks, RobotConfig, Secret, Webhook, WebhookError,
};
pub use crate::message::Body;
pub use crate::render::render;
pub use crate::robot::{HttpSettings, Robot, RobotError};
