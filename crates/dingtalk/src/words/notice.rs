//! What the proxy says about itself.

use alert::NoticeKind;

use crate::config::Language;

impl Language {
    /// Returns a headline, and lines that follow it.
    pub(crate) fn notice(self, kind: &NoticeKind) -> (String, Vec<String>) {
        match self {
            Self::ZhCn => self.in_chinese(kind),
            Self::En => self.in_english(kind),
        }
    }

    fn in_chinese(self, kind: &NoticeKind) -> (String, Vec<String>) {
        match kind {
            NoticeKind::SentryDown { waiting, .. } => (
                "Sentry 无法访问".to_owned(),
                self.around_sentry(
                    kind,
                    format!("已暂存 {waiting} 个请求, Sentry 恢复后会自动补发。告警照常发送。"),
                ),
            ),
            NoticeKind::SentryBack {
                lasted,
                waited,
                delivered,
                ..
            } => (
                format!("Sentry 已恢复, 中断 {}", self.duration(*lasted)),
                self.around_sentry(
                    kind,
                    format!("共暂存 {waited} 个请求, 已补发 {delivered} 个。"),
                ),
            ),
            NoticeKind::RobotBroken {
                robot,
                detail,
                hint,
            } => (
                format!("机器人 {robot} 拒收消息"),
                vec![
                    detail.clone(),
                    hint.clone(),
                    "消息已保留, 修复后会补发。".to_owned(),
                ],
            ),
            NoticeKind::RobotBack { robot, lasted } => (
                format!("机器人 {robot} 已恢复, 中断 {}", self.duration(*lasted)),
                Vec::new(),
            ),
            NoticeKind::SpoolNearlyFull { used, size } => (
                "暂存空间即将用尽".to_owned(),
                vec![format!(
                    "已用 {}, 上限 {}。用尽后新的请求会丢失。",
                    mebibytes(*used),
                    mebibytes(*size)
                )],
            ),
            NoticeKind::StateFallback { backend } => (
                format!("状态存储 {backend} 无法访问"),
                vec![match backend.as_str() {
                    FILE => {
                        "状态暂存于内存, 重启会丢失: 之后已通知过的问题可能再次通知。".to_owned()
                    }
                    _ => "各代理暂时各自判断, 告警可能重复。".to_owned(),
                }],
            ),
            NoticeKind::StateBack { backend, lasted } => (
                format!("状态存储 {backend} 已恢复, 中断 {}", self.duration(*lasted)),
                Vec::new(),
            ),
        }
    }

    fn in_english(self, kind: &NoticeKind) -> (String, Vec<String>) {
        match kind {
            NoticeKind::SentryDown { waiting, .. } => (
                "Sentry cannot be reached".to_owned(),
                self.around_sentry(
                    kind,
                    format!(
                        "{waiting} requests wait and will be delivered once it is back. Alerts go on."
                    ),
                ),
            ),
            NoticeKind::SentryBack {
                lasted,
                waited,
                delivered,
                ..
            } => (
                format!("Sentry is back after {}", self.duration(*lasted)),
                self.around_sentry(
                    kind,
                    format!("{waited} requests waited, {delivered} of them are delivered."),
                ),
            ),
            NoticeKind::RobotBroken {
                robot,
                detail,
                hint,
            } => (
                format!("robot {robot} refuses every message"),
                vec![
                    detail.clone(),
                    hint.clone(),
                    "Messages are kept until it is mended.".to_owned(),
                ],
            ),
            NoticeKind::RobotBack { robot, lasted } => (
                format!("robot {robot} is back after {}", self.duration(*lasted)),
                Vec::new(),
            ),
            NoticeKind::SpoolNearlyFull { used, size } => (
                "the spool is nearly full".to_owned(),
                vec![format!(
                    "{} of {} are used. Once it is full, requests will be lost.",
                    mebibytes(*used),
                    mebibytes(*size)
                )],
            ),
            NoticeKind::StateFallback { backend } => (
                format!("state backend {backend} cannot be reached"),
                vec![match backend.as_str() {
                    FILE => "State is kept in memory for now, and a restart would forget it: then issues may be told once more.".to_owned(),
                    _ => "Each proxy decides by itself for now; alerts may come twice.".to_owned(),
                }],
            ),
            NoticeKind::StateBack { backend, lasted } => (
                format!(
                    "state backend {backend} is back after {}",
                    self.duration(*lasted)
                ),
                Vec::new(),
            ),
        }
    }
}

impl Language {
    /// Puts which Sentry it is before a line about its requests, and how many were lost after it.
    fn around_sentry(self, kind: &NoticeKind, requests: String) -> Vec<String> {
        let (NoticeKind::SentryDown { upstream, lost, .. }
        | NoticeKind::SentryBack { upstream, lost, .. }) = kind
        else {
            return vec![requests];
        };
        let lost = (*lost > 0).then(|| match self {
            Self::ZhCn => format!("{lost} 个请求已丢失: 未启用暂存, 或暂存空间已满。"),
            Self::En => format!("Lost requests: {lost}. There is no spool, or it is full."),
        });
        let lines = [address(upstream), Some(requests), lost];
        lines.into_iter().flatten().collect()
    }
}

/// `sentry.example.com`: with its scheme, a card would make it unfit to be a link.
fn address(upstream: &str) -> Option<String> {
    let bare = upstream
        .split_once("://")
        .map_or(upstream, |(_, bare)| bare);
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// What the state calls itself when it is a file.
const FILE: &str = "file";

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
