//! Reads parameters of a query string, `a=1&b=2`, with plus and percent escapes undone.
//!
//! Source: <https://url.spec.whatwg.org/#urlencoded-parsing>.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// Returns the value of the first parameter of this name, without undoing its escapes.
pub(crate) fn find_raw<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Returns the value of the first parameter of this name as text; bytes that are not UTF-8 become U+FFFD.
pub(crate) fn find<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    find_raw(query, name).map(|raw| match unescape(raw) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    })
}

/// Undoes plus and percent escapes.
pub(crate) fn unescape(raw: &str) -> Cow<'_, [u8]> {
    if !raw.contains('+') {
        return percent_decode(raw.as_bytes()).into();
    }
    let spaced = raw.replace('+', " ");
    Cow::Owned(percent_decode(spaced.as_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_of_a_name_and_undoes_escapes() {
        let query = "a=1&sentry_client=raven-js%2F1.3.0&b=x+y%2B%e6%94%af&a=2&c";

        assert_eq!(find(query, "a").as_deref(), Some("1"));
        assert_eq!(
            find(query, "sentry_client").as_deref(),
            Some("raven-js/1.3.0")
        );
        assert_eq!(find(query, "b").as_deref(), Some("x y+支"));
        assert_eq!(find(query, "c"), None);
        assert_eq!(find(query, "client"), None);
    }

    #[test]
    fn survives_broken_escapes() {
        assert_eq!(find("a=%zz%", "a").as_deref(), Some("%zz%"));
        assert_eq!(find("a=%ff", "a").as_deref(), Some("\u{fffd}"));
    }
}
