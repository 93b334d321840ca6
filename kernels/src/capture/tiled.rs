//! Capture over tiles of the vocabulary, in host memory.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::Captured;
use crate::host::{LANES, exp, hold, max, sum, wide};

/// Bytes of a tile, unless there are very many tokens.
const TILE_BYTES: usize = 4 << 20;

/// A token, while its tiles are seen.
pub(super) struct Row {
    pub(super) k: usize,
    pub(super) max: f32,
    /// `Σ exp(z − max)` of what was seen and is not in `top`.
    pub(super) rest: f32,
    /// The largest so far, as a heap with the smallest of them first.
    pub(super) top: Vec<(f32, u32)>,
    pub(super) label: Option<usize>,
    pub(super) label_logit: f32,
}

/// What a row needs while it is seen.
#[derive(Default)]
struct Scratch {
    /// The largest logit of each block of a tile.
    largest: Vec<f32>,
    sorted: Vec<f32>,
}

/// No logit below this is among the `k` largest: it is the `k`-th largest of blocks' largest ones, which are logits too.
fn floor(largest: &[f32], k: usize, sorted: &mut Vec<f32>) -> f32 {
    if largest.len() <= k {
        return f32::NEG_INFINITY;
    }
    sorted.clear();
    sorted.extend(largest);
    *sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
}

/// Whether `a` is to be given up before `b`: the smaller logit, of equals the larger id.
#[inline(always)]
fn is_less(a: (f32, u32), b: (f32, u32)) -> bool {
    a.0 < b.0 || (a.0 <= b.0 && a.1 > b.1)
}

impl Row {
    pub(super) fn new(label: i64, k: usize) -> Self {
        Self {
            k,
            max: f32::NEG_INFINITY,
            rest: 0.0,
            top: Vec::with_capacity(k),
            label: usize::try_from(label).ok(),
            label_logit: 0.0,
        }
    }

    #[inline(always)]
    fn see(&mut self, z: &mut [f32], first: usize, scratch: &mut Scratch) {
        if let Some(z) = self.label.and_then(|label| z.get(label.wrapping_sub(first))) {
            self.label_logit = *z;
        }
        let Scratch { largest, sorted } = scratch;
        largest.clear();
        largest.extend(z.chunks(LANES).map(max));
        let tile_max = max(largest);
        if tile_max > self.max {
            self.rest *= if self.rest > 0.0 { exp(self.max - tile_max) } else { 0.0 };
            self.max = tile_max;
        }
        let floor = floor(largest, self.k, sorted);
        for (block, z) in z.chunks_mut(LANES).enumerate() {
            // Most blocks have nothing for the heap, and are passed over at once.
            let is_full = self.top.len() == self.k;
            if largest[block] < floor || is_full && largest[block] <= self.top[0].0 {
                continue;
            }
            for (i, z) in z.iter_mut().enumerate() {
                if *z < floor {
                    continue;
                }
                let id = first + block * LANES + i;
                self.offer(z, u32::try_from(id).unwrap_or(u32::MAX));
            }
        }
        let max = self.max;
        self.rest += sum(z, |z| exp(z - max));
    }

    /// Takes a logit into the heap, out of its tile; what it displaces goes to the rest.
    fn offer(&mut self, z: &mut f32, id: u32) {
        if self.top.len() < self.k {
            self.top.push((std::mem::replace(z, f32::NEG_INFINITY), id));
            let mut at = self.top.len() - 1;
            while at > 0 && is_less(self.top[at], self.top[(at - 1) / 2]) {
                self.top.swap(at, (at - 1) / 2);
                at = (at - 1) / 2;
            }
        } else if *z > self.top[0].0 {
            self.rest += exp(self.top[0].0 - self.max);
            self.top[0] = (std::mem::replace(z, f32::NEG_INFINITY), id);
            let mut at = 0;
            loop {
                let less = |a: usize, b: usize| {
                    if b < self.top.len() && is_less(self.top[b], self.top[a]) { b } else { a }
                };
                let least = less(less(at, 2 * at + 1), 2 * at + 2);
                if least == at {
                    return;
                }
                self.top.swap(at, least);
                at = least;
            }
        }
    }

    /// Its words in order, their ln, that of the rest, and that of the label.
    pub(super) fn end(&mut self) -> (&[(f32, u32)], f32, f32) {
        self.top.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let here: f32 = self.top.iter().map(|(z, _)| exp(z - self.max)).sum();
        let log_mass = (here + self.rest).ln();
        let label = self.label.map_or(0.0, |_| self.label_logit - self.max - log_mass);
        let rest = self.rest.ln() - log_mass;
        let log_mass = self.max + log_mass;
        self.top.iter_mut().for_each(|(z, _)| *z -= log_mass);
        (self.top.as_slice(), rest, label)
    }
}

/// A tile, by all rows.
pub(super) fn see(rows: &mut [Row], z: &mut [f32], first: usize) {
    let len = z.len() / rows.len().max(1);
    let rows = rows.par_iter_mut().zip(z.par_chunks_mut(len.max(1)));
    rows.for_each_init(Scratch::default, |scratch, (row, z)| {
        wide(
            #[inline(always)]
            || row.see(z, first, scratch),
        );
    });
}

pub(super) fn tiled(hidden: &Tensor<2>, head: &Tensor<2>, labels: &[i64], k: usize) -> Captured {
    let ([tokens, _], [_, vocab]) = (hidden.dims(), head.dims());
    let mut rows: Vec<Row> = labels.iter().map(|label| Row::new(*label, k)).collect();
    let words = (TILE_BYTES / 4 / tokens.max(1)).clamp(256, 8192);
    for first in (0..vocab).step_by(words) {
        let part = head.clone().narrow(1, first, words.min(vocab - first));
        see(&mut rows, &mut hold(hidden.clone().matmul(part)), first);
    }
    Captured::of(rows.into_iter(), k)
}
