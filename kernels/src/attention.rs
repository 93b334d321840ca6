//! Causal attention with grouped key-value heads (Ainslie et al. 2023, arXiv:2305.13245).
//!
//! `P = softmax(Q Kᵀ / √head_dim)` over the positions not after the query's, `O = P V`. The query
//! heads of a group are stacked as rows above one another, so that keys and values are never repeated.

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Int, Tensor};
use rayon::prelude::*;

use crate::Device;
use crate::host::{exp, fits, hold, max, sum, sum2, wide};

/// Where the documents of packed sequences begin, so that attention does not cross them.
///
/// Positions need no reset: rotary embeddings know differences of positions alone, and within a document these are
/// what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// `[batch][seq]`, flat: the first position of the document that a position belongs to.
    pub first: Vec<u32>,
}

/// The output of attention, and the probabilities, which the backward pass needs.
///
/// # Shapes
///
/// - q: `[batch, heads, seq, head_dim]`; k, v: `[batch, kv_heads, past + seq, head_dim]`
/// - output: `[batch, heads, seq, head_dim]` and `[batch, kv_heads, heads / kv_heads * seq, past + seq]`
///
/// With documents, a query sees the keys of its own document alone; there is no past then.
#[must_use]
pub fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    documents: Option<&Documents>,
) -> (Tensor<4>, Tensor<4>) {
    let [batch, heads, seq, head_dim] = q.dims();
    let [_, kv_heads, keys, _] = k.dims();
    let rows = heads / kv_heads * seq;
    let scores = q.reshape([batch, kv_heads, rows, head_dim]).matmul(k.swap_dims(2, 3));
    let p = causal_softmax(scores, seq, keys, documents, 1.0 / (head_dim as f64).sqrt());
    let o = p.clone().matmul(v).reshape([batch, heads, seq, head_dim]);
    (o, p)
}

/// The gradients of [`attention`] with respect to `q`, `k` and `v`.
///
/// `dV = Pᵀ dO`, `dP = dO Vᵀ`, `dS = P (dP − Σ P dP) / √head_dim`, `dQ = dS K`, `dK = dSᵀ Q`.
///
/// # Shapes
///
/// As [`attention`]: q, d_o: `[batch, heads, seq, head_dim]`, k, v: `[batch, kv_heads, seq, head_dim]`,
/// p: `[batch, kv_heads, heads / kv_heads * seq, seq]`; output as q, k, v.
#[must_use]
pub fn attention_backward(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    p: Tensor<4>,
    d_o: Tensor<4>,
) -> [Tensor<4>; 3] {
    let [batch, heads, seq, head_dim] = q.dims();
    let [_, kv_heads, _, _] = k.dims();
    let stacked = [batch, kv_heads, heads / kv_heads * seq, head_dim];
    let (q, d_o) = (q.reshape(stacked), d_o.reshape(stacked));
    let dv = p.clone().swap_dims(2, 3).matmul(d_o.clone());
    let dp = d_o.matmul(v.swap_dims(2, 3));
    let ds = softmax_backward(p, dp, 1.0 / (head_dim as f64).sqrt());
    let dq = ds.clone().matmul(k).reshape([batch, heads, seq, head_dim]);
    let dk = ds.swap_dims(2, 3).matmul(q);
    [dq, dk, dv]
}

/// Softmax of `scale · scores` over the keys that a row's query may see: row `i` is the query at
/// position `keys − seq + i % seq`.
#[expect(clippy::cast_possible_truncation, reason = "f32 is the scores' type")]
fn causal_softmax(
    scores: Tensor<4>,
    seq: usize,
    keys: usize,
    documents: Option<&Documents>,
    scale: f64,
) -> Tensor<4> {
    let dims @ [_, kv_heads, rows, _] = scores.dims();
    let past = keys - seq;
    if !fits(&scores) {
        let hidden = hidden_keys(dims, seq, documents, &scores.device());
        return softmax((scores * scale).mask_fill(hidden, -1e4f32), 3);
    }
    let device = scores.device();
    let mut p = hold(scores);
    let scale = scale as f32;
    p.par_chunks_mut(keys).enumerate().for_each(|(i, row)| {
        let query = i % rows % seq;
        let first = documents.map_or(0, |d| d.first[i / (rows * kv_heads) * seq + query] as usize);
        let (seen, hidden) = row.split_at_mut(past + query + 1);
        let (before, seen) = seen.split_at_mut(first);
        wide(
            #[inline(always)]
            || {
                let max = max(seen);
                seen.iter_mut().for_each(|s| *s = exp((*s - max) * scale));
                let inverse = 1.0 / sum(seen, |s| s);
                seen.iter_mut().for_each(|s| *s *= inverse);
            },
        );
        before.fill(0.0);
        hidden.fill(0.0);
    });
    p.tensor(&device)
}

/// Which keys a row's query may not see, for devices whose memory is not ours.
///
/// # Shapes
///
/// - dims: `[batch, kv_heads, rows, keys]`; output: `[1 or batch, 1, rows, keys]`
fn hidden_keys(
    [batch, _, rows, keys]: [usize; 4],
    seq: usize,
    documents: Option<&Documents>,
    device: &Device,
) -> Tensor<4, Bool> {
    let groups = rows / seq;
    let after = Tensor::<2, Bool>::tril_mask([seq, keys], (keys - seq) as i64, device);
    let after = after.reshape([1, 1, 1, seq, keys]);
    let Some(documents) = documents else {
        return after.expand([1, 1, groups, seq, keys]).reshape([1, 1, rows, keys]);
    };
    let first: Vec<i64> = documents.first.iter().map(|first| i64::from(*first)).collect();
    let first = Tensor::<1, Int>::from_ints(first.as_slice(), device);
    let wide = [batch, 1, groups, seq, keys];
    let first = first.reshape([batch, 1, 1, seq, 1]).expand(wide);
    let key = Tensor::<1, Int>::arange(0..keys as i64, device).reshape([1, 1, 1, 1, keys]);
    let before = key.expand(wide).lower(first);
    before.bool_or(after.expand(wide)).reshape([batch, 1, rows, keys])
}

