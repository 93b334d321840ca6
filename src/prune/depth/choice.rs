//! Which layers go: a pure function of scores.

use super::{Depth, DepthSums, gaps};

impl DepthSums {
    /// The `dropped` layers that go, ascending: the block that is least missed, or the layers that alone are least
    /// missed. Of two that cost the same answers that goes which costs their right choices less log-likelihood
    /// ([`ties`](Self::ties)); of two equal ones the later. No layer is exempt: that the first and the last matter is for the
    /// scores to say. None goes if blocks of that length were not measured.
    #[must_use]
    pub fn choose(&self, by: Depth, contiguous: bool, dropped: usize) -> Vec<usize> {
        let scores = self.scores(by).into_iter().zip(self.ties(by));
        let mut scored: Vec<_> = gaps(self.layers, &self.lengths).zip(scores).collect();
        let wanted = if contiguous { dropped } else { 1 };
        scored.retain(|(gap, _)| gap.len() == wanted);
        scored.sort_by(|(a, (x, x_tie)), (b, (y, y_tie))| {
            x.total_cmp(y).then(x_tie.total_cmp(y_tie)).then(b.start.cmp(&a.start))
        });
        scored.truncate(dropped / wanted.max(1));
        let mut layers: Vec<usize> = scored.into_iter().flat_map(|(gap, _)| gap).collect();
        layers.sort_unstable();
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Removed, layer_forwards};
    use super::*;
    use crate::eval::choice::Answers;

    fn sums(losses: &[f64], lengths: &[usize], layers: usize) -> DepthSums {
        let mut sums = DepthSums::zeros(layers, lengths);
        assert_eq!(sums.removed.len(), losses.len());
        sums.tokens = 1;
        for (removed, loss) in sums.removed.iter_mut().zip(losses) {
            let (loss, cosine) = (*loss, 1.0 - loss);
            *removed = Removed { loss, cosine, logit_error: loss, ..Removed::default() };
        }
        sums
    }

    #[test]
    fn a_block_is_the_best_block_and_layers_are_the_best_alone() {
        // Layers 0 and 3 are the least missed alone; the block 1, 2 is the least missed together.
        let sums = sums(&[0.1, 0.5, 0.4, 0.2, 0.9, 0.3, 0.8], &[2], 4);
        for by in [Depth::Perplexity, Depth::BlockImportance] {
            assert_eq!(sums.choose(by, true, 2), [1, 2], "{by:?}");
            assert_eq!(sums.choose(by, false, 2), [0, 3], "{by:?}");
        }
    }

    #[test]
    fn of_equal_layers_the_later_go_and_one_layer_is_a_block() {
        let one = sums(&[0.5, 0.2, 0.2], &[1], 3);
        assert_eq!(one.choose(Depth::Perplexity, true, 1), [2]);
        assert_eq!(one.choose(Depth::Perplexity, false, 1), [2]);
        let two = sums(&[0.1, 0.1, 0.1, 0.3, 0.3], &[2], 3);
        assert_eq!(two.choose(Depth::Perplexity, true, 2), [1, 2]);
        assert_eq!(two.choose(Depth::Perplexity, false, 2), [1, 2]);
    }

    #[test]
    fn of_layers_that_cost_as_many_answers_the_log_likelihood_decides() {
        let mut sums = DepthSums::zeros(4, &[]);
        sums.answers = Answers { items: 10, right: 7, right_norm: 0, log_likelihood: -20.0 };
        let without = [(6, -25.0), (7, -22.0), (7, -21.0), (7, -23.0)];
        for (removed, (right, log_likelihood)) in sums.removed.iter_mut().zip(without) {
            removed.right = right;
            removed.log_likelihood = log_likelihood;
        }
        assert_eq!(sums.scores(Depth::Task), [0.1, 0.0, 0.0, 0.0]);
        let gone = |n| sums.choose(Depth::Task, false, n);
        assert_eq!([gone(1), gone(2), gone(3)], [vec![2], vec![1, 2], vec![1, 2, 3]]);
        // Of a model that answers better without a layer, that layer goes first.
        sums.removed[0].right = 8;
        assert_eq!(sums.choose(Depth::Task, true, 1), [0]);
    }

    #[test]
    fn blocks_of_each_length_are_chosen_among_their_own() {
        // Alone; then 0..2, 1..3, 2..4; then 0..3, 1..4.
        let sums = sums(&[0.1, 0.5, 0.4, 0.2, 0.9, 0.3, 0.8, 0.6, 0.7], &[2, 3], 4);
        let chosen = |contiguous, dropped| sums.choose(Depth::Perplexity, contiguous, dropped);
        assert_eq!((chosen(true, 2), chosen(true, 3)), (vec![1, 2], vec![0, 1, 2]));
        assert_eq!((chosen(true, 1), chosen(false, 3)), (vec![0], vec![0, 2, 3]));
        assert_eq!((chosen(true, 0), chosen(true, 4)), (vec![], vec![]), "not measured");
    }

    #[test]
    fn blocks_of_32_layers_cost_a_fraction_of_a_pass_for_each_gap() {
        // 32 layers, 16 to go: 49 gaps.
        assert_eq!(gaps(32, &[16]).count(), 32 + 17);
        assert_eq!(layer_forwards(32, &[16]), 32 + 31 * 32 / 2 + 16 * 17 / 2);
        // 20.75 forward passes; without what is kept: 32 + 32 · 31 + 17 · 16 layers, 40.5 passes.
        assert_eq!(layer_forwards(32, &[16]), 664);
        assert_eq!(layer_forwards(4, &[]), 4 + 3 + 2 + 1);
    }
}
