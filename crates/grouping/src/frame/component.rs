//! The component of one frame: module, file name, function and source line, each cleaned as its platform needs.
//!
//! Source: Sentry, `src/sentry/grouping/strategies/newstyle.py`, `frame` and its helpers. Line numbers, columns,
//! variables, packages and addresses never count.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use crate::component::Component;
use crate::parameterize::parameterize;
use crate::platform::Family;

use super::{Frame, is_url, is_url_or_file};

/// Returns the component of a frame; `previous` is the frame before it in the stack.
pub(crate) fn component<'f>(frame: &'f Frame<'_>, previous: Option<&Frame<'_>>) -> Component<'f> {
    let module = module(frame);
    let mut filename = filename(frame);
    if module.contributes && filename.contributes {
        filename.ignore("module takes precedence");
    }
    let context_line = context_line(frame);
    let function = function(frame, context_line.contributes);
    let mut component = Component::group("frame", vec![module, filename, function, context_line]);
    if frame.family == Family::JavaScript {
        ignore_javascript(frame, &mut component);
    }
    if previous.is_some_and(|previous| frame.repeats(previous)) {
        component.ignore("ignored due to recursion");
    }
    component
}

fn module<'f>(frame: &'f Frame<'_>) -> Component<'f> {
    let Some(module) = frame.module else {
        return Component::empty("module");
    };
    match frame.platform {
        "javascript" if is_page_url(module, frame) => {
            Component::value("module", module).ignored("ignored because it repeats the page's URL")
        }
        "java" => java_module(module),
        _ => Component::value("module", module),
    }
}

fn is_page_url(module: &str, frame: &Frame<'_>) -> bool {
    module.contains('/') && frame.abs_path.is_some_and(|path| path.ends_with(module))
}

/// Lambdas have no stable class name; proxies and accessors are numbered at run time.
fn java_module(module: &str) -> Component<'_> {
    if module.contains("$$Lambda$") {
        return Component::value("module", module).ignored("ignored Java lambda");
    }
    if let Some(accessor) = REFLECTION
        .iter()
        .find(|accessor| module.starts_with(**accessor))
    {
        return Component::value("module", *accessor).hinted("removed reflection number");
    }
    if !module.contains('$') && !module.starts_with("sun.reflect.Generated") {
        return Component::value("module", module);
    }
    let cleaned = GENERATED
        .iter()
        .fold(Cow::Borrowed(module), |text, pattern| {
            replace_tail(pattern, text)
        });
    match cleaned {
        Cow::Borrowed(module) => Component::value("module", module),
        Cow::Owned(module) => Component::value("module", module).hinted("removed generated part"),
    }
}

/// Keeps the pattern's first group and puts `<auto>` in place of the rest of the match.
fn replace_tail<'t>(pattern: &Regex, text: Cow<'t, str>) -> Cow<'t, str> {
    match pattern.replace_all(&text, "${1}<auto>") {
        Cow::Borrowed(_) => text,
        Cow::Owned(changed) => Cow::Owned(changed),
    }
}

fn filename<'f>(frame: &'f Frame<'_>) -> Component<'f> {
    let Some(path) = frame.filename else {
        return Component::empty("filename");
    };
    let name = lowercase(path.rsplit(['/', '\\']).next().unwrap_or(path));
    if frame.abs_path.is_some_and(is_url) {
        return Component::value("filename", name)
            .ignored("ignored because the frame points to a URL");
    }
    match &*name {
        "<anonymous>" => Component::value("filename", name).ignored("ignored anonymous file name"),
        "[native code]" => Component::value("filename", name).ignored("ignored native code"),
        _ if name.contains("$$_javassist") => {
            Component::value("filename", replace_tail(&JAVASSIST, name))
                .hinted("removed generated part")
        }
        _ => Component::value("filename", name),
    }
}

fn lowercase(name: &str) -> Cow<'_, str> {
    match name
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        true => Cow::Borrowed(name),
        false => Cow::Owned(name.to_lowercase()),
    }
}

fn function<'f>(frame: &'f Frame<'_>, has_context_line: bool) -> Component<'f> {
    let trimmed = frame.function.as_deref();
    let name = match frame.platform {
        "csharp" => frame.raw_function.or(trimmed),
        _ => trimmed.or(frame.raw_function),
    };
    let Some(name) = name else {
        return Component::empty("function");
    };
    match (frame.platform, frame.family) {
        ("ruby", _) => ruby_function(name),
        ("php", _) => php_function(name),
        ("java", _) if name.starts_with("lambda$") => {
            Component::value("function", name).ignored("ignored lambda function")
        }
        (_, Family::Native) if matches!(name, "<redacted>" | "<unknown>") => {
            Component::value("function", name).ignored("ignored unknown function")
        }
        (_, Family::JavaScript) => {
            javascript_function(name, frame.has_sourcemap && has_context_line)
        }
        _ => Component::value("function", name),
    }
}

