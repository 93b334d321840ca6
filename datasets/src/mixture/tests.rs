//! Mixtures against counting, the bound on every share, and every setting that is refused.

use super::*;
use crate::random::{ChaCha8Rng, below, stream};

fn share(name: usize, weight: f64, sequences: Option<u64>) -> Share {
    Share { name: format!("s{name}"), weight, sequences }
}

fn shares(weights: &[f64]) -> Vec<Share> {
    weights.iter().enumerate().map(|(i, weight)| share(i, *weight, None)).collect()
}

/// Counts from the front what was drawn of each source, and checks that places go up one by one.
fn drawn(mixture: &Mixture, num_sources: usize, upto: u64, mut each: impl FnMut(u64, &[u64])) {
    let mut counts = vec![0u64; num_sources];
    for t in 0..upto {
        let Some(place) = mixture.at(t) else { break };
        assert_eq!(place.index, counts[usize::from(place.source)], "t = {t}");
        counts[usize::from(place.source)] += 1;
        each(t + 1, &counts);
    }
}

fn random_weights(rng: &mut ChaCha8Rng) -> Vec<f64> {
    let k = 1 + below(rng, 12);
    let scale = 10f64.powi(i32::try_from(below(rng, 5)).unwrap());
    let mut weights: Vec<f64> = (0..k).map(|_| (below(rng, 400) as f64) / scale).collect();
    weights[0] += 1.0 / scale;
    if below(rng, 12) == 0 {
        weights.iter_mut().for_each(|weight| *weight = weight.sqrt());
    }
    weights.retain(|weight| *weight > 0.0);
    weights
}

#[test]
fn no_source_is_ever_a_sequence_away_from_its_share() {
    for case in 0..150 {
        let mut rng = stream(11, "mixture", 0, case);
        let weights = random_weights(&mut rng);
        let mixture = Mixture::new(&shares(&weights), &[]).unwrap();
        assert_eq!(mixture.num_sequences(), None);
        let exact = weights::integers(&weights);
        let period: u64 = exact.iter().map(|weight| u64::from(*weight)).sum();
        assert_eq!(mixture.stages()[0].period(), period);
        drawn(&mixture, weights.len(), (2 * period + 3).min(30_000), |t, counts| {
            for (count, weight) in counts.iter().zip(&exact) {
                // |count - w·t/P| < 1, in integers.
                let (have, due) = (count * period, u64::from(*weight) * t);
                assert!(
                    have.abs_diff(due) < period,
                    "case {case}, t = {t}, {weights:?}, {counts:?}"
                );
            }
        });
        // Far out it is the same pattern.
        let far = period * 1_000_003 + 17;
        let (near, far) = (mixture.at(17).unwrap(), mixture.at(far).unwrap());
        assert_eq!(near.source, far.source);
        let weight = u64::from(exact[usize::from(near.source)]);
        assert_eq!(far.index, near.index + 1_000_003 * weight);
    }
}

#[test]
fn effective_shares_are_within_two_millionths_of_the_weights() {
    let weights = [2f64.sqrt(), 3f64.sqrt(), 0.001];
    let sum: f64 = weights.iter().sum();
    let mixture = Mixture::new(&shares(&weights), &[]).unwrap();
    for (share, weight) in mixture.stages()[0].shares().iter().zip(weights) {
        assert!((share - weight / sum).abs() < 2e-6);
    }
}

/// The mixture by counting: one draw after the other, asking at each whether something changes.
fn naively(shares: &[Share], schedule: &[Change], upto: u64) -> Vec<(u16, u64)> {
    let mut weights: Vec<f64> = shares.iter().map(|share| share.weight).collect();
    let (mut counts, mut all, mut changes) = (vec![0; shares.len()], Vec::new(), 0);
    // The pattern in force, what it was made for, and its first draw.
    let mut now: Option<(pattern::Pattern, (Vec<f64>, usize), u64)> = None;
    while (all.len() as u64) < upto {
        let t = all.len() as u64;
        let over = |i: usize| shares[i].sequences == Some(counts[i]);
        let active: Vec<f64> =
            (0..shares.len()).map(|i| if over(i) { 0.0 } else { weights[i] }).collect();
        let stuck = active.iter().all(|weight| *weight == 0.0);
        if let Some(change) = schedule.get(changes)
            && (stuck || change.from == t)
        {
            for (name, weight) in &change.weights {
                weights[shares.iter().position(|share| share.name == *name).unwrap()] = *weight;
            }
            changes += 1;
            continue;
        }
        if stuck {
            break;
        }
        let made_for = (active, changes);
        let (pattern, made_for, since) = match now.take() {
            Some(now) if now.1 == made_for => now,
            _ => (pattern::Pattern::new(weights::integers(&made_for.0)), made_for, t),
        };
        let (source, _) = pattern.at(t - since);
        all.push((source, counts[usize::from(source)]));
        counts[usize::from(source)] += 1;
        now = Some((pattern, made_for, since));
    }
    all
}

