//! The flags of the commands that are called once, when the program is installed, or by other programs.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::ConfigArgument;

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Sentry's address, such as `https://sentry.example.com`; that of --dsn when not given
    #[arg(long, value_name = "URL")]
    pub(crate) sentry: Option<String>,
    /// The DSN that Sentry shows for a project: its key is tried, and the DSN to give to the SDK printed
    #[arg(long, value_name = "DSN")]
    pub(crate) dsn: Option<String>,
    /// The robot's webhook, from its settings in DingTalk; "" = no robot yet
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// The robot's secret (SEC…), when its security setting is 加签 (sign); also "${ENVIRONMENT_VARIABLE}"
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Option<String>,
    /// The robot's keyword, when its security setting is 自定义关键词 (keyword)
    #[arg(long, value_name = "WORD")]
    pub(crate) keyword: Option<String>,
    /// The language of the cards: zh-CN or en
    #[arg(long, value_name = "LANGUAGE", default_value = "zh-CN", value_parser = ["zh-CN", "en"])]
    pub(crate) language: String,
    /// The address of the proxy as the SDK sees it
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9010")]
    pub(crate) proxy: String,
    /// The file to write
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml")]
    pub(crate) output: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Ask nothing, also on a terminal
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Neither ask Sentry nor send a test card
    #[arg(long)]
    pub(crate) no_check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HealthArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArgument,
    /// The admin address to ask, such as `http://127.0.0.1:9011`; the configuration's `admin.listen` when not given
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Ask only whether the process is alive (/healthz), not whether it takes requests (/readyz)
    #[arg(long)]
    pub(crate) alive: bool,
    /// Seconds to wait for the answer
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell that reads it
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The command the page is about, such as `run` or `spool stats`; the whole program when not given
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}
