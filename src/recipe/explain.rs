//! serde's and toml's complaints in the words of a recipe.

use super::suggest::nearest;

/// What a complaint says, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Explained {
    pub(super) message: String,
    pub(super) advice: Option<String>,
}

/// Types as serde and Rust call them, and as people do.
const TYPES: [(&str, &str); 8] = [
    ("f64", "a number"),
    ("u64", "a whole number, 0 or more"),
    ("u32", "a whole number, 0 or more"),
    ("usize", "a whole number, 0 or more"),
    ("a boolean", "true or false"),
    ("a map", "a table"),
    ("a sequence", "a list"),
    ("option", "a value"),
];

/// Rewords one of toml's messages.
pub(super) fn explain(message: &str) -> Explained {
    let message = message.trim_end();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown("key", rest);
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown("word", rest);
    }
    let wrong =
        message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|rest| rest.rsplit_once(", expected ")) {
        let advice = (expected == "struct Source")
            .then(|| "a source of text has a name of its own, as in `[data.corpus]`".to_string());
        let named = TYPES.iter().find(|(name, _)| *name == expected).map(|(_, words)| *words);
        let expected =
            named.unwrap_or(if expected.starts_with("struct ") { "a table" } else { expected });
        return Explained { message: format!("expected {expected}, found {found}"), advice };
    }
    Explained { message: message.into(), advice: None }
}

/// `` `found`, expected one of `a`, `b` ``: the nearest if there is one, or else all of them.
fn unknown(kind: &str, rest: &str) -> Explained {
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let found = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let message = format!("unknown {kind} `{found}`");
    if let Some(name) = nearest(found, known.iter().copied()) {
        return Explained { message, advice: Some(format!("did you mean `{name}`?")) };
    }
    let list: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    let message = match list.split_last() {
        None => message,
        Some((only, [])) => format!("{message}, expected {only}"),
        Some((last, others)) => format!("{message}, expected {} or {last}", others.join(", ")),
    };
    Explained { message, advice: None }
}

/// Line and column (both from 1) of a byte of `text`, and the line with what begins there underlined.
pub(super) fn place(text: &str, span: std::ops::Range<usize>) -> (usize, usize, String) {
    let start =
        (0..=span.start.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let indent = before[line_start..].chars().count();
    let marked = text.get(start..span.end.min(line_start + line.len())).unwrap_or_default();
    let carets = "^".repeat(marked.chars().count().max(1));
    // Tabs stay tabs, so that the mark stands under what it marks.
    let pad: String =
        before[line_start..].chars().map(|c| if c == '\t' { c } else { ' ' }).collect();
    let gutter = " ".repeat(number.to_string().len());
    (number, indent + 1, format!("{gutter} |\n{number} | {line}\n{gutter} | {pad}{carets}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_under_the_words_it_is_about() {
        let (line, column, excerpt) = place("a = 1\nrate = zwölf\n", 13..19);
        assert_eq!((line, column), (2, 8));
        assert_eq!(excerpt, "  |\n2 | rate = zwölf\n  |        ^^^^^");
    }

    #[test]
    fn a_place_outside_of_the_text_is_its_end() {
        for (start, end) in [(0, 0), (5, 3), (1, 1), (7, 100), (usize::MAX, usize::MAX)] {
            place("ä\n", start..end);
            place("", start..end);
        }
    }

    #[test]
    fn rusts_types_are_not_shown_to_people() {
        assert_eq!(
            explain("invalid type: string \"many\", expected u64").message,
            "expected a whole number, 0 or more, found string \"many\""
        );
    }
}
