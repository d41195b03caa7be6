//! Makes link targets that cannot break out of markdown and that open where the operator wants them.
//!
//! Source: DingTalk, "Message link description": `dingtalk://dingtalkclient/page/link?url=…&pc_slide=false` opens a link in
//! the browser of a computer instead of DingTalk's side bar.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::config::{Language, OpenLinks};

/// Returns what a link or button points to; `None` for what is no web address.
pub(crate) fn target(address: &str, open: OpenLinks) -> Option<String> {
    let address = web_address(address)?;
    match open {
        OpenLinks::Sidebar => Some(address),
        OpenLinks::Browser => {
            let encoded = utf8_percent_encode(&address, RESERVED);
            Some(format!(
                "dingtalk://dingtalkclient/page/link?url={encoded}&pc_slide=false"
            ))
        }
    }
}

/// Returns an `http` or `https` address without any character that ends a link in markdown or in plain text.
pub(crate) fn web_address(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.as_str().len() <= LONGEST;
    is_web.then(|| utf8_percent_encode(url.as_str(), ENDS_A_LINK).to_string())
}

/// Lets the page behind a mute link speak the card's language; Chinese is what it speaks by itself.
pub(crate) fn in_language(address: &str, language: Language) -> String {
    match language {
        Language::ZhCn => address.to_owned(),
        Language::En => format!("{address}&lang=en"),
    }
}

/// Everything but the characters that RFC 3986 never wants encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const ENDS_A_LINK: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'(')
    .add(b')')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b']')
    .add(b'\\')
    .add(b'`')
    .add(b'"')
    .add(b'*')
    .add(b'|');

/// Bytes of the longest address that is still a link; encoded, it may take three times as many.
const LONGEST: usize = 1_500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_links_for_the_browser_and_encodes_them_once() {
        let address = "https://sentry.example.com/organizations/a/issues/?project=42&query=9f3c";

        let browser = target(address, OpenLinks::Browser);

        let expected = "dingtalk://dingtalkclient/page/link?url=https%3A%2F%2Fsentry.example.com%2Forganizations%2Fa%2F\
                        issues%2F%3Fproject%3D42%26query%3D9f3c&pc_slide=false";
        assert_eq!(browser.as_deref(), Some(expected));
        assert_eq!(
            target(address, OpenLinks::Sidebar).as_deref(),
            Some(address)
        );
    }

    #[test]
    fn keeps_targets_inside_their_parentheses() {
        let address = "https://sentry.example.com/a (b)?q=[x]*<y>`|";

        let sidebar = target(address, OpenLinks::Sidebar).unwrap();

        assert!(
            !sidebar.contains([' ', '(', ')', '[', ']', '<', '>', '`', '*', '|']),
            "{sidebar}"
        );
    }

    #[test]
    fn refuses_what_is_no_web_address() {
        let long = format!("https://a.example/{}", "x".repeat(LONGEST));
        for address in [
            "javascript:alert(1)",
            "dingtalk://x",
            "",
            "/issues/",
            "file:///etc/passwd",
            &long,
        ] {
            assert_eq!(target(address, OpenLinks::Browser), None, "{address}");
        }
    }
}
