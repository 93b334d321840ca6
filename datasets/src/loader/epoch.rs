//! The order of an epoch, and where its windows begin.

use crate::order::EpochOrder;

/// An epoch of a source.
pub(super) struct Epoch {
    pub(super) number: u64,
    pub(super) order: EpochOrder,
    /// Where each window begins among the epoch's tokens, or bins, and the end.
    starts: Vec<u64>,
}

impl Epoch {
    /// The epoch of row groups that have so many tokens, or bins.
    pub(super) fn new(number: u64, order: EpochOrder, units: &[u64]) -> Self {
        let (mut starts, mut start) = (vec![0], 0);
        starts.extend((0..order.num_windows()).map(|window| {
            let groups = order.window(window).iter();
            start += groups.map(|group| units[*group as usize]).sum::<u64>();
            start
        }));
        Self { number, order, starts }
    }

    /// Where a window begins, or the last ends.
    pub(super) fn begin(&self, window: usize) -> u64 {
        self.starts[window]
    }

    /// The window that a token, or a bin, is in.
    pub(super) fn window_of(&self, unit: u64) -> usize {
        self.starts.partition_point(|start| *start <= unit) - 1
    }
}
