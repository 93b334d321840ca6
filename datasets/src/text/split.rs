//! Where documents start and end in a text.
//!
//! A chunk is a range of bytes and owns the documents that *start* in it, so each document belongs to exactly one
//! chunk, and a chunk can be read without knowing what came before: [`split`] looks back only to find out whether its
//! first byte starts a line, a document, or neither.

use std::convert::Infallible;
use std::ops::Range;

use super::Split;

/// Calls `document` with the range of each document that starts in `range`, in order. None is blank.
///
/// The text is `bytes` as a whole; a document may reach beyond `range`.
pub(super) fn split<E>(
    bytes: &[u8],
    range: Range<usize>,
    by: &Split,
    mut document: impl FnMut(Range<usize>) -> Result<(), E>,
) -> Result<(), E> {
    pieces(bytes, range, by, |piece| {
        let found = trimmed(bytes, piece);
        if found.is_empty() { Ok(()) } else { document(found) }
    })
}

/// The documents that start in `range`, where `bytes` is a window of a text that may go on behind it (if not `ended`):
/// `None` if more of it must be seen to know them. The window has what [`look_back`] asks for before the range.
pub(super) fn whole(
    bytes: &[u8],
    ended: bool,
    range: Range<usize>,
    by: &Split,
) -> Option<Vec<Range<usize>>> {
    let known = match by {
        _ if ended => bytes.len(),
        Split::File => return None,
        Split::Delimiter(_) => bytes.len(),
        // Of a line that has not ended it is not known whether it is blank.
        Split::Line | Split::BlankLine => {
            bytes.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1)
        }
    };
    if known < range.end && !ended {
        return if known < range.start { Some(Vec::new()) } else { None };
    }
    let (mut found, mut end) = (Vec::new(), 0);
    let Ok(()) = pieces(&bytes[..known], range, by, |piece| {
        end = piece.end;
        let document = trimmed(bytes, piece);
        if !document.is_empty() {
            found.push(document);
        }
        Ok::<_, Infallible>(())
    });
    let goes_on = !ended && end == known && *by != Split::Line;
    if goes_on { None } else { Some(found) }
}

/// From where on a text must be seen to read on behind `before`, which is a window's text up to there (and the text's
/// start, if `is_start`). `None` if the window starts too late to tell.
pub(super) fn look_back(before: &[u8], is_start: bool, by: &Split) -> Option<usize> {
    let back = match by {
        Split::File => Some(0),
        Split::Line => before.len().checked_sub(1),
        Split::Delimiter(delimiter) => before.len().checked_sub(delimiter.len()),
        // Whether the line before is blank: to its last letter, or the line end before it.
        Split::BlankLine => before.len().checked_sub(1).and_then(|last| {
            let line = if before[last] == b'\n' { last } else { last + 1 };
            before[..line].iter().rposition(|b| *b == b'\n' || !b.is_ascii_whitespace())
        }),
    };
    if is_start { Some(back.unwrap_or(0)) } else { back }
}

/// Calls `give` with the range of each piece of the text that starts in `range`, as it lies between two ends.
fn pieces<E>(
    bytes: &[u8],
    range: Range<usize>,
    by: &Split,
    mut give: impl FnMut(Range<usize>) -> Result<(), E>,
) -> Result<(), E> {
    match by {
        Split::File if range.start == 0 => give(0..bytes.len()),
        Split::File => Ok(()),
        Split::Line => {
            let mut start = first_line(bytes, range.start);
            while start < range.end {
                let end = line_end(bytes, start);
                give(start..end)?;
                start = end;
            }
            Ok(())
        }
        Split::BlankLine => paragraphs(bytes, range, give),
        Split::Delimiter(delimiter) => {
            let delimiter = delimiter.as_bytes();
            // A document starts where a delimiter ends, so the first may have begun before the range.
            let back = range.start.saturating_sub(delimiter.len());
            let mut start = match range.start {
                0 => 0,
                _ => find(bytes, delimiter, back).map_or(bytes.len(), |at| at + delimiter.len()),
            };
            while start < range.end {
                let end = find(bytes, delimiter, start).unwrap_or(bytes.len());
                give(start..end)?;
                start = end + delimiter.len();
            }
            Ok(())
        }
    }
}

/// Maximal runs of lines that are not blank.
fn paragraphs<E>(
    bytes: &[u8],
    range: Range<usize>,
    mut give: impl FnMut(Range<usize>) -> Result<(), E>,
) -> Result<(), E> {
    let mut start = first_line(bytes, range.start);
    let mut inside = start > 0 && !blank(&bytes[line_start(bytes, start - 1)..start]);
    while start < range.end {
        let end = line_end(bytes, start);
        let is_blank = blank(&bytes[start..end]);
        if is_blank || inside {
            inside &= !is_blank;
            start = end;
            continue;
        }
        let mut last = end;
        while last < bytes.len() {
            let next = line_end(bytes, last);
            if blank(&bytes[last..next]) {
                break;
            }
            last = next;
        }
        give(start..last)?;
        start = last;
        inside = true;
    }
    Ok(())
}

/// The first line that starts at `from` or after.
fn first_line(bytes: &[u8], from: usize) -> usize {
    if from == 0 { 0 } else { line_end(bytes, from - 1) }
}

/// The start of the line that `at` lies in.
fn line_start(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1)
}

/// Behind the line's newline, or the end of the text.
fn line_end(bytes: &[u8], from: usize) -> usize {
    position(&bytes[from..], b'\n').map_or(bytes.len(), |n| from + n + 1)
}

