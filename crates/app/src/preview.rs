//! What an event would become, without sending anything: for the `render` command.

use std::time::SystemTime;

use alert::engine::window_of;
use alert::mute::standing_mute;
use alert::{Counts, Message, Reason, Route, Sight, Subject};
use bytes::Bytes;
use dingtalk::RobotConfig;
use event::model::Event;
use event::{Codings, EndpointKind, ProjectId};
use grouping::{Explanation, Group};
use state::{IssueHash, IssueKey};

use crate::config::Config;

pub use alert::route::Step;

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
    /// Names of the routes down to each that it takes, root first; none when it does not alert.
    pub routes: Vec<Vec<String>>,
    /// Each route that was tried, and why it was taken or not; none when it does not alert.
    pub steps: Vec<Step>,
    /// Which mute of the file keeps it silent.
    pub muted_by: Option<String>,
    /// The message of each robot that would speak; none when it does not alert or is muted.
    pub messages: Vec<Said>,
}

/// What one robot would say.
#[derive(Debug)]
pub struct Said {
    /// The robot's name in the config.
    pub robot: String,
    /// DingTalk's JSON.
    pub body: serde_json::Value,
    /// The text within it, as people would read it.
    pub text: String,
    /// Why the robot's template could not write it, so that the built-in card comes instead.
    pub template_problem: Option<String>,
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
    let body = event::decode::decode(Codings::NONE, &[bytes], config.tee.max_decoded)?;
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
    let facts = config.alert.facts(&sight);
    let is_alertable = config.alert.may_alert(event);
    let (mut taken, mut steps) = (Vec::new(), Vec::new());
    if is_alertable {
        taken = config.alert.routes.taken_by(&facts);
        steps = config.alert.routes.explain(&facts);
    }
    let muted_by = standing_mute(&config.alert.mutes, &facts, now);
    let speaking = taken.iter().filter(|_| muted_by.is_none());
    Preview {
        subject: Subject::of(&sight, &config.alert),
        explanation: grouping::explain(event, &config.grouping),
        is_alertable,
        routes: taken.iter().map(|route| route.path().to_vec()).collect(),
        steps,
        messages: speaking
            .flat_map(|route| messages(config, &sight, route, now))
            .collect(),
        muted_by,
        group: group.clone(),
    }
}

/// Returns what each robot of a route would say on first sight.
fn messages(config: &Config, sight: &Sight<'_>, route: &Route, now: SystemTime) -> Vec<Said> {
    let reason = match route.rule.threshold.is_trivial() {
        true => Reason::FirstSeen,
        false => Reason::Threshold,
    };
    let counts = Counts {
        window: window_of(&route.rule, reason),
        ..first_counts(sight.event, now)
    };
    let issue = IssueKey::new(sight.project.value(), IssueHash::of(&sight.group.hashes[0]));
    let identity = ("preview".to_owned(), issue);
    let alert = sight.alert(&config.alert, route, reason, counts, identity);
    let message = Message::Alert(Box::new(alert));
    let robots = route.robots.iter();
    robots
        .filter_map(|name| config.robots.get(name))
        .map(|robot| said(&message, robot, now))
        .collect()
}

fn said(message: &Message, robot: &RobotConfig, now: SystemTime) -> Said {
    let body = dingtalk::render(message, robot, now);
    let problem = dingtalk::template_problem(message, robot, now);
    Said {
        robot: robot.name.clone(),
        text: body.text().to_owned(),
        body: serde_json::to_value(&body)
            .expect("a message is made of texts and lists, which JSON has"),
        template_problem: problem.map(|problem| format!("line {}: {problem}", problem.line)),
    }
}

fn first_counts(event: &Event<'_>, now: SystemTime) -> Counts {
    Counts {
        events: 1,
        events_since_said: 1,
        users: u64::from(event.user.as_ref().is_some_and(|user| user.key().is_some())),
        first_seen: now,
        last_seen: now,
        are_users_exact: true,
        last_said: None,
        window: None,
        quiet: None,
    }
}
