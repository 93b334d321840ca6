//! How one stored tensor of a student is made of one of its teacher's.
//!
//! A stored matrix is `[out, in]`, so a cut is a choice of columns, and rows that are kept, averaged or added. A norm is
//! one row, a bias is one column.

use std::borrow::Cow;
use std::io::{self, Write};

use super::rows::{Rows, spread};
use crate::model::ModelConfig;
use crate::prune::plan::{LayerPlan, PrunePlan};
use crate::weights::{StoredTensor, StoredType};

/// Bytes of the teacher that are read before what is made of them is written and they are let go.
const BAND_BYTES: usize = 16 << 20;

/// One stored tensor of a student.
#[derive(Clone, Debug)]
pub(super) struct TensorCut<'a> {
    /// The teacher's tensor that it is made of.
    pub(super) source: String,
    rows: Rows<'a>,
    columns: Columns<'a>,
    /// What the values are multiplied by: the gain of a norm.
    gain: Option<f64>,
}

/// Columns of a stored tensor, which is `[out, in]`: inputs.
#[derive(Clone, Debug)]
struct Columns<'a> {
    /// The teacher's.
    of: usize,
    kept: Cow<'a, [usize]>,
    /// Whether they are all, in their order.
    are_all: bool,
}

impl<'a> Columns<'a> {
    fn new(of: usize, kept: impl Into<Cow<'a, [usize]>>) -> Self {
        let kept = kept.into();
        let are_all = kept.len() == of && kept.is_sorted();
        Self { of, kept, are_all }
    }
}

/// The student's tensors, in the order of [`ModelConfig::tensors`]; the plan must fit.
pub(super) fn cuts<'a>(teacher: &ModelConfig, plan: &'a PrunePlan) -> Vec<TensorCut<'a>> {
    let hidden = Columns::new(teacher.hidden_size, plan.hidden.as_slice());
    let whole = |source: &str, gain| TensorCut {
        source: source.to_owned(),
        rows: Rows::All,
        columns: hidden.clone(),
        gain,
    };
    let mut all = vec![whole("model.embed_tokens.weight", None)];
    plan.layers.iter().for_each(|layer| of_layer(teacher, plan, layer, &hidden, &mut all));
    all.push(whole("model.norm.weight", plan.norm_gain));
    if !teacher.tie_word_embeddings {
        all.push(whole("lm_head.weight", None));
    }
    all
}

fn of_layer<'a>(
    teacher: &ModelConfig,
    plan: &'a PrunePlan,
    layer: &'a LayerPlan,
    hidden: &Columns<'a>,
    all: &mut Vec<TensorCut<'a>>,
) {
    let head_dim = teacher.head_dim;
    let heads =
        Columns::new(teacher.num_attention_heads * head_dim, spread(&layer.heads, head_dim));
    let neurons = Columns::new(teacher.intermediate_size, layer.neurons.as_slice());
    let kept = |columns: &Columns<'a>| Rows::Kept(columns.kept.clone());
    let (queries, keys) =
        (Rows::queries(layer, plan.head_add_back, head_dim), || Rows::keys(layer, head_dim));
    let (attention, mlp) = (teacher.attention_bias, teacher.mlp_bias);
    let [input_gain, post_attention_gain] = layer.norm_gains.map_or([None; 2], |g| g.map(Some));
    for (part, rows, columns, has_bias, gain) in [
        ("input_layernorm", Rows::All, hidden, false, input_gain),
        ("self_attn.q_proj", queries, hidden, attention, None),
        ("self_attn.k_proj", keys(), hidden, attention, None),
        ("self_attn.v_proj", keys(), hidden, attention, None),
        ("self_attn.o_proj", kept(hidden), &heads, attention, None),
        ("post_attention_layernorm", Rows::All, hidden, false, post_attention_gain),
        ("mlp.gate_proj", kept(&neurons), hidden, mlp, None),
        ("mlp.up_proj", kept(&neurons), hidden, mlp, None),
        ("mlp.down_proj", kept(hidden), &neurons, mlp, None),
    ] {
        let source = |kind| format!("model.layers.{}.{part}.{kind}", layer.source);
        let bias = has_bias.then(|| TensorCut {
            source: source("bias"),
            rows: rows.clone(),
            columns: Columns::new(1, vec![0]),
            gain: None,
        });
        all.push(TensorCut { source: source("weight"), rows, columns: columns.clone(), gain });
        all.extend(bias);
    }
}

impl TensorCut<'_> {
    /// Writes the student's tensor, band by band, of the teacher's.
    pub(super) fn write(
        &self,
        teacher: &StoredTensor<'_>,
        stored: StoredType,
        file: &mut dyn Write,
    ) -> io::Result<()> {
        let from = teacher.dtype;
        let is_copy = from == stored && self.gain.is_none();
        let row_bytes = self.columns.of * from.num_bytes();
        let (mut read, mut band) = (0, Vec::new());
        for i in 0..self.rows.count(teacher.bytes.len() / row_bytes) {
            let mut row = |i: usize| {
                read += row_bytes;
                &teacher.bytes[i * row_bytes..(i + 1) * row_bytes]
            };
            match self.rows.copied(i).filter(|_| is_copy) {
                Some(i) => self.columns.gather(row(i), from, &mut band),
                None => {
                    let mut values = self.rows.values(i, |i| {
                        let mut bytes = Vec::new();
                        self.columns.gather(row(i), from, &mut bytes);
                        from.decode(&bytes)
                    });
                    if let Some(gain) = self.gain {
                        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
                        values.iter_mut().for_each(|x| *x *= gain as f32);
                    }
                    stored.encode(&values, &mut band);
                }
            }
            if read >= BAND_BYTES {
                file.write_all(&band)?;
                band.clear();
                teacher.forget();
                read = 0;
            }
        }
        file.write_all(&band)?;
        teacher.forget();
        Ok(())
    }
}

impl Columns<'_> {
    /// Appends those of a row that are kept.
    fn gather(&self, row: &[u8], dtype: StoredType, to: &mut Vec<u8>) {
        if self.are_all {
            return to.extend_from_slice(row);
        }
        match dtype {
            StoredType::F32 => gather::<4>(row, &self.kept, to),
            StoredType::F16 | StoredType::Bf16 => gather::<2>(row, &self.kept, to),
        }
    }
}

/// Appends the pieces of `N` bytes that are kept.
fn gather<const N: usize>(row: &[u8], kept: &[usize], to: &mut Vec<u8>) {
    let (row, start) = (row.as_chunks::<N>().0, to.len());
    to.resize(start + kept.len() * N, 0);
    for (to, from) in to[start..].as_chunks_mut::<N>().0.iter_mut().zip(kept) {
        *to = row[*from];
    }
}