/// The first place of a byte. Blocks are compared whole, which the compiler makes vectors of.
fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let has = |block: &[u8; 32]| block.iter().fold(false, |any, b| any | (*b == byte));
    let at = blocks.iter().position(has).map_or(bytes.len() - rest.len(), |n| n * 32);
    bytes[at..].iter().position(|b| *b == byte).map(|n| at + n)
}

fn blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// Without the line ends around it. White space within its first and last line stays; if all is blank, nothing does.
fn trimmed(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let text = &bytes[range.clone()];
    if blank(text) {
        return range.start..range.start;
    }
    let is_text = |b: &u8| !matches!(b, b'\n' | b'\r');
    let from = text.iter().position(is_text).unwrap_or(0);
    let to = text.iter().rposition(is_text).map_or(text.len(), |last| last + 1);
    range.start + from..range.start + to
}

fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    loop {
        at += position(bytes.get(at..)?, first)?;
        if bytes[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

/// Whether a part of the delimiter is both its start and its end (`---`, a blank line). Occurrences of such a one can
/// overlap, and which of them count depends on all the text before: its files are read as one chunk.
pub(super) fn overlaps_itself(delimiter: &str) -> bool {
    let bytes = delimiter.as_bytes();
    (1..bytes.len()).any(|n| bytes[..n] == bytes[bytes.len() - n..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: &[&str] = &[
        "",
        "\n",
        "\n\n \n\t\r\n",
        "one",
        "one\ntwo\n",
        "one\r\ntwo\r\n\r\nthree\r\n",
        "\n\nfirst\nline\n\n\nsecond\n \t\nthird without an end",
        "  indented\n\n    more  \n\n\n\n\n\n\n\n\nlast\n\n",
        "a<|end|>b<|end|><|end|>\nc\n<|end|>\n\n<|end|>d<|en",
        "<|end|>lead\n\nmid<|end|>",
        "é\n\nüß<|end|>漢字\r\n\r\n語",
    ];

    fn pieces(text: &str, chunk: usize, by: &Split) -> Vec<(usize, String)> {
        let bytes = text.as_bytes();
        let mut found = Vec::new();
        for start in (0..bytes.len()).step_by(chunk) {
            let range = start..(start + chunk).min(bytes.len());
            split(bytes, range.clone(), by, |r| {
                found.push((r.start, String::from_utf8(bytes[r].to_vec()).unwrap()));
                Ok::<_, ()>(())
            })
            .unwrap();
        }
        found
    }

    /// The plain reading of a whole text, with the standard library's own splitting.
    fn plainly(text: &str, by: &Split) -> Vec<String> {
        let ends = ['\n', '\r'];
        let documents: Vec<String> = match by {
            Split::File => vec![text.to_owned()],
            Split::Line => text.split('\n').map(str::to_owned).collect(),
            Split::Delimiter(d) => text.split(d.as_str()).map(str::to_owned).collect(),
            Split::BlankLine => {
                let mut documents = vec![String::new()];
                for line in text.split_inclusive('\n') {
                    match line.trim_ascii().is_empty() {
                        true => documents.push(String::new()),
                        false => documents.last_mut().unwrap().push_str(line),
                    }
                }
                documents
            }
        };
        let documents = documents.iter().filter(|d| !d.trim_ascii().is_empty());
        documents.map(|d| d.trim_matches(ends).to_owned()).collect()
    }

    #[test]
    fn chunks_of_any_size_hold_the_documents_of_the_whole_text() {
        let delimiters = ["<|end|>", "\n\nx", ">", "e"].map(|d| Split::Delimiter(d.to_owned()));
        let splits = [Split::BlankLine, Split::Line, Split::File].into_iter().chain(delimiters);
        for by in splits {
            for text in TEXTS {
                let expected = plainly(text, &by);
                for chunk in 1..200 {
                    let found = pieces(text, chunk, &by);
                    let texts: Vec<_> = found.iter().map(|(_, text)| text.clone()).collect();
                    assert_eq!(texts, expected, "{by:?}, chunks of {chunk} bytes, {text:?}");
                    for (at, document) in found {
                        assert!(text[at..].starts_with(&document));
                    }
                }
            }
        }
    }

    #[test]
    fn chunks_of_random_text_hold_its_documents_too() {
        let mut rng = crate::random::stream(1, "split", 0, 0);
        for _ in 0..60 {
            let letters = ["a", "b", "\n", "\r\n", " ", "<>", "<"];
            let text: String = (0..crate::random::below(&mut rng, 80))
                .map(|_| letters[usize::try_from(crate::random::below(&mut rng, 7)).unwrap()])
                .collect();
            for by in [Split::BlankLine, Split::Line, Split::Delimiter("<>".to_owned())] {
                for chunk in 1..90 {
                    let texts: Vec<_> =
                        pieces(&text, chunk, &by).into_iter().map(|(_, text)| text).collect();
                    assert_eq!(texts, plainly(&text, &by), "{by:?}, {chunk}, {text:?}");
                }
            }
        }
    }

    #[test]
    fn a_delimiter_that_overlaps_itself_is_recognised() {
        for (delimiter, overlaps) in
            [("\n\n", true), ("---", true), ("aba", true), ("<|end|>", false), ("x", false)]
        {
            assert_eq!(overlaps_itself(delimiter), overlaps, "{delimiter:?}");
        }
    }
}
