//! The CubeCL kernels on a real device: what a sparse teacher's loss and what a cache keep, against the CPU's.
//!
//! As in [`wgpu`](super::wgpu), Mesa's lavapipe is enough; CUDA runs the same kernels.

use kernels::capture::capture;
use kernels::host::{give, take};
use kernels::loss::{Divergence, Objective, Rest, Sparse, Teacher, Term};
use kernels::loss::{HeadGradients, LossSums, head_loss, head_loss_and_gradients};
use kernels::{Device, Int, Tensor};

use super::wgpu::{TOLERANCE, adapter, off, random, within};

/// More words than a tile has, which is 16,384, and a number of tokens that no cube is as large as.
const DIMS: (usize, usize) = (19, 20_000);

fn tensor(dims: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
    give(random(dims[0] * dims[1], seed).into_iter().map(|x| x * 3.0).collect(), dims, device)
}

/// At the ends of tiles, and nowhere.
fn labels(device: &Device) -> Tensor<1, Int> {
    let ends = [3i64, 19_999, -1, 16_383, 16_384, 0];
    let labels: Vec<i64> =
        (0..DIMS.0).map(|i| ends.get(i).copied().unwrap_or(i as i64 * 521)).collect();
    Tensor::from_ints(labels.as_slice(), device)
}

fn known(k: usize, device: &Device) -> kernels::capture::Captured {
    let (said, words) = (tensor([DIMS.0, 3], 3, device), tensor([3, DIMS.1], 4, device));
    capture(&said, &words, &labels(device), k)
}

fn losses(device: &Device, sparse: &Sparse, o: &Objective) -> (LossSums, HeadGradients) {
    let (hidden, head) = (tensor([DIMS.0, 5], 1, device), tensor([5, DIMS.1], 2, device));
    let teacher = Teacher::Sparse(sparse.clone());
    let (sums, gradients) =
        head_loss_and_gradients(&hidden, &head, Some(&teacher), &labels(device), o, 0.1);
    assert_eq!(head_loss(&hidden, &head, Some(&teacher), &labels(device), o), sums);
    (sums, gradients)
}

#[test]
fn the_losses_of_a_sparse_teacher_on_an_adapter_are_the_cpus_and_twice_the_same_bits() {
    let Some(device) = adapter() else { return };
    let known = known(40, &Device::flex());
    for (rest, divergence, temperature) in [
        (Rest::Ghost, Divergence::ForwardKl, 1.0),
        (Rest::Ghost, Divergence::ReverseKl, 2.0),
        (Rest::Renormalise, Divergence::JensenShannon { beta: 0.5 }, 1.0),
        (Rest::Subset, Divergence::LogitMse, 2.0),
        (Rest::Sampled, Divergence::ForwardKl, 1.0),
    ] {
        let sparse = Sparse { temperature, ..known.clone().sparse(rest) };
        let term = Term { temperature, ..Term::new(divergence) };
        let o = Objective { divergences: vec![term], cross_entropy: 0.4 };
        let what = format!("{rest:?}, {divergence:?}");
        let (expected, expected_gradients) = losses(&Device::flex(), &sparse, &o);
        let (found, gradients) = losses(&device, &sparse, &o);
        assert_eq!((found.tokens, found.agreed), (expected.tokens, expected.agreed), "{what}");
        for (name, a, b) in [
            ("cross-entropy", found.cross_entropy, expected.cross_entropy),
            ("divergence", found.of(divergence), expected.of(divergence)),
        ] {
            within(&format!("{what}: {name}"), (a - b).abs() / b.abs(), TOLERANCE);
        }
        let (again, gradients_again) = losses(&device, &sparse, &o);
        assert_eq!(again, found, "{what}");
        for (name, found, again, expected) in [
            ("states", gradients.hidden, gradients_again.hidden, expected_gradients.hidden),
            ("head", gradients.head, gradients_again.head, expected_gradients.head),
        ] {
            let (found, again) = (take(found), take(again));
            let is_same = found.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(is_same, "{what}: the gradient of the {name} is the same bits twice");
            // The states' is a sum over the vocabulary: in f32 some 1e-5 from the exact one.
            within(&format!("{what}: {name}"), off(&found, &take(expected)), 1e-4);
        }
    }
}

#[test]
fn what_a_cache_keeps_on_an_adapter_is_what_the_cpu_keeps() {
    let Some(device) = adapter() else { return };
    for k in [1, 17, 64, 1500] {
        let (found, expected) = (known(k, &device), known(k, &Device::flex()));
        assert_eq!(found, known(k, &device), "the same bits twice");
        let all = found.ids.len();
        // A product may round otherwise; equal logits may then change places.
        let same = found.ids.iter().zip(&expected.ids).filter(|(a, b)| a == b).count();
        assert!(same * 100 >= all * 99, "{same} of {all} words");
        for (what, found, expected) in [
            ("words", &found.log_probs, &expected.log_probs),
            ("rest", &found.rest, &expected.rest),
            ("label", &found.label_log_probs, &expected.label_log_probs),
        ] {
            within(&format!("k {k}: {what}"), off(found, expected), TOLERANCE);
        }
    }
}
