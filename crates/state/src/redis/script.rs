//! The Lua scripts: each is one atomic step on one slot.

use std::time::Duration;

use redis::Script;

/// Every script, ready to be called.
pub(super) struct Scripts {
    pub(super) add: Script,
    pub(super) beat: Script,
    pub(super) claim: Script,
    pub(super) close: Script,
    pub(super) events: Script,
    pub(super) expire: Script,
    pub(super) gather: Script,
    pub(super) gathered: Script,
    pub(super) issues: Script,
    pub(super) keep: Script,
    pub(super) lead: Script,
    pub(super) mute: Script,
    pub(super) observe: Script,
    pub(super) pending: Script,
    pub(super) quiet: Script,
    pub(super) resign: Script,
    pub(super) search: Script,
    pub(super) settle: Script,
    pub(super) take: Script,
}

impl Scripts {
    /// Returns the scripts for things that are remembered so long.
    pub(super) fn new(retention: Duration) -> Self {
        let script = |own: &str| {
            let ttl = retention.as_millis().clamp(60_000, LONGEST);
            Script::new(&format!("local TTL = {ttl}\n{COMMON}\n{own}"))
        };
        Self {
            add: script(include_str!("add.lua")),
            beat: script(include_str!("beat.lua")),
            claim: script(include_str!("claim.lua")),
            close: script(include_str!("close.lua")),
            events: script(include_str!("events.lua")),
            expire: script(include_str!("expire.lua")),
            gather: script(include_str!("gather.lua")),
            gathered: script(include_str!("gathered.lua")),
            issues: script(include_str!("issues.lua")),
            keep: script(include_str!("keep.lua")),
            lead: script(include_str!("lead.lua")),
            mute: script(include_str!("mute.lua")),
            observe: script(include_str!("observe.lua")),
            pending: script(include_str!("pending.lua")),
            quiet: script(include_str!("quiet.lua")),
            resign: script(include_str!("resign.lua")),
            search: script(include_str!("search.lua")),
            settle: script(include_str!("settle.lua")),
            take: script(include_str!("take.lua")),
        }
    }
}

const COMMON: &str = include_str!("common.lua");

/// A hundred years: Redis takes no time to live that overflows.
const LONGEST: u128 = 100 * 365 * 24 * 60 * 60 * 1_000;
