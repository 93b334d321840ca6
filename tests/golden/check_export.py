"""Compare an exported model, as transformers reads it, with the logits that stillflow computed.

    python check_export.py <hugging face directory> <ours.safetensors>

`ours.safetensors` holds `input_ids` [batch, seq], integers, and `logits` [batch, seq, vocab], floats. Fails when a
tensor is missing, unexpected or of another shape, or when max |dlogit| > 1e-4 max |logit|. Runs on transformers 4 and 5.
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="the exported model")
    parser.add_argument("ours", type=Path, help="safetensors with input_ids and logits")
    args = parser.parse_args()
    torch.set_num_threads(1)

    model, info = AutoModelForCausalLM.from_pretrained(
        args.directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[kind]:
            sys.exit(f"{args.directory}: {kind}: {sorted(info[kind])}")

    ours = load_file(args.ours)
    with torch.no_grad():
        theirs = model.eval()(ours["input_ids"].long()).logits.double()
    logits = ours["logits"].double()
    if logits.shape != theirs.shape:
        sys.exit(f"{args.ours}: expected logits of shape {list(theirs.shape)}, found {list(logits.shape)}")

    gap = (logits - theirs).abs().max().item()
    scale = theirs.abs().max().item()
    print(f"max |dlogit| {gap:.3e}, max |logit| {scale:.3f}, ratio {gap / scale:.2e}")
    if not gap <= TOLERANCE * scale:  # also when gap is NaN
        sys.exit(f"expected a ratio of at most {TOLERANCE}")


if __name__ == "__main__":
    main()
