//! Reports of parts against the report of the whole, and what is computed from them.

use super::*;
use crate::random::{below, stream};

/// Events of two sources, as closures of a number.
fn record(report: &mut CorpusReport, n: u64) {
    let mut rng = stream(n, "report", 0, 0);
    let name = ["web", "books"][usize::try_from(n % 2).unwrap()];
    let tokens = below(&mut rng, 3000);
    match below(&mut rng, 10) {
        0 => report.source(name).count_exact_duplicate(),
        1 => report.source(name).count_near_duplicate(),
        2 => report.source(name).count_empty(1),
        kind => {
            let (too_long, held_out) = (kind == 3, kind == 4);
            report.source(name).count(Kept { bytes: tokens * 4, tokens, too_long, held_out });
            let ids: Vec<u32> =
                (0..tokens).map(|_| u32::try_from(below(&mut rng, 50 + n)).unwrap()).collect();
            report.unigrams.count(&ids);
        }
    }
}

#[test]
fn reports_of_parts_add_up_to_that_of_the_whole_in_any_order() {
    let mut whole = CorpusReport::default();
    (0..500).for_each(|n| record(&mut whole, n));
    let mut parts = vec![CorpusReport::default(); 7];
    for n in (0..500).rev() {
        record(&mut parts[usize::try_from(n % 7).unwrap()], n);
    }
    let mut sum = CorpusReport::default();
    parts.iter().for_each(|part| sum.add(part));
    assert_eq!(sum, whole);
    let json = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<CorpusReport>(&json).unwrap(), whole);
    let total = whole.total();
    let left_out = total.exact_duplicates + total.near_duplicates + total.empty;
    assert_eq!(total.documents, 500);
    assert_eq!(total.kept + left_out, 500);
    assert_eq!(total.length_histogram.iter().sum::<u64>(), total.kept);
    assert_eq!(whole.unigrams.total(), total.tokens);
    let shares = whole.share("web").unwrap() + whole.share("books").unwrap();
    assert!((shares - 1.0).abs() < 1e-12 && whole.share("absent").is_none());
    assert_eq!(total.bytes_per_token(), Some(4.0));
}

#[test]
fn lengths_are_counted_by_their_binary_digits() {
    let mut report = SourceReport::default();
    for tokens in [0, 1, 2, 3, 4, 7, 8, 1023, 1024] {
        report.count(Kept { tokens, ..Kept::default() });
    }
    assert_eq!(report.length_histogram, [1, 1, 2, 2, 1, 0, 0, 0, 0, 0, 1, 1]);
    assert_eq!(report.mean_length(), Some(2072.0 / 9.0));
    assert_eq!(report.bytes_per_token(), Some(0.0));
    assert_eq!(SourceReport::default().bytes_per_token(), None);
}

#[test]
fn the_entropy_is_that_of_the_counts() {
    let mut unigrams = Unigrams::default();
    assert!(unigrams.is_empty());
    assert!(unigrams.entropy_bits().abs() < 1e-12);
    unigrams.count(&[9; 100]);
    assert!(unigrams.entropy_bits().abs() < 1e-12, "one token says nothing");
    let mut even = Unigrams::default();
    (0..64).for_each(|id| even.count(&[id, id, id]));
    assert!((even.entropy_bits() - 6.0).abs() < 1e-12);
    // A half, a quarter, a quarter.
    let mut skewed = Unigrams::default();
    skewed.count(&[5, 5, 7, 0]);
    assert!((skewed.entropy_bits() - 1.5).abs() < 1e-12);
    assert_eq!((skewed.total(), skewed.distinct()), (4, 3));
}

#[test]
fn the_table_is_aligned_and_says_everything() {
    let mut report = CorpusReport::default();
    let kept = Kept { bytes: 4_500, tokens: 1_000, too_long: false, held_out: false };
    (0..1_200).for_each(|_| report.source("a long name").count(kept));
    report.source("b").count(Kept { tokens: 3, held_out: true, ..Kept::default() });
    report.source("b").count_near_duplicate();
    report.source("é").count_empty(2);
    let text = report.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[1],
        "a long name      1,200  1,200          0         0      0         0  1,200,000  100.0 %         4.50       1000.0     0.0 %"
    );
    assert!(lines[3].starts_with("é                    2      0"), "{text}");
    assert!(lines[3].ends_with("-            -         -"), "{text}");
    assert!(lines[4].starts_with("all              1,204  1,201"), "{text}");
    let widths: Vec<usize> = lines[..5].iter().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}");
    assert!(text.contains("2 to 3 ") && text.contains("512 to 1,023"), "{text}");
    assert!(!text.contains("1,024 to"), "no rows beyond the last length");
    assert_eq!(CorpusReport::default().text().lines().count(), 4);
}
