//! New configurations while the process runs: each is put in force or refused, and whoever asked hears what came of it.

use admin::reload::Asked;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::settings::Settings;
use crate::vitals::Stage;

/// A configuration that is to be put in force, and who waits for what comes of it.
#[derive(Debug)]
pub struct Reload {
    /// The configuration.
    pub config: Config,
    /// Who waits, if anyone does.
    pub answer: Option<Asked>,
}

/// Puts each new configuration in force, and tells that requests are taken under it. Never ends, also when no more can come.
pub(crate) async fn obey(
    mut reloads: mpsc::Receiver<Reload>,
    mut settings: Settings,
    proxy: &proxy::Running,
    tell: &(dyn Fn(Stage) + Send + Sync),
) {
    while let Some(Reload { config, answer }) = reloads.recv().await {
        let applied = settings.apply(config, proxy);
        match &applied {
            Ok(changed) => {
                let changed = changed.join(", ");
                tracing::info!(changed, "configuration reloaded");
            }
            Err(error) => {
                let error: &dyn std::error::Error = error;
                tracing::warn!(
                    error,
                    "configuration not reloaded, the old one stays in force"
                );
            }
        }
        if let Some(answer) = answer {
            // Who asked may have left.
            let _ = answer.send(applied.map_err(|error| in_words(&error)));
        }
        tell(Stage::Serving);
    }
    std::future::pending().await
}

/// Says what failed, and each cause.
fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