fn ruby_function(name: &str) -> Component<'_> {
    if name.starts_with("block ") {
        return Component::value("function", "block").hinted("shortened Ruby block");
    }
    match ERB.find(name) {
        Some(suffix) => {
            Component::value("function", &name[..suffix.start()]).hinted("removed ERB suffix")
        }
        None => Component::value("function", name),
    }
}

/// A method of an anonymous class keeps its own name; the class name holds a path and an address.
fn php_function(name: &str) -> Component<'_> {
    let is_anonymous = name.starts_with("class@anonymous");
    if let (true, Some((_, method))) = (is_anonymous, name.rsplit_once("::")) {
        return Component::value("function", method).hinted("method of an anonymous class");
    }
    match name.starts_with("[Anonymous") || name.starts_with("class@anonymous\0") {
        true => Component::value("function", name).ignored("ignored anonymous function"),
        false => Component::value("function", name),
    }
}

fn javascript_function(name: &str, has_source: bool) -> Component<'_> {
    let component = Component::value("function", last_part(name, "."));
    match has_source {
        true => component.ignored("ignored because the source line takes precedence"),
        false => component,
    }
}

fn last_part<'t>(text: &'t str, separator: &str) -> &'t str {
    text.rsplit_once(separator).map_or(text, |(_, part)| part)
}

/// Only languages whose SDKs send source lines reliably count them.
fn context_line<'f>(frame: &'f Frame<'_>) -> Component<'f> {
    let counts = matches!(
        frame.platform,
        "javascript" | "node" | "python" | "php" | "ruby"
    );
    let Some(raw) = frame.context_line.filter(|_| counts) else {
        return Component::empty("context-line");
    };
    let line = collapse_blanks(raw);
    if line.is_empty() {
        return Component::empty("context-line");
    }
    if raw.len() > MAX_LINE && raw.chars().count() > MAX_LINE {
        return Component::value("context-line", line)
            .ignored("ignored because the line is too long");
    }
    let is_inline = frame.function.is_none() && frame.abs_path.is_some_and(is_url_or_file);
    if frame.family == Family::JavaScript && is_inline {
        return Component::value("context-line", line)
            .ignored("ignored because a URL without function");
    }
    match line.contains("spawn_main(tracker_fd=") {
        true => Component::value("context-line", parameterize(&line).into_owned())
            .hinted("replaced numbers"),
        false => Component::value("context-line", line),
    }
}

/// Trims, and makes every run of blanks one space.
fn collapse_blanks(line: &str) -> Cow<'_, str> {
    let trimmed = line.trim_matches(is_blank);
    if is_plain(trimmed.as_bytes()) {
        return Cow::Borrowed(trimmed);
    }
    let mut before = 'x';
    let is_tidy = trimmed.chars().all(|character| {
        let is_fine = !is_blank(character) || (character == ' ' && before != ' ');
        before = character;
        is_fine
    });
    if is_tidy {
        return Cow::Borrowed(trimmed);
    }
    let words: Vec<&str> = trimmed
        .split(is_blank)
        .filter(|word| !word.is_empty())
        .collect();
    Cow::Owned(words.join(" "))
}

/// Returns whether a line is of printable ASCII, without spaces side by side, as most are. Looks at all of it, which takes
/// less time than to stop early.
fn is_plain(line: &[u8]) -> bool {
    let mut before = b'x';
    line.iter().fold(true, |is_plain, byte| {
        let is_printable = (b' '..=b'~').contains(byte);
        let is_doubled = *byte == b' ' && before == b' ';
        before = *byte;
        is_plain & is_printable & !is_doubled
    })
}

/// Python's idea of white space: Unicode's, and the ASCII separators.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

/// Runs after the frame is known to count: a frame whose function goes here still counts, with nothing to compare.
fn ignore_javascript(frame: &Frame<'_>, component: &mut Component<'_>) {
    let name = frame
        .raw_function
        .or(frame.function.as_deref())
        .map(|name| last_part(name, "."));
    let is_unknown = match name {
        None | Some("" | "?" | "<anonymous function>" | "<anonymous>" | "Anonymous function") => {
            true
        }
        Some(name) => name.ends_with("/<"),
    };
    if is_unknown && let Some(function) = component.child("function") {
        function.ignore("ignored unknown function name");
    }
    let is_poor_path = matches!(
        frame.abs_path,
        Some("[native code]" | "native code" | "eval code" | "<anonymous>")
    );
    if name == Some("eval") || is_poor_path {
        component.ignore("ignored low quality JavaScript frame");
    }
}

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a test runs every pattern")
}

