//! Whether a cache says what the teacher says: samples are read by it again (verification, level 3).
//!
//! Of each position the stored cells, the words and the rest, are compared with the same cells of the teacher now, by
//! `KL(stored ‖ live)`. Two more numbers say what that is worth. The *noise*: the teacher against itself, a sample alone
//! and in a batch. The *control*: the stored cells against the teacher at another position; it must fail, or the
//! comparison could not see a cache that is wrong.

use datasets::logits::{Cache, Finding, LogitError, Scored, ValueCode};
use serde::Serialize;

use super::score::{Asked, LogProbs, Scorer};

/// What the comparison says.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Replay {
    /// Samples that were read again.
    pub samples: u64,
    /// Their positions.
    pub positions: u64,
    /// The share of positions whose most probable word is the teacher's.
    pub agreement: f64,
    /// The mean of `KL(stored ‖ live)`, in nats.
    pub kl: f64,
    /// What 99 of 100 positions stay below.
    pub kl_p99: f64,
    /// The mean of `|ln p|`'s error over the stored words.
    pub log_prob_error: f64,
    /// The mean KL of the teacher alone and in a batch.
    pub noise: f64,
    /// The mean KL of the teacher at another position.
    pub control: f64,
    /// What the mean KL may be: three times the noise, or what the code of the values costs.
    pub limit: f64,
    /// By shard: its place among the cache's, positions, and their mean KL.
    pub shards: Vec<(usize, u64, f64)>,
}

/// Reads samples again: the first `count` by their names, which are hashes.
///
/// # Errors
/// [`LogitError`] if a sample cannot be read from the cache.
pub fn replay(cache: &Cache, scorer: &Scorer, count: usize) -> Result<Replay, LogitError> {
    let mut ids: Vec<_> = cache.entries().map(|entry| (entry.id, entry.shard)).collect();
    ids.sort_unstable();
    ids.truncate(count);
    let mut found = Replay { samples: ids.len() as u64, ..Replay::default() };
    let (mut kls, mut agreed, mut errors, mut words) = (Vec::new(), 0u64, 0.0, 0usize);
    let mut shards = std::collections::BTreeMap::<usize, (u64, f64)>::new();
    for (id, shard) in ids {
        let stored = cache.read(&[id], None)?.remove(0);
        let rows = live(scorer, &stored, false);
        let again = live(scorer, &stored, true);
        for (position, row) in rows.iter().enumerate() {
            let cells = Cells::of(&stored, position);
            let kl = cells.kl(row);
            let of_shard = shards.entry(shard).or_default();
            *of_shard = (of_shard.0 + 1, of_shard.1 + kl);
            kls.push(kl);
            found.noise += cells.of_row(row).kl(&again[position]);
            // Half a sample away: nowhere, where there is one position.
            let elsewhere = (position + rows.len().div_ceil(2)) % rows.len();
            found.control += cells.kl(&rows[elsewhere]);
            let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(id, _)| id);
            agreed += u64::from(best == cells.ids.first().map(|id| *id as usize));
            for (id, log_prob) in cells.ids.iter().zip(&cells.log_probs) {
                errors += (log_prob - f64::from(row[*id as usize])).abs();
                words += 1;
            }
        }
    }
    let each = |sum: f64, count: usize| if count > 0 { sum / count as f64 } else { 0.0 };
    found.positions = kls.len() as u64;
    found.agreement = each(agreed as f64, kls.len());
    found.log_prob_error = each(errors, words);
    (found.noise, found.control) = (each(found.noise, kls.len()), each(found.control, kls.len()));
    found.kl = each(kls.iter().sum(), kls.len());
    kls.sort_by(f64::total_cmp);
    found.kl_p99 = kls.get(kls.len() * 99 / 100).or(kls.last()).copied().unwrap_or(0.0);
    let of_code = match cache.identity().values {
        ValueCode::Sqrt8 => 1e-3,
        ValueCode::Fixed16 => 1e-4,
    };
    found.limit = f64::max(3.0 * found.noise, of_code);
    found.shards =
        shards.into_iter().map(|(n, (count, sum))| (n, count, sum / count as f64)).collect();
    Ok(found)
}

