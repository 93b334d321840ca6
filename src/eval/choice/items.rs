//! Items at rest: JSON lines of `{"context": "…", "choices": ["…", "…"], "answer": 0}`.
//!
//! `answer` counts from 0. `context` may be a list, a text a choice: so Winogrande, whose continuation is the same and
//! whose context has the one name or the other. Other keys are not looked at.

use std::path::Path;

use serde_json::Value;

use super::ChoiceError;

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it stands in its file, counted from 1.
    pub line: usize,
    /// What a choice follows, by choice.
    pub contexts: Vec<String>,
    /// Two or more.
    pub choices: Vec<String>,
    /// The place of the right one among them.
    pub answer: usize,
}

/// The items of a file.
///
/// # Errors
///
/// [`ChoiceError`] for the first line that is not an item; if there is none.
pub fn read(path: &Path) -> Result<Vec<Item>, ChoiceError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ChoiceError::Unreadable { path: path.to_owned(), source })?;
    let lines = text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty());
    let items: Vec<Item> =
        lines.map(|(i, text)| Line { path, line: i + 1 }.item(text)).collect::<Result<_, _>>()?;
    if items.is_empty() {
        return Err(ChoiceError::None { path: path.to_owned() });
    }
    Ok(items)
}

/// A place in a file.
#[derive(Clone, Copy)]
struct Line<'a> {
    path: &'a Path,
    line: usize,
}

impl Line<'_> {
    fn item(self, text: &str) -> Result<Item, ChoiceError> {
        let (path, line) = (self.path.to_owned(), self.line);
        let value: Value = serde_json::from_str(text).map_err(|source| ChoiceError::NotJson {
            path,
            line,
            source,
        })?;
        if !value.is_object() {
            return Err(self.wrong("item", "an object", &value));
        }
        let choices = self.texts("choices", self.get(&value, "choices")?)?;
        if choices.len() < 2 {
            let (expected, found) = ("two or more", Value::from(choices.len()));
            return Err(self.wrong("choices", expected, &found));
        }
        for (i, choice) in choices.iter().enumerate() {
            if choice.trim().is_empty() {
                let key = format!("choices[{i}]");
                return Err(self.wrong(key, "a text", &Value::from(choice.as_str())));
            }
        }
        let contexts = match self.get(&value, "context")? {
            Value::String(context) => vec![context.clone(); choices.len()],
            list => self.texts("context", list)?,
        };
        if contexts.len() != choices.len() {
            let expected = format!("one text, or as many as choices: {}", choices.len());
            return Err(self.wrong("context", expected, &Value::from(contexts.len())));
        }
        let last = choices.len() - 1;
        let answer = self.get(&value, "answer")?;
        let place = answer.as_u64().and_then(|place| usize::try_from(place).ok());
        match place.filter(|place| *place <= last) {
            Some(answer) => Ok(Item { line, contexts, choices, answer }),
            None => Err(self.wrong("answer", format!("a choice's number, 0 to {last}"), answer)),
        }
    }

    fn get<'v>(self, item: &'v Value, key: &'static str) -> Result<&'v Value, ChoiceError> {
        let missing = || ChoiceError::Missing { path: self.path.to_owned(), line: self.line, key };
        item.get(key).filter(|value| !value.is_null()).ok_or_else(missing)
    }

    fn texts(self, key: &str, value: &Value) -> Result<Vec<String>, ChoiceError> {
        let list = value.as_array().ok_or_else(|| self.wrong(key, "a list of texts", value))?;
        let text = |(i, value): (usize, &Value)| match value {
            Value::String(text) => Ok(text.clone()),
            other => Err(self.wrong(format!("{key}[{i}]"), "a text", other)),
        };
        list.iter().enumerate().map(text).collect()
    }

    fn wrong(
        self,
        key: impl Into<String>,
        expected: impl Into<String>,
        found: &Value,
    ) -> ChoiceError {
        let mut found = found.to_string();
        if let Some((end, _)) = found.char_indices().nth(60) {
            found.truncate(end);
            found.push('…');
        }
        let (path, line) = (self.path.to_owned(), self.line);
        ChoiceError::Value { path, line, key: key.into(), expected: expected.into(), found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Item>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("items.jsonl");
        std::fs::write(&path, text).unwrap();
        let place = path.display().to_string();
        read(&path).map_err(|error| error.to_string().replace(&place, "items.jsonl"))
    }

    #[test]
    fn an_item_has_one_context_or_one_a_choice() {
        let text = "\n{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": 1, \"id\": 7}\n\n\
            {\"context\": [\"x\", \"\"], \"choices\": [\"y\", \"y\"], \"answer\": 0}\n";
        let list = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        let expected = [
            Item { line: 2, contexts: list(["a", "a"]), choices: list(["b", "c"]), answer: 1 },
            Item { line: 4, contexts: list(["x", ""]), choices: list(["y", "y"]), answer: 0 },
        ];
        assert_eq!(of(text).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let good = r#"{"context": "a", "choices": ["b", "c"], "answer": 0}"#;
        for (bad, message) in [
            (r#"{"context": "a", "choices": ["b", "c"]}"#, "the item has no `answer`"),
            (
                r#"{"context": "a", "choices": ["b", "c"], "answer": null}"#,
                "the item has no `answer`",
            ),
            (r#"{"choices": ["b", "c"], "answer": 0}"#, "the item has no `context`"),
            (r#"{"context": "a", "answer": 0}"#, "the item has no `choices`"),
            (
                r#"{"context": "a", "choices": ["b", "c"], "answer": 2}"#,
                "`answer`: expected a choice's number, 0 to 1, found 2",
            ),
            (
                r#"{"context": "a", "choices": ["b", "c"], "answer": -1}"#,
                "`answer`: expected a choice's number, 0 to 1, found -1",
            ),
            (
                r#"{"context": "a", "choices": ["b", "c"], "answer": "c"}"#,
                "`answer`: expected a choice's number, 0 to 1, found \"c\"",
            ),
            (
                r#"{"context": "a", "choices": ["b"], "answer": 0}"#,
                "`choices`: expected two or more, found 1",
            ),
            (
                r#"{"context": "a", "choices": "b", "answer": 0}"#,
                "`choices`: expected a list of texts, found \"b\"",
            ),
            (
                r#"{"context": "a", "choices": ["b", 3], "answer": 0}"#,
                "`choices[1]`: expected a text, found 3",
            ),
            (
                r#"{"context": "", "choices": ["b", ""], "answer": 0}"#,
                "`choices[1]`: expected a text, found \"\"",
            ),
            (
                r#"{"context": ["a"], "choices": ["b", "c"], "answer": 0}"#,
                "`context`: expected one text, or as many as choices: 2, found 1",
            ),
            ("[1]", "`item`: expected an object, found [1]"),
            ("{", "not JSON"),
        ] {
            let found = of(&format!("{good}\n{bad}\n{good}\n")).unwrap_err();
            assert_eq!(found, format!("`items.jsonl`, line 2: {message}"));
        }
        assert_eq!(of("\n \n").unwrap_err(), "`items.jsonl` has no item");
    }
}
