//! What weights alone say: L2 norms, in f64.

use kernels::host::take;
use kernels::{DType, Tensor};

use super::scores::Scores;
use crate::model::Decoder;
use crate::model::parameters::LayerParameters;

/// `Σ w²` of the rows and of the columns of a matrix.
struct Squares {
    rows: Vec<f64>,
    columns: Vec<f64>,
}

impl Squares {
    /// # Shapes
    ///
    /// - weight: `[rows, columns]`
    fn of(weight: &Tensor<2>) -> Self {
        let [rows, columns] = weight.dims();
        let mut found = Self { rows: Vec::with_capacity(rows), columns: vec![0.0; columns] };
        for row in take(weight.clone().cast(DType::F32)).chunks_exact(columns) {
            let mut sum = 0.0;
            for (column, w) in found.columns.iter_mut().zip(row) {
                let square = f64::from(*w) * f64::from(*w);
                *column += square;
                sum += square;
            }
            found.rows.push(sum);
        }
        found
    }
}

/// `√Σ` of what belongs to each of `count` heads, or the values' own roots where there are as many.
pub(super) fn norms(squares: &[f64], count: usize) -> Vec<f64> {
    squares.chunks(squares.len() / count).map(|part| part.iter().sum::<f64>().sqrt()).collect()
}

fn plus<const N: usize>(parts: [&[f64]; N]) -> Vec<f64> {
    let mut sum = vec![0.0; parts[0].len()];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    sum
}

impl Scores {
    /// By the weights that go: the norm of everything that goes with it, rows and columns of Hugging Face's tensors.
    ///
    /// - a residual channel: its column of the embedding, of the head and of every linear map that reads the stream, its
    ///   row of every one that writes to it;
    /// - a query head: its rows of `q_proj` and columns of `o_proj`;
    /// - a neuron: its rows of `gate_proj` and `up_proj` and its column of `down_proj`.
    #[must_use]
    pub fn magnitude(decoder: &Decoder) -> Self {
        let parameters = &decoder.parameters;
        let mut hidden = Squares::of(&parameters.embed_tokens).columns;
        if let Some(head) = &parameters.lm_head {
            hidden = plus([&hidden, &Squares::of(head).rows]);
        }
        let heads = decoder.config.num_attention_heads;
        let mut found = Self::default();
        for layer in &parameters.layers {
            let of = |linear: &crate::model::linear::Linear| Squares::of(&linear.weight);
            let (q, o) = (of(&layer.q_proj), of(&layer.o_proj));
            let (k, v) = (of(&layer.k_proj), of(&layer.v_proj));
            let (gate, up, down) = (of(&layer.gate_proj), of(&layer.up_proj), of(&layer.down_proj));
            found.heads.push(norms(&plus([&q.columns, &o.rows]), heads));
            let neurons = plus([&gate.columns, &up.columns, &down.rows]);
            found.neurons.push(norms(&neurons, neurons.len()));
            let read = plus([&q.rows, &k.rows, &v.rows, &gate.rows, &up.rows]);
            hidden = plus([&hidden, &read, &o.columns, &down.columns]);
        }
        found.hidden = norms(&hidden, hidden.len());
        found
    }
}

/// The norms of the weights that read a site, for each of its channels: `‖W[:, c]‖` in Hugging Face's layout.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Readers {
    /// q, k and v together.
    pub(super) input_norm: Vec<f64>,
    /// `o_proj`, squared: `[heads * head_dim]`.
    pub(super) attention_squares: Vec<f64>,
    /// gate and up together.
    pub(super) post_attention_norm: Vec<f64>,
    /// `down_proj`.
    pub(super) neurons: Vec<f64>,
}

impl Readers {
    /// Of a layer.
    pub(super) fn of(layer: &LayerParameters) -> Self {
        let rows = |linear: &crate::model::linear::Linear| Squares::of(&linear.weight).rows;
        let input = plus([&rows(&layer.q_proj), &rows(&layer.k_proj), &rows(&layer.v_proj)]);
        let post = plus([&rows(&layer.gate_proj), &rows(&layer.up_proj)]);
        let down = rows(&layer.down_proj);
        Self {
            input_norm: norms(&input, input.len()),
            attention_squares: rows(&layer.o_proj),
            post_attention_norm: norms(&post, post.len()),
            neurons: norms(&down, down.len()),
        }
    }
}
