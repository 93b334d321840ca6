//! Signatures against the exact likeness of sets of shingles.

use std::collections::BTreeSet;
use std::time::Instant;

use super::*;
use crate::random::{below, stream};

/// The shingles as texts, and the share of those in common.
fn exactly(a: &str, b: &str) -> f64 {
    let shingles = |text: &str| -> BTreeSet<String> {
        let lower: Vec<String> = text
            .split_whitespace()
            .map(|word| word.chars().flat_map(char::to_lowercase).collect())
            .collect();
        if lower.len() < 5 {
            return BTreeSet::from([lower.join(" ")]);
        }
        lower.windows(5).map(|words| words.join(" ")).collect()
    };
    let (a, b) = (shingles(a), shingles(b));
    a.intersection(&b).count() as f64 / a.union(&b).count() as f64
}

/// A text of random words, and one in which some are changed.
fn pair(seed: u64, words: u64, changes: u64) -> (String, String) {
    let mut rng = stream(seed, "near", 0, 0);
    let a: Vec<String> = (0..words).map(|_| format!("word{}", below(&mut rng, 9999))).collect();
    let mut b = a.clone();
    for _ in 0..changes {
        b[usize::try_from(below(&mut rng, words)).unwrap()] = format!("x{}", below(&mut rng, 9999));
    }
    (a.join(" "), b.join(" "))
}

#[test]
fn the_estimate_is_the_exact_likeness_within_three_sigma() {
    // Short documents need many rounds, long ones one; each kind must hold by itself.
    for (words, changes) in [(8, 1), (20, 2), (60, 5), (200, 9), (200, 60), (1000, 10), (4000, 300)]
    {
        let (mut sum, mut squares, mut far, mut n) = (0.0, 0.0, 0, 0.0);
        for seed in 0..400 {
            let (a, b) = pair(seed * 7919 + words, words, changes);
            let exact = exactly(&a, &b);
            let sigma = (exact * (1.0 - exact) / SIZE as f64).sqrt();
            if sigma == 0.0 {
                continue;
            }
            let z = (estimate(&Signature::of(&a), &Signature::of(&b)) - exact) / sigma;
            (sum, squares, n) = (sum + z, squares + z * z, n + 1.0);
            far += u32::from(z.abs() > 3.0);
        }
        assert!(n > 300.0);
        let (mean, variance) = (sum / n, squares / n);
        assert!(mean.abs() < 3.0 / f64::sqrt(n), "{words} words: unbiased, not {mean}");
        assert!(variance < 1.0 + 3.0 * f64::sqrt(2.0 / n), "{words} words: variance {variance}");
        assert!(f64::from(far) < 0.0027 * n + 3.0 * f64::sqrt(0.0027 * n) + 1.0, "{far} are far");
    }
}

#[test]
fn candidates_are_found_as_often_as_the_curve_says() {
    let curve = |s: f64| 1.0 - (1.0 - s.powi(8)).powi(16);
    assert!((threshold() - 0.5f64.sqrt()).abs() < 1e-12 && (curve(0.5) - 0.0607).abs() < 1e-3);
    for changes in [2, 8, 14, 30] {
        let (mut expected, mut found, mut spread) = (0.0, 0.0, 0.0);
        for seed in 0..600 {
            let (a, b) = pair(seed * 104_729 + changes, 250, changes);
            let likely = curve(exactly(&a, &b));
            (expected, spread) = (expected + likely, spread + likely * (1.0 - likely));
            let (a, b) = (bands(&a), bands(&b));
            found += f64::from(u8::from(a.iter().zip(&b).any(|(a, b)| a == b)));
        }
        let off: f64 = found - expected;
        assert!(off.abs() <= 4.0 * f64::sqrt(spread) + 1.0, "{changes}: {found}, not {expected}");
    }
}

#[test]
fn case_and_white_space_do_not_count_and_everything_else_does() {
    let text = "The quick brown fox jumps over the lazy dog again and again";
    let same =
        "\u{a0}the\u{2003}QUICK\n\nbrown\tfox \u{b} jumps over\r\nthe lazy dog AGAIN and again ";
    assert_eq!(Signature::of(text), Signature::of(same), "by bytes and by letters");
    assert_ne!(Signature::of(text), Signature::of(&text.replace("dog", "dog,")));
    let letters = "ÉTÉ ΣΑΣ İ 漢字 ǅ ẞ ".repeat(3);
    let lower: String = letters.chars().flat_map(char::to_lowercase).collect();
    assert_eq!(Signature::of(&letters), Signature::of(&lower));
    // Fewer than five words are one shingle: equal or not.
    for (a, b, likeness) in [
        ("one two three four", "ONE  two three four", 1.0),
        ("one two three four", "one two four three", 0.0),
        ("one two three", "one two three four", 0.0),
        ("", " \n", 1.0),
        ("", "one", 0.0),
        ("one", "one one", 0.0),
        ("a b c d e", "a b c d e", 1.0),
    ] {
        assert_eq!(exactly(a, b).to_bits(), f64::to_bits(likeness));
        let estimate = estimate(&Signature::of(a), &Signature::of(b));
        assert!((estimate - likeness).abs() < 0.03, "{a:?}, {b:?}: {estimate}");
    }
}

#[test]
fn a_signature_is_the_same_on_every_machine() {
    let [first, .., last] = Signature::of("The quick brown fox jumps over the lazy dog").bands();
    assert_eq!((first, last), GOLDEN, "whoever changes this changes what stored keys mean");
    let keys: BTreeSet<u64> = bands("").into_iter().collect();
    assert_eq!(keys.len(), BANDS, "bands do not meet one another");
}

const GOLDEN: (u64, u64) = (5_276_565_199_335_033_813, 5_799_734_955_653_012_825);

/// `cargo test --release -p datasets near::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/text/python_peps.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let ascii: String = text.chars().filter(char::is_ascii).collect();
    for (what, text) in [("as it is", &text), ("ASCII", &ascii)] {
        for length in [500, 4000, 100_000] {
            let cut = |from: usize| (from..text.len()).find(|at| text.is_char_boundary(*at));
            let mut documents = Vec::new();
            let mut start = 0;
            while let Some(end) = cut(start + length) {
                documents.push(&text[start..end]);
                start = end;
            }
            let seconds = (0..5).map(|_| {
                let start = Instant::now();
                let sum = documents.iter().map(|d| Signature::of(d).bands()[0]).max();
                assert!(sum.is_some());
                start.elapsed().as_secs_f64()
            });
            let best = seconds.fold(f64::MAX, f64::min);
            println!("{what}, {length} bytes: {:.0} MB/s", start as f64 / 1e6 / best);
        }
    }
}