#[test]
fn stages_are_those_of_counting_draw_by_draw() {
    for case in 0..60 {
        let mut rng = stream(12, "mixture", 0, case);
        let weights = random_weights(&mut rng);
        let sources: Vec<Share> = weights
            .iter()
            .enumerate()
            .map(|(i, weight)| {
                share(i, *weight, (below(&mut rng, 2) == 0).then(|| 1 + below(&mut rng, 300)))
            })
            .collect();
        let mut from = 0;
        let schedule: Vec<Change> = (0..below(&mut rng, 4))
            .map(|_| {
                from += 1 + below(&mut rng, 400);
                let i = usize::try_from(below(&mut rng, weights.len() as u64)).unwrap();
                let weight = 1.0 + below(&mut rng, 9) as f64;
                Change { from, weights: vec![(format!("s{i}"), weight)] }
            })
            .collect();
        let mixture = Mixture::new(&sources, &schedule).unwrap();
        let expected = naively(&sources, &schedule, 3000);
        let found: Vec<(u16, u64)> = (0..3000)
            .map_while(|t| mixture.at(t).map(|place| (place.source, place.index)))
            .collect();
        assert_eq!(found, expected, "case {case}: {sources:?}, {schedule:?}");
        if let Some(end) = mixture.num_sequences() {
            let total: u64 = sources.iter().map(|share| share.sequences.unwrap()).sum();
            assert_eq!(end, total, "a mixture ends when all its sources have");
            assert_eq!(mixture.at(end), None);
            assert_eq!(mixture.counts(u64::MAX).iter().sum::<u64>(), total);
        } else {
            assert!(sources.iter().any(|share| share.sequences.is_none()));
        }
        drawn(&mixture, sources.len(), 3000, |t, counts| {
            if t % 97 == 0 {
                assert_eq!(mixture.counts(t), counts);
            }
        });
    }
}

#[test]
fn a_source_waits_for_the_stage_that_weighs_it() {
    let sources = [share(0, 1.0, None), share(1, 0.0, None)];
    let change = Change { from: 10, weights: vec![("s0".into(), 0.0), ("s1".into(), 2.0)] };
    let mixture = Mixture::new(&sources, &[change]).unwrap();
    let found: Vec<u16> = (0..20).map(|t| mixture.at(t).unwrap().source).collect();
    assert_eq!(found, [[0; 10], [1; 10]].concat());
    assert_eq!(mixture.at(10).unwrap().index, 0);
}

#[test]
fn settings_that_cannot_be_meant_are_errors_that_name_what_is_wrong() {
    let error = |shares: &[Share], schedule: &[Change]| {
        Mixture::new(shares, schedule).unwrap_err().to_string()
    };
    let change = |from, name: &str, weight| Change { from, weights: vec![(name.into(), weight)] };
    assert_eq!(error(&[], &[]), "a mixture needs at least one source");
    for weight in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let text = error(&shares(&[1.0, weight]), &[]);
        assert!(text.starts_with("the weight of source \"s1\" at the beginning is "), "{text}");
        let text = error(&shares(&[1.0, 1.0]), &[change(3, "s1", weight)]);
        assert!(text.contains("source \"s1\" in the schedule's stage 0 is "), "{text}");
    }
    assert_eq!(
        error(&shares(&[0.0, -0.0]), &[]),
        "the weights of all sources at the beginning are 0"
    );
    let text = error(&shares(&[1.0]), &[change(4, "s0", 0.0)]);
    assert_eq!(text, "the weights of all sources in the schedule's stage 0 are 0");
    assert!(error(&shares(&[1.0, 0.0]), &[]).contains("source \"s1\" is 0 from"));
    assert_eq!(error(&[share(0, 1.0, Some(0))], &[]), "source \"s0\" has no sequence");
    let text = error(&shares(&[1.0]), &[change(4, "s0", 1.0), change(4, "s0", 2.0)]);
    assert_eq!(text, "the schedule's stage 1 begins at sequence 4, expected one after 4");
    assert!(error(&shares(&[1.0]), &[change(0, "s0", 1.0)]).contains("begins at sequence 0"));
    let text = error(&shares(&[1.0]), &[change(4, "wiki", 1.0)]);
    assert_eq!(text, "the schedule's stage 0 weighs source \"wiki\", which is not one of [\"s0\"]");
    let twice = [share(0, 1.0, None), share(0, 1.0, None)];
    assert_eq!(error(&twice, &[]), "two sources of the mixture have the name \"s0\"");
    assert!(error(&shares(&vec![1.0; 65_536]), &[]).contains("not 65536"));
}

#[test]
fn minus_zero_is_zero() {
    let change = Change { from: 2, weights: vec![("s1".into(), 1.0)] };
    let mixture = Mixture::new(&shares(&[1.0, -0.0]), &[change]).unwrap();
    assert_eq!(mixture.stages()[0].shares(), [1.0, 0.0]);
}
