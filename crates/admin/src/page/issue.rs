//! One page of issues.

use state::{Issue, IssueRoute, Unavailable};

use super::View;
use crate::chart;
use crate::issues::{IssueQuery, event_url, find, project_name, time};
use crate::words::grouped;

/// What the list shows.
pub(super) struct Issues {
    pub(super) known: String,
    pub(super) rows: Vec<IssueRow>,
    /// The query of the next page.
    pub(super) next: Option<String>,
    /// Whether the search was given up before this page was full.
    pub(super) is_partial: bool,
}

pub(super) struct IssueRow {
    pub(super) key: String,
    pub(super) title: String,
    pub(super) mark: &'static str,
    pub(super) level: &'static str,
    pub(super) project: String,
    pub(super) environment: String,
    pub(super) url: Option<String>,
    pub(super) events: String,
    pub(super) users: String,
    pub(super) first_seen: Moment,
    pub(super) last_seen: Moment,
    /// What was said, route by route.
    pub(super) said: Vec<String>,
    /// What became of the newest event, where this process saw it.
    pub(super) newest: Option<String>,
    pub(super) sparkline: Option<Sparkline>,
}

/// A moment for people, and for programs.
pub(super) struct Moment {
    pub(super) text: String,
    pub(super) iso: String,
}

pub(super) struct Sparkline {
    pub(super) bars: String,
    pub(super) events: String,
}

impl View<'_> {
    pub(super) async fn issues(&self, query: &IssueQuery) -> Result<Issues, Unavailable> {
        let found = find(&self.site.admin, query, ON_A_PAGE).await?;
        Ok(Issues {
            known: grouped(found.known as u64),
            is_partial: found.next.is_some() && found.issues.len() < ON_A_PAGE,
            next: found.next.map(|next| query.with_after(&next)),
            rows: found.issues.iter().map(|issue| self.issue(issue)).collect(),
        })
    }

    fn issue(&self, issue: &Issue) -> IssueRow {
        let (admin, language) = (&self.site.admin, self.language);
        let trace = admin.activity.of(&issue.key, self.now);
        let project = project_name(admin, issue.key.project);
        let (mark, level) = language.level(issue.level);
        let floor = if issue.are_users_exact { "" } else { "≥ " };
        let routes = issue.routes.iter();
        IssueRow {
            key: issue.key.to_string(),
            title: issue.title.clone(),
            mark,
            level,
            project: project.unwrap_or_else(|| issue.key.project.to_string()),
            environment: issue.environment.clone(),
            url: event_url(admin, issue),
            events: grouped(issue.events),
            users: format!("{floor}{}", grouped(issue.users)),
            first_seen: self.moment(issue.first_seen),
            last_seen: self.moment(issue.last_seen),
            said: routes
                .map(|route| self.said(route, issue.routes.len()))
                .collect(),
            newest: trace
                .as_ref()
                .map(|trace| language.outcome(&trace.outcome, self.now)),
            sparkline: trace.map(|trace| Sparkline {
                bars: chart::sparkline(&trace.minutes),
                events: grouped(trace.minutes.iter().map(|count| u64::from(*count)).sum()),
            }),
        }
    }

    pub(super) fn moment(&self, at: std::time::SystemTime) -> Moment {
        Moment {
            text: self.language.ago(at, self.now),
            iso: time(at),
        }
    }

    /// Says what was said on a route; the route's name only where there are several.
    fn said(&self, route: &IssueRoute, routes: usize) -> String {
        let words = self.language.words();
        let config = self.site.admin.config.borrow();
        let name = config.routes.find(route.route);
        let name = name
            .filter(|_| routes > 1)
            .map(|route| route.path().join(" › "));
        let prefix = name.map_or_else(String::new, |name| format!("{name}: "));
        let said = match route.said {
            None if route.is_claimed => words.on_its_way.to_owned(),
            None => words.unsaid.to_owned(),
            Some(said) if said.is_stopped => {
                format!(
                    "{} {}",
                    words.said_stopped,
                    self.language.ago(said.at, self.now)
                )
            }
            Some(said) => format!("{} {}", words.said, self.language.ago(said.at, self.now)),
        };
        let more = match (route.said, route.is_claimed) {
            (Some(_), true) => format!(" · {}", words.on_its_way),
            (Some(_) | None, _) => String::new(),
        };
        format!("{prefix}{said}{more}")
    }
}

const ON_A_PAGE: usize = 50;
