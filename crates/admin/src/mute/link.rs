//! The page behind a card's link: it asks, and a button does it. Small, for phones, without JavaScript.
//!
//! Chats fetch links to show a preview, so GET changes nothing.

use std::time::SystemTime;

use alert::mute::keyring::Refused;
use alert::mute::link::{LinkError, MuteLink};
use alert::mute::{Author, issue_mute_id};
use askama::Template;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use state::{Mute, Unavailable};

use super::origin::Origin;
use super::words::{Language, Words};
use crate::Admin;

pub(super) async fn ask(
    State(admin): State<Admin>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let (now, language) = (SystemTime::now(), Language::of(&parameters));
    let asked = Visit::of(&admin, parameters, now).await;
    let page = asked.map(|visit| visit.question(language, now));
    page.unwrap_or_else(|refusal| refusal.page(language))
}

pub(super) async fn obey(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Form(parameters): Form<Parameters>,
) -> Response {
    let (now, language) = (SystemTime::now(), Language::of(&parameters));
    let obeyed = obeyed(&admin, &headers, parameters, language, now).await;
    obeyed.unwrap_or_else(|refusal| refusal.page(language))
}

async fn obeyed(
    admin: &Admin,
    headers: &HeaderMap,
    parameters: Parameters,
    language: Language,
    now: SystemTime,
) -> Result<Response, Refusal> {
    let public_url = admin.config.borrow().public_url.clone();
    // Some pages in an app say `null`; who has a link may use it. Another site's page has no business here.
    if Origin::of(headers, public_url.as_deref()) == Origin::Foreign {
        return Err(Refusal::Foreign);
    }
    let is_undo = parameters.iter().any(|(name, _)| name == "undo");
    let visit = Visit::of(admin, parameters, now).await?;
    if is_undo {
        return visit.undo(admin, language).await;
    }
    visit.mute(admin, language, now).await
}

/// The parameters of a link, and what the form adds.
type Parameters = Vec<(String, String)>;

/// A genuine link, and what is known of its issue.
struct Visit {
    link: MuteLink,
    parameters: Parameters,
    title: Option<String>,
    project: String,
    /// The mute that the issue has already.
    before: Option<Mute>,
}

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Link(LinkError),
    Foreign,
    Unavailable,
}

impl Visit {
    /// Checks the link before anything else is looked at.
    async fn of(admin: &Admin, parameters: Parameters, now: SystemTime) -> Result<Self, Refusal> {
        let link = admin.muting.keyring.verify(&parameters, now).await?;
        let id = issue_mute_id(&link.issue);
        let mutes = admin.muting.mutes.list(now).await?;
        let known = admin.store.issue(&link.issue).await?;
        let project = link.issue.project;
        let config = admin.config.borrow();
        let name = config.project_name(project).map(str::to_owned);
        Ok(Self {
            link,
            parameters,
            title: known.map(|issue| issue.title),
            project: name.unwrap_or_else(|| project.to_string()),
            before: mutes.into_iter().find(|mute| mute.id == id),
        })
    }

    fn question(&self, language: Language, now: SystemTime) -> Response {
        let words = language.words();
        let state = self.before.as_ref().map(|mute| language.muted(mute));
        let button = match self.is_kept(now) {
            true => None,
            false => Some(language.mute_for(self.link.lasts)),
        };
        let has_undo = self.before.as_ref().is_some_and(is_by_link);
        self.page(language, words.question, state, button, has_undo)
    }

