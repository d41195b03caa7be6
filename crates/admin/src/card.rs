//! A message as people see it in DingTalk: its markdown as HTML, of which only a closed set of elements can come.
//!
//! Source: DingTalk, "Robot message types": headings, quotes, bold, italics, links, pictures, lists.

use std::fmt::Write;
use std::sync::Arc;

use alert::Sent;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Draws a message as its robot sent it; `None` when the robot is not configured any more.
pub type Draw = Arc<dyn Fn(&Sent) -> Option<Card> + Send + Sync>;

/// What a message shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Card {
    /// Its text.
    pub text: String,
    /// Whether the text is markdown.
    pub is_markdown: bool,
    /// Labels of buttons and where they lead.
    pub buttons: Vec<(String, String)>,
}

impl Card {
    /// Returns HTML without scripts, styles, pictures or attributes, but for links to web addresses.
    pub(crate) fn html(&self) -> String {
        let mut html = String::new();
        match self.is_markdown {
            true => markdown(&mut html, &self.text),
            false => {
                html.push_str("<pre>");
                escape(&mut html, &self.text);
                html.push_str("</pre>");
            }
        }
        if self.buttons.is_empty() {
            return html;
        }
        html.push_str("<p class=\"buttons\">");
        for (label, url) in &self.buttons {
            let is_link = open_link(&mut html, url);
            escape(&mut html, label);
            html.push_str(if is_link { "</a> " } else { " " });
        }
        html.push_str("</p>");
        html
    }
}

fn markdown(html: &mut String, text: &str) {
    // Whether each open link leads somewhere.
    let mut links = Vec::new();
    for event in Parser::new_ext(text, Options::empty()) {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => links.push(open_link(html, &dest_url)),
            Event::End(TagEnd::Link) => {
                if links.pop() == Some(true) {
                    html.push_str("</a>");
                }
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented)) => {
                html.push_str("<pre>");
            }
            Event::Start(tag) => write_tag(html, element(&tag.to_end()), ""),
            Event::End(tag) => write_tag(html, element(&tag), "/"),
            Event::Code(code) => {
                html.push_str("<code>");
                escape(html, &code);
                html.push_str("</code>");
            }
            // Markup in a message is text: DingTalk shows it so, too.
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => escape(html, &text),
            Event::SoftBreak | Event::HardBreak => html.push_str("<br>"),
            Event::Rule => html.push_str("<hr>"),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                escape(html, &text);
            }
            Event::TaskListMarker(_) => {}
        }
    }
}

fn write_tag(html: &mut String, name: Option<&str>, slash: &str) {
    if let Some(name) = name {
        // A text takes everything that is written to it.
        let _ = write!(html, "<{slash}{name}>");
    }
}

/// The elements there are. Headings are those below the page's own.
fn element(tag: &TagEnd) -> Option<&'static str> {
    match tag {
        TagEnd::Paragraph => Some("p"),
        TagEnd::Heading(_) => Some("h4"),
        TagEnd::BlockQuote(_) => Some("blockquote"),
        TagEnd::CodeBlock => Some("pre"),
        TagEnd::List(true) => Some("ol"),
        TagEnd::List(false) => Some("ul"),
        TagEnd::Item => Some("li"),
        TagEnd::Emphasis => Some("em"),
        TagEnd::Strong => Some("strong"),
        _ => None,
    }
}

/// Opens a link if it leads to a web address; returns whether it does.
fn open_link(html: &mut String, url: &str) -> bool {
    let is_web = is_web_address(url);
    if is_web {
        html.push_str("<a rel=\"noopener noreferrer nofollow\" href=\"");
        escape(html, url);
        html.push_str("\">");
    }
    is_web
}

/// Returns whether a link may lead there: nothing but `http` and `https`, so no `javascript:`.
pub(crate) fn is_web_address(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
    })
}

/// Writes text so that it is text, also within an attribute.
fn escape(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // They turn text around so that it reads as another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => html.push('\u{fffd}'),
            character => html.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_dingtalk_shows() {
        let text = "### 🟠 TypeError\n\n**shop** · `prod`  \nsecond line\n\n> quoted\n\n- one\n- two\n\n[open](https://sentry.example.com/?a=1&b=2)";

        assert_eq!(
            html(text),
            "<h4>🟠 TypeError</h4><p><strong>shop</strong> · <code>prod</code><br>second line</p>\
             <blockquote><p>quoted</p></blockquote><ul><li>one</li><li>two</li></ul>\
             <p><a rel=\"noopener noreferrer nofollow\" href=\"https://sentry.example.com/?a=1&amp;b=2\">open</a></p>"
        );
    }

    #[test]
    fn nothing_in_a_message_becomes_markup() {
        let texts = [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "[x](javascript:alert(1)) [y](data:text/html,x) [z](//evil.example)",
            "[x](<java\nscript:alert(1)>)",
            "![picture](https://evil.example/a.png\" onerror=\"alert(1))",
            "[x](https://a.example/\"onmouseover=\"alert(1))",
            "[x](https://a.example \"title\\\" onclick=alert(1)\")",
            "<https://a.example/'\"><b>",
            "```<script>\nalert(1)</script>\n```",
            "`<svg onload=alert(1)>`",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
            "<!-- --><?php ?><![CDATA[<script>]]>",
            "[a]: javascript:alert(1)\n[a]",
        ];

        for text in texts {
            let html = html(text);
            let mut rest = html.as_str();
            while let Some((_, tag)) = rest.split_once('<') {
                let (tag, after) = tag.split_once('>').unwrap();
                let is_plain = !tag.contains([' ', '=', '"', '\'']);
                let name = tag.trim_start_matches('/');
                let is_known = ELEMENTS.contains(&name);
                let is_link = tag.starts_with("a rel=\"noopener noreferrer nofollow\" href=\"http")
                    && tag.matches('"').count() == 4;
                assert!((is_plain && is_known) || is_link, "{text} became {html}");
                rest = after;
            }
        }
    }

    #[test]
    fn buttons_lead_to_web_addresses_alone() {
        let button = |label: &str, url: &str| (label.to_owned(), url.to_owned());
        let card = Card {
            text: "<b> & \u{202e}x".to_owned(),
            is_markdown: false,
            buttons: vec![
                button("<open>", "https://a.example/?'"),
                button("bad", "javascript:alert(1)//://"),
            ],
        };

        assert_eq!(
            card.html(),
            "<pre>&lt;b&gt; &amp; \u{fffd}x</pre><p class=\"buttons\">\
             <a rel=\"noopener noreferrer nofollow\" href=\"https://a.example/?&#39;\">&lt;open&gt;</a> bad </p>"
        );
    }

    fn html(text: &str) -> String {
        let mut html = String::new();
        markdown(&mut html, text);
        html
    }

    const ELEMENTS: [&str; 14] = [
        "p",
        "h4",
        "blockquote",
        "pre",
        "ol",
        "ul",
        "li",
        "em",
        "strong",
        "code",
        "br",
        "hr",
        "a",
        "/a",
    ];
}
