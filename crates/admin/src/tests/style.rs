//! What the page's style promises.

/// WCAG 2.2, 1.4.3: text differs from what is behind it by 4.5 to 1 at least.
#[test]
fn text_can_be_read_in_light_and_in_dark() {
    let style = include_str!("../../assets/style.css");
    let pair = |name: &str| {
        let (_, rest) = style.split_once(&format!("--{name}: light-dark(")).unwrap();
        let (light, rest) = rest.split_once(", ").unwrap();
        [luminance(light), luminance(rest.split(')').next().unwrap())]
    };

    for ground in ["ground", "sheet"] {
        for text in ["ink", "soft", "accent", "ok", "warn", "bad"] {
            for (text_is, ground_is) in pair(text).into_iter().zip(pair(ground)) {
                let (more, less) = (text_is.max(ground_is), text_is.min(ground_is));
                let contrast = (more + 0.05) / (less + 0.05);
                assert!(contrast >= 4.5, "{text} on {ground}: {contrast:.1}");
            }
        }
    }
}

/// Source: <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>.
fn luminance(colour: &str) -> f64 {
    let number = u32::from_str_radix(colour.trim_start_matches('#'), 16).unwrap();
    let part = |shift: u32| {
        let share = f64::from((number >> shift) & 0xff) / 255.0;
        match share <= 0.04045 {
            true => share / 12.92,
            false => ((share + 0.055) / 1.055).powf(2.4),
        }
    };
    0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
}
