//! What the status page looks at, in the words of the admin crate: the forwarding side's numbers, and cards as robots sent them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use admin::snapshot::{Spool, Traffic, Upstream};
use admin::{Card, Draw, Probe, Snapshot};
use alert::Sent;
use dingtalk::message::{Buttons, Content};
use dingtalk::{OpenLinks, RobotConfig};
use proxy::{Metrics, Outlook, Totals, UpstreamState};
use spool::Queue;

/// Returns what reads the numbers of the moment; `size` is what the spool may hold.
pub(crate) fn probe(metrics: Arc<Metrics>, outlook: Outlook, spool: Option<(Queue, u64)>) -> Probe {
    Arc::new(move || Snapshot {
        traffic: traffic(metrics.totals()),
        upstreams: outlook.upstreams().into_iter().map(upstream).collect(),
        spool: spool.as_ref().map(|(queue, size)| look_into(queue, *size)),
    })
}

/// Returns what draws messages by the settings of the robots that sent them.
pub(crate) fn draw(robots: &BTreeMap<String, RobotConfig>) -> Draw {
    // DingTalk's own links lead nowhere in a browser.
    let plain = robots.iter().map(|(name, robot)| {
        let robot = RobotConfig {
            open_links_in: OpenLinks::Sidebar,
            ..robot.clone()
        };
        (name.clone(), robot)
    });
    let robots: BTreeMap<String, RobotConfig> = plain.collect();
    Arc::new(move |sent| robots.get(&sent.robot).map(|robot| card(sent, robot)))
}

fn traffic(totals: Totals) -> Traffic {
    Traffic {
        answered: totals.answered,
        spooled: totals.spooled,
        lost: totals.lost,
        refused: totals.refused,
        bounds: Totals::bounds().collect(),
        answers: totals.answers_by_time,
        upstream: totals.upstream_by_time,
    }
}

fn upstream(state: UpstreamState) -> Upstream {
    let projects = state.projects.iter().map(ToString::to_string);
    let now = Instant::now();
    Upstream {
        projects: projects.collect(),
        down_for: state
            .down_since
            .map(|since| now.saturating_duration_since(since)),
        is_late: state.is_late,
        origin: state.origin,
    }
}

fn look_into(queue: &Queue, size: u64) -> Spool {
    let counts = queue.counts();
    Spool {
        bytes: counts.bytes,
        size,
        requests: counts.requests,
        refused: counts.refused,
        oldest: queue.oldest_waits_for(),
        is_failing: counts.is_failing,
    }
}

fn card(sent: &Sent, robot: &RobotConfig) -> Card {
    let body = dingtalk::render(&sent.message, robot, sent.at);
    let is_markdown = matches!(
        body.content,
        Content::Markdown { .. } | Content::ActionCard { .. }
    );
    Card {
        text: body.text().to_owned(),
        is_markdown,
        buttons: buttons(body.content),
    }
}

fn buttons(content: Content) -> Vec<(String, String)> {
    let Content::ActionCard { action_card } = content else {
        return Vec::new();
    };
    match action_card.buttons {
        Buttons::Single { title, url } => vec![(title, url)],
        Buttons::Many { buttons, .. } => buttons
            .into_iter()
            .map(|button| (button.title, button.action_url))
            .collect(),
    }
}