static ERB: LazyLock<Regex> = LazyLock::new(|| compiled("__[0-9]{4,}_[0-9]{4,}$"));
static JAVASSIST: LazyLock<Regex> =
    LazyLock::new(|| compiled(r"(\$\$_javassist)(?:_seam)?(?:_[0-9]+)?"));
static GENERATED: LazyLock<[Regex; 7]> = LazyLock::new(|| {
    [
        compiled(r"(sun\.reflect\.Generated(?:Serialization)?ConstructorAccessor)[0-9]+"),
        compiled(r"(\$\$[A-Za-z0-9_]+?CGLIB\$\$)[0-9a-fA-F]+(?:_[0-9]+)?"),
        JAVASSIST.clone(),
        compiled(r"(\$fn__)[0-9]+"),
        compiled(r"(\${1,2}EnhancerBy[A-Za-z0-9_]+?\${1,2})[0-9a-fA-F]+(?:_[0-9]+)?"),
        compiled(r"(\${1,2}FastClassBy[A-Za-z0-9_]+?\${1,2})[0-9a-fA-F]+(?:_[0-9]+)?"),
        compiled(r"(\${1,2}HibernateProxy\${1,2})[A-Za-z0-9_]+"),
    ]
});
const REFLECTION: [&str; 2] = [
    "sun.reflect.GeneratedMethodAccessor",
    "jdk.internal.reflect.GeneratedMethodAccessor",
];
const MAX_LINE: usize = 120;

#[cfg(test)]
mod tests {
    use event::model;

    use crate::component::Content;

    use super::*;

    fn frame(function: &'static str) -> model::Frame<'static> {
        let text = |text: &'static str| Some(text.into()).filter(|_| !text.is_empty());
        model::Frame {
            function: text(function),
            ..model::Frame::default()
        }
    }

    /// Returns the values that count, and whether the frame does.
    fn values(platform: &str, frame: &model::Frame<'_>) -> (Vec<String>, bool) {
        let frame = Frame::new(frame, platform);
        let component = component(&frame, None);
        let Content::Children(children) = &component.content else {
            return (Vec::new(), false);
        };
        let value = |child: &Component<'_>| match &child.content {
            Content::Value(value) if child.contributes => Some(value.to_string()),
            _ => None,
        };
        (
            children.iter().filter_map(value).collect(),
            component.contributes,
        )
    }

    fn of(platform: &str, frame: model::Frame<'_>) -> Vec<String> {
        values(platform, &frame).0
    }

    #[test]
    fn a_module_beats_the_lower_case_base_name_of_the_file() {
        let file = model::Frame {
            filename: Some("C:\\App\\Main.PY".into()),
            ..frame("")
        };
        let both = model::Frame {
            module: Some("app.main".into()),
            ..file.clone()
        };

        assert_eq!(of("python", file), ["main.py"]);
        assert_eq!(of("python", both), ["app.main"]);
    }

    #[test]
    fn files_behind_urls_and_nameless_ones_do_not_count() {
        for path in [
            "https://shop.example/a.js",
            "blob:https://x/1",
            "applewebdata://x/a.js",
        ] {
            let frame = model::Frame {
                abs_path: Some(path.into()),
                filename: Some("a.js".into()),
                ..frame("")
            };
            assert!(!values("javascript", &frame).1, "{path}");
        }
        for name in ["<anonymous>", "[native code]"] {
            let frame = model::Frame {
                filename: Some(name.into()),
                ..frame("")
            };
            assert!(!values("python", &frame).1, "{name}");
        }
        let local = model::Frame {
            abs_path: Some("file:///a.js".into()),
            filename: Some("a.js".into()),
            ..frame("f")
        };
        assert_eq!(of("javascript", local), ["a.js", "f"]);
    }

