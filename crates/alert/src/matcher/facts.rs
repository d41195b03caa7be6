//! The facts of an event that patterns look at.

use event::endpoint::ProjectId;
use event::model::{Event, Level};

use super::MatchKey;

/// The facts that patterns look at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'e> {
    /// The numeric project id of the DSN.
    pub project: ProjectId,
    /// The project's name in the config.
    pub project_name: Option<&'e str>,
    /// How bad it is.
    pub level: Level,
    /// The title.
    pub title: &'e str,
    /// The culprit.
    pub culprit: &'e str,
    /// The event; `None` when only the issue is known, and then its other facts match nothing.
    pub event: Option<&'e Event<'e>>,
}

impl Facts<'_> {
    /// Returns whether a test holds for any value of a key.
    pub(super) fn any(&self, key: &MatchKey, test: &mut dyn FnMut(&str) -> bool) -> bool {
        match key {
            MatchKey::Project => {
                test(&self.project.to_string()) || self.project_name.is_some_and(test)
            }
            MatchKey::Level => test(self.level.as_str()),
            MatchKey::Title => test(self.title),
            MatchKey::Culprit => test(self.culprit),
            MatchKey::Environment
            | MatchKey::Release
            | MatchKey::Dist
            | MatchKey::Logger
            | MatchKey::Platform
            | MatchKey::ServerName
            | MatchKey::Transaction
            | MatchKey::Exception
            | MatchKey::Handled
            | MatchKey::Sdk
            | MatchKey::Tag(_) => self
                .event
                .is_some_and(|event| any_of_event(event, key, test)),
        }
    }
}

fn any_of_event(event: &Event<'_>, key: &MatchKey, test: &mut dyn FnMut(&str) -> bool) -> bool {
    let field = match key {
        MatchKey::Environment => event.environment.as_deref(),
        MatchKey::Release => event.release.as_deref(),
        MatchKey::Dist => event.dist.as_deref(),
        MatchKey::Logger => event.logger.as_deref(),
        MatchKey::Platform => Some(event.platform.as_ref()),
        MatchKey::ServerName => event.server_name.as_deref(),
        MatchKey::Transaction => event.transaction.as_deref(),
        MatchKey::Sdk => event.sdk.as_ref().and_then(|sdk| sdk.name.as_deref()),
        MatchKey::Handled => handled(event),
        MatchKey::Exception => {
            let types = event
                .exceptions
                .iter()
                .filter_map(|exception| exception.ty.as_deref());
            return types.into_iter().any(test);
        }
        MatchKey::Tag(name) => {
            let values = event.tags.iter().filter(|(key, _)| key == name);
            return values.into_iter().any(|(_, value)| test(value));
        }
        MatchKey::Project | MatchKey::Level | MatchKey::Title | MatchKey::Culprit => None,
    };
    field.is_some_and(test)
}

fn handled(event: &Event<'_>) -> Option<&'static str> {
    let main = event::title::main_exception(event)?;
    main.mechanism
        .handled
        .map(|handled| if handled { "true" } else { "false" })
}
