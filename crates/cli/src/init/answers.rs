//! What `init` has to know: from flags, and on a terminal from whoever sits at it.

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;

use app::{Dsn, Loaded, Problem, Sources};

use crate::USAGE;
use crate::args::InitArguments;
use crate::dsn;
use crate::report::{fail, say};

/// What was answered; each answer can be used.
pub(super) struct Answers {
    pub(super) sentry: String,
    pub(super) dsn: Option<Dsn>,
    /// Empty: no robot yet.
    pub(super) webhook: String,
    pub(super) secret: String,
    pub(super) keyword: String,
    pub(super) language: String,
}

/// One thing to know: where it stands in the configuration, its flag, and how to ask for it.
struct Question {
    key: &'static str,
    flag: &'static str,
    words: &'static str,
    may_be_empty: bool,
}

impl Answers {
    /// Takes the flags, asks for the rest when there is a terminal, and reports every wrong flag at once.
    pub(super) fn gather(arguments: &InitArguments) -> Result<Self, ExitCode> {
        let may_ask = !arguments.yes && io::stdin().is_terminal() && io::stderr().is_terminal();
        refuse_wrong_flags(arguments, may_ask)?;
        let (sentry, dsn) = match (&arguments.sentry, &arguments.dsn) {
            (sentry, Some(dsn)) => {
                let dsn = dsn::read(dsn)?;
                (sentry.clone().unwrap_or_else(|| dsn.base_url()), Some(dsn))
            }
            (Some(sentry), None) => (sentry.clone(), None),
            (None, None) => ask_sentry()?,
        };
        let given = |flag: &Option<String>, question: &Question| match flag {
            Some(value) => Ok(value.clone()),
            None if may_ask => ask(question),
            None => Ok(String::new()),
        };
        let webhook = given(&arguments.webhook, &WEBHOOK)?;
        let (mut secret, mut keyword) = (String::new(), String::new());
        if !webhook.is_empty() {
            secret = given(&arguments.secret, &SECRET)?;
        }
        if !webhook.is_empty() && (secret.is_empty() || arguments.keyword.is_some()) {
            keyword = given(&arguments.keyword, &KEYWORD)?;
        }
        Ok(Self {
            sentry,
            dsn,
            webhook,
            secret,
            keyword,
            language: arguments.language.clone(),
        })
    }
}

/// Reports every flag that is missing, though nobody can be asked, or that cannot be used.
fn refuse_wrong_flags(arguments: &InitArguments, may_ask: bool) -> Result<(), ExitCode> {
    let mut is_wrong = false;
    if !may_ask && arguments.sentry.is_none() && arguments.dsn.is_none() {
        say("neither --sentry nor --dsn is given, and there is no terminal to ask on");
        say(
            "    hint: --dsn takes the DSN that Sentry shows for a project, --sentry its host part",
        );
        is_wrong = true;
    }
    if !may_ask && arguments.webhook.is_none() {
        say("--webhook is not given, and there is no terminal to ask on");
        say(
            "    hint: it is in the robot's settings in DingTalk; --webhook \"\" goes without a robot",
        );
        is_wrong = true;
    }
    let questions = [(&SENTRY, &arguments.sentry), (&WEBHOOK, &arguments.webhook)];
    for (question, value) in questions {
        let value = value.as_deref().unwrap_or_default();
        if let Some(problem) = (!value.is_empty())
            .then(|| problem_of(question, value))
            .flatten()
        {
            say(problem);
            is_wrong = true;
        }
    }
    is_wrong |= arguments
        .dsn
        .as_deref()
        .is_some_and(|dsn| dsn::read(dsn).is_err());
    is_wrong |= !dsn::is_proxy(&arguments.proxy);
    if is_wrong {
        return Err(ExitCode::from(USAGE));
    }
    Ok(())
}

/// Asks for Sentry's address; a DSN says it too, and more.
fn ask_sentry() -> Result<(String, Option<Dsn>), ExitCode> {
    loop {
        let answer = ask(&SENTRY)?;
        match Dsn::parse(&answer) {
            Ok(dsn) => return Ok((dsn.base_url(), Some(dsn))),
            Err(_) if !answer.contains('@') => return Ok((answer, None)),
            Err(error) => say(format!("this is no DSN: {error}")),
        }
    }
}

/// Asks until the answer can be used.
fn ask(question: &Question) -> Result<String, ExitCode> {
    loop {
        say(question.words);
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(0) => {
                say("nothing was written");
                return Err(ExitCode::from(USAGE));
            }
            Ok(_) => {}
            Err(error) => return Err(fail(&error)),
        }
        let answer = line.trim();
        if answer.is_empty() && !question.may_be_empty {
            continue;
        }
        // A DSN is looked into by who asked for it.
        let is_dsn = question.key == SENTRY.key && answer.contains('@');
        match problem_of(question, answer) {
            Some(problem) if !is_dsn && !answer.is_empty() => {
                say(format!("{}\n    hint: {}", problem.what, problem.hint));
            }
            _ => return Ok(answer.to_owned()),
        }
    }
}

/// Returns what `run` would say about a value.
fn problem_of(question: &Question, value: &str) -> Option<Problem> {
    let around = "[upstream]\nurl = \"http://127.0.0.1\"\n[robot.oncall]\nwebhook = \"token\"\n";
    let sources = Sources {
        text: Some(("init".to_owned(), around.to_owned())),
        environment: Sources::of_process(None).environment,
        flags: vec![(question.flag, question.key, value.to_owned())],
        ..Sources::default()
    };
    let problems = Loaded::read(&sources).err()?;
    problems
        .into_iter()
        .find(|problem| problem.key == question.key)
}

const SENTRY: Question = Question {
    key: "upstream.url",
    flag: "--sentry",
    words: "The DSN of a project, or Sentry's address (its host part):",
    may_be_empty: false,
};
const WEBHOOK: Question = Question {
    key: "robot.oncall.webhook",
    flag: "--webhook",
    words: "The robot's webhook, from group settings → 机器人 → 自定义 in DingTalk (empty = no robot yet):",
    may_be_empty: true,
};
const SECRET: Question = Question {
    key: "robot.oncall.secret",
    flag: "--secret",
    words: "Its secret, SEC…, when its security setting is 加签 (empty = it does not sign):",
    may_be_empty: true,
};
const KEYWORD: Question = Question {
    key: "robot.oncall.keyword",
    flag: "--keyword",
    words: "Its keyword, when its security setting is 自定义关键词 (empty = none):",
    may_be_empty: true,
};