    #[test]
    fn generated_java_classes_lose_their_numbers() {
        let cases = [
            (
                "sun.reflect.GeneratedMethodAccessor17",
                "sun.reflect.GeneratedMethodAccessor",
            ),
            (
                "jdk.internal.reflect.GeneratedMethodAccessor1",
                "jdk.internal.reflect.GeneratedMethodAccessor",
            ),
            (
                "sun.reflect.GeneratedConstructorAccessor9",
                "sun.reflect.GeneratedConstructorAccessor<auto>",
            ),
            (
                "a.B$$EnhancerBySpringCGLIB$$1ebdddb0",
                "a.B$$EnhancerBySpringCGLIB$$<auto>",
            ),
            (
                "a.B$$FastClassByGuice$$abc_1",
                "a.B$$FastClassByGuice$$<auto>",
            ),
            ("a.B_$$_javassist_seam_3", "a.B_$$_javassist<auto>"),
            ("a.core$main$fn__12", "a.core$main$fn__<auto>"),
            ("a.B$HibernateProxy$Xyz", "a.B$HibernateProxy$<auto>"),
            ("a.B$Inner", "a.B$Inner"),
        ];
        for (module, expected) in cases {
            assert_eq!(
                of(
                    "java",
                    model::Frame {
                        module: Some(module.into()),
                        ..frame("")
                    }
                ),
                [expected]
            );
        }
        let lambda = model::Frame {
            module: Some("a.B$$Lambda$3/17".into()),
            ..frame("call")
        };
        assert_eq!(of("java", lambda.clone()), ["call"]);
        assert_eq!(of("android", lambda), ["a.B$$Lambda$3/17", "call"]);
        assert_eq!(of("java", frame("lambda$main$0")), [""; 0]);
    }

    #[test]
    fn function_names_are_cleaned_by_platform() {
        let cases: [(&str, &str, &[&str]); 12] = [
            ("ruby", "block (2 levels) in call", &["block"]),
            ("ruby", "render__1234567_8910111", &["render"]),
            ("php", "class@anonymous\0/srv/a.php0x7f::run", &["run"]),
            ("php", "class@anonymous\0/srv/a.php0x7f", &[]),
            ("php", "[Anonymous function]", &[]),
            ("native", "<redacted>", &[]),
            ("native", "<unknown>", &[]),
            ("python", "<redacted>", &["<redacted>"]),
            ("javascript", "Object.pay", &["pay"]),
            ("javascript", "Anonymous function", &[]),
            ("node", "a/<", &[]),
            (
                "csharp",
                "Game.Update (System.Int32 n)",
                &["Game.Update (System.Int32 n)"],
            ),
        ];
        for (platform, function, expected) in cases {
            assert_eq!(
                of(platform, frame(function)),
                expected,
                "{platform} {function}"
            );
        }
    }

    #[test]
    fn a_script_frame_whose_function_is_unknown_still_counts() {
        assert_eq!(
            values("javascript", &frame("<anonymous>")),
            (Vec::new(), true)
        );
        assert!(!values("javascript", &frame("eval")).1);
        assert!(!values("javascript", &frame("Object.eval")).1);
        let native = model::Frame {
            abs_path: Some("[native code]".into()),
            ..frame("forEach")
        };
        assert!(!values("javascript", &native).1);
    }

    #[test]
    fn a_module_that_repeats_the_page_does_not_count() {
        let page = model::Frame {
            module: Some("cart/items".into()),
            abs_path: Some("https://shop.example/cart/items".into()),
            ..frame("f")
        };

        assert_eq!(of("javascript", page.clone()), ["f"]);
        assert_eq!(of("node", page), ["cart/items", "f"]);
    }

    #[test]
    fn source_lines_count_where_sdks_send_them_reliably() {
        let line = |line: &str| model::Frame {
            context_line: Some(line.to_owned().into()),
            ..frame("f")
        };

        assert_eq!(of("python", line("\t x  =\u{a0}1 ")), ["f", "x = 1"]);
        assert_eq!(of("go", line("x = 1")), ["f"]);
        assert_eq!(of("python", line(&"x".repeat(121))), ["f"]);
        assert_eq!(
            of("python", line(&"é".repeat(120))),
            ["f", &"é".repeat(120)]
        );
        assert_eq!(of("python", line("  ")), ["f"]);
        let spawn = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=7, pipe_handle=11)";
        let stable = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=<int>, pipe_handle=<int>)";
        assert_eq!(of("python", line(spawn)), ["f", stable]);
    }

    #[test]
    fn a_source_line_replaces_the_function_where_a_source_map_was_used() {
        let mapped = model::Frame {
            context_line: Some("pay()".into()),
            has_sourcemap: true,
            ..frame("t")
        };
        let nameless = model::Frame {
            context_line: Some("pay()".into()),
            abs_path: Some("https://shop.example/cart".into()),
            ..frame("")
        };

        assert_eq!(of("javascript", mapped), ["pay()"]);
        assert_eq!(of("javascript", nameless), [""; 0]);
    }

    #[test]
    fn a_frame_that_repeats_the_one_before_is_recursion() {
        let model = frame("f");
        let frame = Frame::new(&model, "python");

        assert!(component(&frame, None).contributes);
        assert!(!component(&frame, Some(&frame)).contributes);
    }
}
