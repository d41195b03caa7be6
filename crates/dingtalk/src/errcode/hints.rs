//! What the operator can do about each cause, in words: `send-test` and the status page show them.

pub(super) const BUSY: &str = "DingTalk is busy; the message is tried again";
pub(super) const RATE_LIMITED: &str = "\
    the robot sent more than 20 messages in a minute and DingTalk closed it for a while; lower \
    `per_minute`, and give each program that uses this webhook a robot of its own";
pub(super) const QUOTA_SPENT: &str = "\
    the quota of the robot is spent; see its limits in DingTalk's admin console";
pub(super) const KEYWORD_MISSING: &str = "\
    the robot takes only messages that hold one of its custom keywords; set `keyword` to one of \
    them, exactly as the robot's security settings show it";
pub(super) const SIGNATURE_MISMATCH: &str = "\
    the signature does not fit; copy the `secret` (it starts with SEC) from the security \
    settings of the very robot whose webhook this is";
pub(super) const CLOCK_OFF: &str = "\
    the clock of this machine is more than an hour from DingTalk's; set it by NTP";
pub(super) const ADDRESS_REFUSED: &str = "\
    the address this machine sends from is not among those the robot allows; add the address \
    DingTalk names to the robot's security settings";
pub(super) const SECURITY_REFUSED: &str = "\
    the robot's security settings refuse the message; compare them with `keyword` and `secret`";
pub(super) const TOKEN_UNKNOWN: &str = "\
    DingTalk knows no robot with this access_token; copy the webhook again from a robot of kind \
    \"Custom\" (robots of other kinds, and robots in external chats, take no messages from \
    outside)";
pub(super) const TOKEN_MISSING: &str = "\
    the webhook has no access_token; copy it again from the robot's settings";
pub(super) const ROBOT_STOPPED: &str = "\
    the robot is switched off; switch it on in the chat's settings";
pub(super) const ROBOT_NOT_IN_CHAT: &str = "\
    the robot was removed from the chat; add one and copy its webhook";
pub(super) const CHAT_DISSOLVED: &str = "\
    the chat does not exist any more; add a robot to another chat and copy its webhook";
pub(super) const TYPE_REFUSED: &str = "\
    this robot does not take this kind of message; set `message = \"markdown\"`, and please \
    report it";
pub(super) const UNREADABLE: &str = "\
    DingTalk cannot read the message; please report this with DingTalk's words";
pub(super) const TOO_LONG: &str = "\
    the message is too long even after shortening; please report this";
pub(super) const CONTENT_REFUSED: &str = "\
    DingTalk's moderation refuses the message, even without links and words of the event";
pub(super) const CODE_UNKNOWN: &str = "\
    DingTalk refused with a code that is not documented; look it up with DingTalk's words";
pub(super) const CODE_MISSING: &str = "\
    DingTalk's gateway turned the request away, most likely for too many requests";
pub(super) const NOT_JSON: &str = "\
    something that is not DingTalk answered; check the webhook's host and any proxy server \
    between";
pub(super) const REDIRECTED: &str = "\
    the webhook's address leads elsewhere, and a redirect is not followed; copy the webhook \
    again";
pub(super) const STATUS_UNEXPECTED: &str = "\
    the answer is not one of DingTalk's; check the webhook's host and any proxy server between";
pub(super) const TIMED_OUT: &str = "\
    no answer in time; check the network between this machine and the webhook's host";
pub(super) const UNREACHABLE: &str = "\
    no connection to the webhook's host; check DNS, firewall, proxy server and certificates";
pub(super) const BROKEN_OFF: &str = "\
    the connection broke before the answer was complete; the message is tried again";