impl Replay {
    /// As verification says it: each shard that is off is damage, and so is a comparison that cannot fail.
    pub fn findings(&self, cache: &Cache) -> Vec<Finding> {
        let mut findings = Vec::new();
        let shards: Vec<_> = cache.shards().map(|(path, _)| path.to_owned()).collect();
        let finding = |path, is_damage, what| Finding { level: 3, is_damage, path, what };
        for (shard, positions, kl) in &self.shards {
            // Not a number is off, too.
            if !(*kl <= self.limit) {
                let limit = self.limit;
                let what = format!(
                    "the teacher says something else: KL {kl:.2e} nats over {positions} positions, expected at most {limit:.1e}"
                );
                findings.push(finding(shards[*shard].clone(), true, what));
            }
        }
        if self.positions > 0 && self.control <= self.limit {
            let what = format!(
                "the control did not fail: rows of another position have a KL of {:.2e} nats, so that the comparison says nothing",
                self.control
            );
            findings.push(finding(cache.path().to_owned(), true, what));
        }
        let Self {
            samples, positions, agreement, kl, kl_p99, log_prob_error, noise, control, ..
        } = self;
        let what = format!(
            "replayed {samples} samples, {positions} positions: first words agree at {:.2}%, KL {kl:.2e} nats (p99 {kl_p99:.2e}), \
             |Δ ln p| {log_prob_error:.2e}; the teacher against itself {noise:.2e}, control {control:.2}",
            100.0 * agreement
        );
        findings.push(finding(cache.path().to_owned(), false, what));
        findings
    }
}

/// The teacher's rows of a sample, alone or as the longer of two.
pub(super) fn live(scorer: &Scorer, sample: &Scored, in_batch: bool) -> Vec<Vec<f32>> {
    let positions = sample.num_positions();
    let asked =
        Asked { id: sample.id, source: sample.source.clone(), tokens: sample.tokens.clone() };
    let mut all = vec![asked];
    if in_batch {
        let shorter = Asked { tokens: sample.tokens[..2].to_vec(), ..all[0].clone() };
        all.push(shorter);
    }
    let (hidden, _) = scorer.hidden(&all);
    let mut rows = LogProbs::new(hidden, scorer.head());
    (0..positions).map(|_| rows.next_row().to_vec()).collect()
}

/// The cells of a position, their mass being one.
struct Cells {
    ids: Vec<u32>,
    log_probs: Vec<f64>,
    rest: f64,
}

impl Cells {
    fn of(sample: &Scored, position: usize) -> Self {
        let (ids, log_probs) = sample.entries(position);
        // What was drawn has a weight, and no probability: it is of the rest.
        let drawn = sample.drawn.get(position).map_or(0, |drawn| drawn.count as usize);
        let head = ids.len() - drawn.min(ids.len());
        let log_probs = log_probs[..head].iter().map(|log| f64::from(*log)).collect();
        Self { ids: ids[..head].to_vec(), log_probs, rest: f64::from(sample.tail[position]) }
            .whole()
    }

    /// The same cells, as another row has them.
    fn of_row(&self, row: &[f32]) -> Self {
        let log_probs: Vec<f64> = self.ids.iter().map(|id| f64::from(row[*id as usize])).collect();
        let mut others = row.to_vec();
        self.ids.iter().for_each(|id| others[*id as usize] = f32::NEG_INFINITY);
        let rest = others.iter().map(|log| f64::from(*log).exp()).sum::<f64>().ln();
        Self { ids: self.ids.clone(), log_probs, rest }.whole()
    }

    fn whole(mut self) -> Self {
        let mass = self.log_probs.iter().map(|log| log.exp()).sum::<f64>() + self.rest.exp();
        let log_mass = mass.ln();
        self.log_probs.iter_mut().for_each(|log| *log -= log_mass);
        self.rest -= log_mass;
        self
    }

    /// `KL(these ‖ the same cells of a row)`.
    fn kl(&self, row: &[f32]) -> f64 {
        let other = self.of_row(row);
        let cell = |p: f64, q: f64| if p == f64::NEG_INFINITY { 0.0 } else { p.exp() * (p - q) };
        let words = self.log_probs.iter().zip(&other.log_probs).map(|(p, q)| cell(*p, *q));
        words.sum::<f64>() + cell(self.rest, other.rest)
    }
}
