//! The commands and their flags, as `--help` shows them.

use std::net::SocketAddr;
use std::path::PathBuf;

use app::Sources;
use clap::{Args, Parser, Subcommand};

mod install;

pub(crate) use self::install::{
    CompletionsArguments, HealthArguments, InitArguments, ManArguments,
};

/// A Sentry-compatible ingest proxy: forwards every request to Sentry unchanged and tells DingTalk robots about errors.
#[derive(Debug, Parser)]
#[command(name = "sentry-notice", version = env!("SENTRY_NOTICE_VERSION"), max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a first configuration: asks for what it needs or takes flags, tries both ends, prints the DSN to use.
    ///
    /// Exits with 0 when Sentry answered and the robot took a test card, 1 when the file is written but one of them did
    /// not, 2 when nothing was written.
    Init(InitArguments),
    /// Run the proxy until SIGTERM or SIGINT.
    ///
    /// Prints every address it listens on to stderr. Exits with 0 when stopped, 1 when it cannot go on, 2 when the
    /// configuration is wrong.
    Run(RunArguments),
    /// Report every problem of a configuration at once, then what it means.
    ///
    /// Exits with 0 when `run` would accept it, 2 otherwise.
    Check(CheckArguments),
    /// Send a test card to each robot and print DingTalk's verdict in words.
    ///
    /// Exits with 0 when every card was delivered, 1 when one was not, 2 when the configuration is wrong or has no such robot.
    SendTest(SendTestArguments),
    /// Show what an event would become: title, culprit, group, route and the exact DingTalk message. Sends nothing.
    ///
    /// Exits with 0 when every file could be read as events, 1 when not, 2 when the configuration or the call is wrong.
    Render(RenderArguments),
    /// Run the real proxy between an embedded fake Sentry and an embedded robot simulator, and send it sample events.
    ///
    /// Needs no network and no configuration. Prints a DSN to point any SDK at, and what arrives.
    Demo(DemoArguments),
    /// Print the DSN to give to the SDK, so that it sends through the proxy.
    Dsn(DsnArguments),
    /// Look into the directory in which requests wait for Sentry, also of a proxy that is stopped.
    ///
    /// Exits with 0 when it was done, 1 when not, 2 when the configuration is wrong or names no spool.
    Spool(SpoolArguments),
    /// List, set and remove mutes of a proxy that runs, through its admin pages.
    ///
    /// Exits with 0 when it was done, 1 when not, 2 when the call is wrong.
    Mute(MuteArguments),
    /// Ask a running proxy whether it takes requests; for HEALTHCHECK and probes.
    ///
    /// Exits with 0 when it does, 1 otherwise, 2 when the call is wrong.
    Health(HealthArguments),
    /// Print the completion script of a shell.
    Completions(CompletionsArguments),
    /// Print the manual page, of the program or of one command.
    Man(ManArguments),
}

#[derive(Debug, Args)]
pub(crate) struct MuteArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArgument,
    /// The admin pages, such as `http://127.0.0.1:9011`; the configuration's `admin.listen` when not given
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) admin: Option<String>,
    /// Their token; SENTRY_NOTICE__ADMIN__TOKEN of the environment when not given, then, without --admin, the configuration's `admin.token`
    #[arg(long, value_name = "TOKEN", global = true)]
    pub(crate) token: Option<String>,
    #[command(subcommand)]
    pub(crate) command: MuteCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MuteCommand {
    /// List the mutes in force, those of the file too
    List {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Mute one issue, or everything that matches; events are forwarded and counted as always
    Add(MuteAddArguments),
    /// Remove mutes by their ids
    Remove {
        /// The ids, as `mute list` names them
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MuteAddArguments {
    /// The issue, as the status page names it: a project id, `:`, and 32 hex digits
    #[arg(
        long,
        value_name = "ISSUE",
        conflicts_with = "conditions",
        required_unless_present = "conditions"
    )]
    pub(crate) issue: Option<String>,
    /// A condition, such as `title=*timeout*`; of several keys all must hold, of one key several times any pattern
    #[arg(long = "match", value_name = "KEY=PATTERN")]
    pub(crate) conditions: Vec<String>,
    /// For how long, such as 30m, 1h, 7d; until it is removed when neither this nor --until is given
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "until")]
    pub(crate) lasts: Option<String>,
    /// Until when, such as 2026-12-31T18:00:00Z
    #[arg(long, value_name = "MOMENT")]
    pub(crate) until: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Who; the user's name when not given
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SpoolArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArgument,
    /// The spool's directory; the configuration's `spool.dir` when not given
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: SpoolCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// Say how much waits, for which projects and for how long, what Sentry refused and what is damaged
    Stats {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Write every request into a directory, one file each, as HTTP messages; changes nothing in the spool
    Export {
        /// The directory; made if it is missing
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Remove requests for good; the proxy has to be stopped
    Drop {
        /// Remove only those that Sentry refused
        #[arg(long)]
        refused: bool,
        /// Do it; without this, only say what would be removed
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgument {
    /// The configuration file; `proxy.toml` here, if there is one, when not given
    #[arg(long, short, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArgument,
    /// Where SDKs connect to, such as 0.0.0.0:9010; wins over `listen` in the file
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Sentry's address, such as `https://sentry.example.com`; wins over `upstream.url` in the file
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArgument,
}

#[derive(Debug, Args)]
pub(crate) struct SendTestArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArgument,
    /// Test only the robot of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) robot: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RenderArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArgument,
    /// The project id to assume when the input does not name one
    #[arg(long, value_name = "ID", default_value = "1")]
    pub(crate) project: String,
    /// Print one line of JSON per event
    #[arg(long)]
    pub(crate) json: bool,
    /// Event JSON or envelopes, as an SDK sends them, also compressed; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Where the proxy listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9010")]
    pub(crate) listen: SocketAddr,
    /// Stop after this many seconds, and fail unless every sample was forwarded and alerted as expected
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// The language of the cards: zh-CN or en
    #[arg(long, value_name = "LANGUAGE", default_value = "zh-CN", value_parser = ["zh-CN", "en"])]
    pub(crate) language: String,
}

#[derive(Debug, Args)]
pub(crate) struct DsnArguments {
    /// The DSN that Sentry shows for the project
    pub(crate) dsn: String,
    /// The address of the proxy as the SDK sees it
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9010")]
    pub(crate) proxy: String,
}

impl ConfigArgument {
    pub(crate) fn sources(&self) -> Sources {
        Sources::of_process(self.config.clone())
    }
}
