//! A model's logits, for `tests/golden/check_export.py` to compare with those of transformers.
//!
//! ```text
//! cargo run --release --example logits <Hugging Face directory> <ours.safetensors>
//! ```

use std::error::Error;
use std::path::Path;

use kernels::{DType, Device, Int, Tensor};
use stillflow::weights::safetensors_file::{Entry, write};
use stillflow::weights::{ModelDirectory, load};

const BATCH: usize = 2;
const SEQ: usize = 48;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, out] = args.as_slice() else {
        return Err("usage: logits <Hugging Face directory> <ours.safetensors>".into());
    };
    let device = Device::flex();
    let decoder = load(&ModelDirectory::open(Path::new(model))?, &device, DType::F32)?;
    let vocab = decoder.config.vocab_size;
    let mut draws = datasets::random::stream(0, "logits", 0, 0);
    let ids: Vec<i64> = (0..BATCH * SEQ)
        .map(|_| i64::try_from(datasets::random::below(&mut draws, vocab as u64)))
        .collect::<Result<_, _>>()?;
    let input = Tensor::<1, Int>::from_ints(ids.as_slice(), &device).reshape([BATCH, SEQ]);
    let logits = kernels::host::take(decoder.logits(&input));
    // The file of weights has no 64-bit integers; ids below 2^24 are exact in f32.
    let entries = [
        Entry { name: "input_ids".into(), dtype: "F32", dims: vec![BATCH, SEQ] },
        Entry { name: "logits".into(), dtype: "F32", dims: vec![BATCH, SEQ, vocab] },
    ];
    #[expect(clippy::cast_precision_loss, reason = "ids below 2^24")]
    let ids: Vec<f32> = ids.iter().map(|id| *id as f32).collect();
    write(Path::new(out), &entries, |i| {
        let values = if i == 0 { &ids } else { &logits };
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    })?;
    Ok(())
}