    /// Mutes, unless the issue is muted for longer already: a click that is repeated must not shorten anything.
    async fn mute(
        mut self,
        admin: &Admin,
        language: Language,
        now: SystemTime,
    ) -> Result<Response, Refusal> {
        if !self.is_kept(now) {
            // Whoever muted it for a shorter time stays its author: a link undoes what a link did, and nothing else.
            let (by, comment) = match self.before.take() {
                Some(before) => (before.by, before.comment),
                None => (BY_LINK.to_owned(), String::new()),
            };
            let author = Author {
                by,
                until: now.checked_add(self.link.lasts),
                comment,
            };
            let mutes = &admin.muting.mutes;
            self.before = Some(mutes.mute_issue(self.link.issue, author, now).await?);
        }
        let state = self.before.as_ref().map(|mute| language.muted(mute));
        let has_undo = self.before.as_ref().is_some_and(is_by_link);
        Ok(self.page(language, language.words().done, state, None, has_undo))
    }

    /// Removes a mute that was set by link; others are for those who set them.
    async fn undo(self, admin: &Admin, language: Language) -> Result<Response, Refusal> {
        let words = language.words();
        if let Some(mute) = self.before.as_ref().filter(|mute| !is_by_link(mute)) {
            let state = Some(language.muted(mute));
            return Ok(self.page(language, words.not_undone, state, None, false));
        }
        admin
            .muting
            .mutes
            .unmute(&issue_mute_id(&self.link.issue))
            .await?;
        let button = Some(language.mute_for(self.link.lasts));
        Ok(self.page(language, words.undone, None, button, false))
    }

    /// Returns whether the issue is muted for as long already as the link would mute it.
    fn is_kept(&self, now: SystemTime) -> bool {
        let end = now.checked_add(self.link.lasts);
        let lasts = |mute: &Mute| mute.until.is_none() || mute.until >= end;
        self.before.as_ref().is_some_and(lasts)
    }

    fn page(
        &self,
        language: Language,
        heading: &str,
        state: Option<String>,
        button: Option<String>,
        has_undo: bool,
    ) -> Response {
        let words = language.words();
        let signed = self.parameters.iter();
        let signed = signed.filter(|(name, _)| SIGNED.contains(&name.as_str()));
        let page = Page {
            language: language.code(),
            words,
            heading,
            title: self.title.as_deref().unwrap_or(words.unknown_issue),
            project: &self.project,
            state: state.as_deref(),
            button: button.as_deref(),
            has_undo,
            note: Some(words.who_may_undo),
            parameters: signed.cloned().collect(),
        };
        page.answer(StatusCode::OK)
    }
}

fn is_by_link(mute: &Mute) -> bool {
    mute.by == BY_LINK
}

impl Refusal {
    fn page(self, language: Language) -> Response {
        let words = language.words();
        let (heading, hint) = language.refusal(self);
        let page = Page {
            language: language.code(),
            words,
            heading,
            title: "",
            project: "",
            state: Some(hint),
            button: None,
            has_undo: false,
            note: None,
            parameters: Vec::new(),
        };
        page.answer(match self {
            Self::Link(LinkError::Incomplete) => StatusCode::BAD_REQUEST,
            Self::Link(LinkError::Forged) | Self::Foreign => StatusCode::FORBIDDEN,
            Self::Link(LinkError::Expired) => StatusCode::GONE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        })
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Link(error) => Self::Link(error),
            Refused::Unavailable(_) => Self::Unavailable,
        }
    }
}

impl From<Unavailable> for Refusal {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

/// Values are escaped by the template engine: its file name ends in `.html`.
#[derive(Template)]
#[template(path = "mute.html")]
struct Page<'p> {
    language: &'static str,
    words: &'static Words,
    heading: &'p str,
    title: &'p str,
    project: &'p str,
    state: Option<&'p str>,
    button: Option<&'p str>,
    has_undo: bool,
    note: Option<&'p str>,
    parameters: Parameters,
}

impl Page<'_> {
    fn answer(&self, status: StatusCode) -> Response {
        match self.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// Who has set a mute by a card's link: nobody knows the name.
pub(super) const BY_LINK: &str = "link";

/// What a link is made of, and the language.
const SIGNED: [&str; 5] = ["issue", "for", "exp", "sig", "lang"];
