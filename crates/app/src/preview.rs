//! What an event would become, without sending anything: for the `render` command.

use std::time::SystemTime;

use alert::{Alert, Counts, Message, Reason, Sight, Subject};
use bytes::Bytes;
use dingtalk::RobotConfig;
use event::model::Event;
use event::{EndpointKind, ProjectId};
use grouping::{Explanation, Group};
use http::HeaderMap;
use state::{IssueHash, IssueKey};

use crate::config::Config;

/// One event of a file, and what it would become.
#[derive(Debug)]
pub struct Preview {
    /// The facts a card may show.
    pub subject: Subject,
    /// Its group.
    pub group: Group,
    /// Why it is in that group.
    pub explanation: Explanation,
    /// Whether its kind and level may alert.
    pub is_alertable: bool,
    /// Names of the route's steps, root first; empty when it does not alert.
    pub route: Vec<String>,
    /// The message of each robot that would speak: name and DingTalk JSON; none when it does not alert.
    pub messages: Vec<(String, serde_json::Value)>,
}

/// Returns what each event of a file would become on first sight; `project` stands in when the file names none.
///
/// # Errors
/// When the bytes are neither an event nor an envelope, also after undoing legacy codings.
pub fn preview(
    config: &Config,
    bytes: Bytes,
    project: ProjectId,
    now: SystemTime,
) -> Result<Vec<Preview>, PreviewError> {
    let body = event::decode::decode(&HeaderMap::new(), &[bytes], config.tee.max_decoded)?;
    let parsed = event::parse_body(&body, EndpointKind::Store)?;
    let project = parsed.project().unwrap_or(project);
    Ok(parsed
        .events
        .iter()
        .map(|event| preview_event(config, event, project, now))
        .collect())
}

/// Why a file cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// Its coding cannot be undone.
    #[error("cannot decode it")]
    Decode(#[from] event::DecodeError),
    /// It is neither an event nor an envelope.
    #[error("cannot read it as an event or an envelope")]
    Parse(#[from] event::ParseError),
}

fn preview_event(
    config: &Config,
    event: &Event<'_>,
    project: ProjectId,
    now: SystemTime,
) -> Preview {
    let group = grouping::group(event, &config.grouping);
    let sight = Sight {
        event,
        project,
        group: &group,
    };
    let subject = Subject::of(&sight, &config.alert);
    let is_alertable = config.alert.may_alert(event);
    let route = if is_alertable {
        config.alert.route()
    } else {
        Vec::new()
    };
    let alert = Alert {
        id: "preview".to_owned(),
        issue: IssueKey::new(project.value(), IssueHash::of(&group.hashes[0])),
        reason: Reason::FirstSeen,
        links: config
            .alert
            .links
            .of(project, event.id, subject.exception_type.as_deref()),
        subject: subject.clone(),
        counts: first_counts(event, now),
        route: route.clone(),
    };
    let message = Message::Alert(Box::new(alert));
    let robots = config.alert.robots.iter().filter(|_| is_alertable);
    let messages = robots
        .filter_map(|name| config.robots.get(name))
        .map(|robot| (robot.name.clone(), body(&message, robot, now)))
        .collect();
    Preview {
        subject,
        explanation: grouping::explain(event, &config.grouping),
        group,
        is_alertable,
        route,
        messages,
    }
}

fn body(message: &Message, robot: &RobotConfig, now: SystemTime) -> serde_json::Value {
    let body = dingtalk::render(message, robot, now);
    serde_json::to_value(&body).expect("a message is made of texts and lists, which JSON has")
}

fn first_counts(event: &Event<'_>, now: SystemTime) -> Counts {
    Counts {
        events: 1,
        events_since_said: 1,
        users: u64::from(event.user.as_ref().is_some_and(|user| user.key().is_some())),
        first_seen: now,
        last_seen: now,
        last_said: None,
    }
}