/// `scale · P (dP − Σ_keys P dP)`; a key that was not seen has probability zero, and so no gradient.
#[expect(clippy::cast_possible_truncation, reason = "f32 is the scores' type")]
fn softmax_backward(p: Tensor<4>, dp: Tensor<4>, scale: f64) -> Tensor<4> {
    let [_, _, _, keys] = p.dims();
    if !fits(&p) || !fits(&dp) {
        let dot = (p.clone() * dp.clone()).sum_dim(3);
        return p * (dp - dot) * scale;
    }
    let device = p.device();
    let (p, mut ds) = (hold(p), hold(dp));
    let scale = scale as f32;
    ds.par_chunks_mut(keys).zip(p.par_chunks(keys)).for_each(|(ds, p)| {
        wide(
            #[inline(always)]
            || {
                let dot = sum2(ds, p, |d, p| d * p);
                ds.iter_mut().zip(p).for_each(|(d, p)| *d = scale * p * (*d - dot));
            },
        );
    });
    ds.tensor(&device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, autodiff, random};

    /// The definition, with keys and values repeated and a mask.
    fn reference(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
        let [batch, heads, seq, head_dim] = q.dims();
        let [_, kv_heads, keys, _] = k.dims();
        let group = heads / kv_heads;
        let wide = [batch, kv_heads, group, keys, head_dim];
        let repeat = |x: Tensor<4>| {
            x.unsqueeze_dim::<5>(2).expand(wide).reshape([batch, heads, keys, head_dim])
        };
        let past = (keys - seq) as i64;
        let mask = Tensor::<2, Bool>::tril_mask([seq, keys], past, &q.device());
        let scores = q.matmul(repeat(k).swap_dims(2, 3)) / (head_dim as f64).sqrt();
        softmax(scores.mask_fill(mask.unsqueeze(), -1e9f32), 3).matmul(repeat(v))
    }

    #[test]
    fn grouped_heads_equal_repeated_ones_and_gradients_equal_automatic_differentiation() {
        let (q, k, v) =
            (random([2, 6, 5, 8], 1) * 3.0, random([2, 2, 5, 8], 2), random([2, 2, 5, 8], 3));
        let d_o = random([2, 6, 5, 8], 4);
        let (o, p) = attention(q.clone(), k.clone(), v.clone(), None);
        let [dq, dk, dv] = attention_backward(q.clone(), k.clone(), v.clone(), p, d_o.clone());

        let (q, k, v) = (autodiff(q), autodiff(k), autodiff(v));
        let expected = reference(q.clone(), k.clone(), v.clone());
        let grads = (expected.clone() * Tensor::from_inner(d_o)).sum().backward();
        assert_close(o, expected.inner(), 1e-5);
        assert_close(dq, q.grad(&grads).unwrap(), 1e-5);
        assert_close(dk, k.grad(&grads).unwrap(), 1e-5);
        assert_close(dv, v.grad(&grads).unwrap(), 1e-5);
    }

    #[test]
    fn queries_after_a_cached_past_see_it() {
        let (q, k, v) = (random([1, 4, 2, 8], 1), random([1, 2, 7, 8], 2), random([1, 2, 7, 8], 3));
        let (o, _) = attention(q.clone(), k.clone(), v.clone(), None);
        assert_close(o, reference(q, k, v), 1e-5);
    }

    #[test]
    fn packed_documents_attend_as_if_each_were_alone_and_so_do_their_gradients() {
        let (q, k, v) = (random([2, 4, 7, 8], 1), random([2, 2, 7, 8], 2), random([2, 2, 7, 8], 3));
        let d_o = random([2, 4, 7, 8], 4);
        // The first sequence holds documents of 3 and 4 tokens, the second of 1, 5 and 1.
        let documents = Documents { first: vec![0, 0, 0, 3, 3, 3, 3, 0, 1, 1, 1, 1, 1, 6] };
        let (o, p) = attention(q.clone(), k.clone(), v.clone(), Some(&documents));
        let all = attention_backward(q.clone(), k.clone(), v.clone(), p, d_o.clone());
        for (batch, range) in [(0, 0..3), (0, 3..7), (1, 0..1), (1, 1..6), (1, 6..7)] {
            let part =
                |x: &Tensor<4>| x.clone().narrow(0, batch, 1).narrow(2, range.start, range.len());
            let (alone, p) = attention(part(&q), part(&k), part(&v), None);
            assert_close(part(&o), alone, 1e-6);
            let alone = attention_backward(part(&q), part(&k), part(&v), p, part(&d_o));
            for (packed, alone) in all.iter().zip(alone) {
                assert_close(part(packed), alone, 1e-6);
            }
        }
    }

    #[test]
    fn the_mask_of_other_devices_hides_what_the_host_does_not_see() {
        let documents = Documents { first: vec![0, 0, 2, 2, 0, 1, 2, 2] };
        let device = random([1], 1).device();
        for documents in [None, Some(&documents)] {
            let scores = random([2, 2, 8, 4], 5);
            let p = causal_softmax(scores.clone(), 4, 4, documents, 0.5);
            let hidden = hidden_keys(scores.dims(), 4, documents, &device);
            assert_close(softmax((scores * 0.5).mask_fill(hidden, -1e4f32), 3), p, 1e-6);
        }
    }
}
