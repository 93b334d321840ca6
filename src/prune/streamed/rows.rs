//! What each row of a student's tensor is made of: rows of the teacher's.

use std::borrow::Cow;

use crate::prune::add_back::HeadAddBack;
use crate::prune::plan::LayerPlan;

/// Rows of a stored tensor, which is `[out, in]`: outputs.
#[derive(Clone, Debug)]
pub(super) enum Rows<'a> {
    /// All, as they are.
    All,
    /// These.
    Kept(Cow<'a, [usize]>),
    /// The mean of each of these sets: key-value heads that become one.
    Means(Vec<Vec<usize>>),
    /// `a · factors[0] + b · factors[1]` of each pair `[a, b]`: the queries of a head that goes, in one that stays.
    Sums(Vec<[usize; 2]>, [f32; 2]),
}

impl Rows<'_> {
    /// The query rows of a layer; see [`add_back`](crate::prune::add_back).
    pub(super) fn queries(layer: &LayerPlan, add_back: HeadAddBack, head_dim: usize) -> Self {
        let factors = match add_back {
            HeadAddBack::Off => return Self::Kept(spread(&layer.heads, head_dim).into()),
            HeadAddBack::Plus => [2.0, -1.0],
            HeadAddBack::Minus => [0.0, 1.0],
        };
        // A head without a partner is its own: 2 q − q and 0 q + q are q, exactly.
        let partner = |head: &usize| {
            layer.add_back.iter().find(|[stays, _]| stays == head).map_or(*head, |[_, goes]| *goes)
        };
        let partners: Vec<usize> = layer.heads.iter().map(partner).collect();
        let pairs = spread(&layer.heads, head_dim).into_iter().zip(spread(&partners, head_dim));
        Self::Sums(pairs.map(|(stays, goes)| [stays, goes]).collect(), factors)
    }

    /// The key or value rows of a layer.
    pub(super) fn keys(layer: &LayerPlan, head_dim: usize) -> Self {
        let Some(groups) = &layer.kv_groups else { return Self::All };
        let of_group = |group: &Vec<usize>| -> Vec<Vec<usize>> {
            let row = |i| group.iter().map(|head| head * head_dim + i).collect();
            (0..head_dim).map(row).collect()
        };
        Self::Means(groups.iter().flat_map(of_group).collect())
    }

    /// How many, of a teacher's so many.
    pub(super) fn count(&self, of: usize) -> usize {
        match self {
            Self::All => of,
            Self::Kept(kept) => kept.len(),
            Self::Means(sets) => sets.len(),
            Self::Sums(pairs, _) => pairs.len(),
        }
    }

    /// The teacher's row that row `i` is a copy of, if it is one.
    pub(super) fn copied(&self, i: usize) -> Option<usize> {
        match self {
            Self::All => Some(i),
            Self::Kept(kept) => kept.get(i).copied(),
            Self::Means(_) | Self::Sums(..) => None,
        }
    }

    /// Row `i`, of the teacher's that `row` gives: the arithmetic of [`surgery`](crate::prune::surgery), in its order.
    pub(super) fn values(&self, i: usize, mut row: impl FnMut(usize) -> Vec<f32>) -> Vec<f32> {
        match self {
            Self::All => row(i),
            Self::Kept(kept) => row(kept[i]),
            Self::Means(sets) => {
                let mut members = sets[i].iter().map(|member| row(*member));
                let mut sum = members.next().unwrap_or_default();
                for member in members {
                    sum.iter_mut().zip(member).for_each(|(sum, x)| *sum += x);
                }
                #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
                let share = (1.0 / sets[i].len() as f64) as f32;
                sum.iter_mut().for_each(|sum| *sum *= share);
                sum
            }
            Self::Sums(pairs, [of_a, of_b]) => {
                let [a, b] = pairs[i].map(row);
                a.iter().zip(&b).map(|(a, b)| a * of_a + b * of_b).collect()
            }
        }
    }
}

/// The channels of heads.
pub(super) fn spread(heads: &[usize], head_dim: usize) -> Vec<usize> {
    heads.iter().flat_map(|head| head * head_dim..(head + 1) * head_dim).collect()
}
