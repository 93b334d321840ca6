//! Which layers go: a pure function of scores.

use super::{Depth, DepthSums, gaps};

impl DepthSums {
    /// The layers that go, ascending: the block that is least missed, or the layers that alone are least missed. Of two
    /// equal ones the later goes. No layer is exempt: that the first and the last matter is for the scores to say.
    #[must_use]
    pub fn choose(&self, by: Depth, contiguous: bool) -> Vec<usize> {
        let scores = self.scores(by);
        let mut scored: Vec<_> = gaps(self.layers, self.dropped).zip(scores).collect();
        let wanted = if contiguous { self.dropped } else { 1 };
        scored.retain(|(gap, _)| gap.len() == wanted);
        scored.sort_by(|(a, x), (b, y)| x.total_cmp(y).then(b.start.cmp(&a.start)));
        scored.truncate(self.dropped / wanted.max(1));
        let mut layers: Vec<usize> = scored.into_iter().flat_map(|(gap, _)| gap).collect();
        layers.sort_unstable();
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Removed, layer_forwards};
    use super::*;

    fn sums(losses: &[f64], dropped: usize, layers: usize) -> DepthSums {
        let mut sums = DepthSums::zeros(layers, dropped);
        assert_eq!(sums.removed.len(), losses.len());
        sums.tokens = 1;
        for (removed, loss) in sums.removed.iter_mut().zip(losses) {
            *removed = Removed { loss: *loss, cosine: 1.0 - loss, logit_error: *loss };
        }
        sums
    }

    #[test]
    fn a_block_is_the_best_block_and_layers_are_the_best_alone() {
        // Layers 0 and 3 are the least missed alone; the block 1, 2 is the least missed together.
        let sums = sums(&[0.1, 0.5, 0.4, 0.2, 0.9, 0.3, 0.8], 2, 4);
        for by in [Depth::Perplexity, Depth::BlockImportance] {
            assert_eq!(sums.choose(by, true), [1, 2], "{by:?}");
            assert_eq!(sums.choose(by, false), [0, 3], "{by:?}");
        }
    }

    #[test]
    fn of_equal_layers_the_later_go_and_one_layer_is_a_block() {
        let one = sums(&[0.5, 0.2, 0.2], 1, 3);
        assert_eq!(one.choose(Depth::Perplexity, true), [2]);
        assert_eq!(one.choose(Depth::Perplexity, false), [2]);
        let two = sums(&[0.1, 0.1, 0.1, 0.3, 0.3], 2, 3);
        assert_eq!(two.choose(Depth::Perplexity, true), [1, 2]);
        assert_eq!(two.choose(Depth::Perplexity, false), [1, 2]);
    }

    #[test]
    fn blocks_of_32_layers_cost_a_fraction_of_a_pass_for_each_gap() {
        // 32 layers, 16 to go: 49 gaps.
        assert_eq!(gaps(32, 16).count(), 32 + 17);
        assert_eq!(layer_forwards(32, 16), 32 + 31 * 32 / 2 + 16 * 17 / 2);
        // 20.75 forward passes; without what is kept: 32 + 32 · 31 + 17 · 16 layers, 40.5 passes.
        assert_eq!(layer_forwards(32, 16), 664);
        assert_eq!(layer_forwards(4, 0), 4 + 3 + 2 + 1);
    }
}
