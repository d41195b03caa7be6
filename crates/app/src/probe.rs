//! Sends one test card to one robot.

use std::time::SystemTime;

use alert::{Message, Notifier, Retry};
use dingtalk::{HttpSettings, Robot, RobotConfig};

pub use alert::Failure;

/// Sends the test card through each of a robot's webhooks and returns the first refusal, if there is one.
///
/// # Errors
/// When a card was not delivered: the robot's words and what can be done.
pub async fn send_test(config: &RobotConfig) -> Result<(), Failure> {
    let now = SystemTime::now();
    crate::process::install_crypto();
    let robot = Robot::new(config.clone(), &HttpSettings::default()).map_err(|error| Failure {
        reason: "client",
        detail: error.to_string(),
        hint: "",
        retry: Retry::Never,
    })?;
    let message = Message::Test {
        robot: config.name.clone(),
        at: now,
    };
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let id = format!("test-{}", since.as_millis());
    for channel in 0..robot.channels().len() {
        robot.notify(channel, &message, &id, now).await?;
    }
    Ok(())
}
