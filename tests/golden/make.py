"""Write the golden models and logits that the Rust tests compare with.

    python make.py <folder of real models> [<output folder>]

The folder of real models holds `stories260K/` and `TinyStories-656K/` as Hugging Face directories. Written are

    <name>/config.json, model*.safetensors   a small random model, as Hugging Face lays it out
    <name>/golden.safetensors                input_ids i64 [batch, seq], logits f32 [batch, seq, vocab]
    stories260K.golden.safetensors           the same two tensors for each real model (whose weights are not copied)
    TinyStories-656K.golden.safetensors

`logits` are what transformers computes at every position in float32 on one thread, with weights stored in a narrower
type widened first. Each golden proves before it is written that its special feature changes the logits, so that a
reader which ignores the feature cannot pass. Seeds are fixed: the same versions on the same kind of CPU write the same
bytes. Made with torch 2.8.0 and transformers 4.57.6.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

BATCH, SEQ = 2, 40

# Every key is written out: a reader's defaults are not what is tested here.
BASE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "vocab_size": 96,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "hidden_act": "silu",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "initializer_range": 0.02,
    "use_cache": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}

# Scaling starts at 64 positions, where head_dim 16 and theta 5e5 give one frequency to the unchanged branch
# (wavelength 6.3 < 64 / 4), one to the smooth one (32.4) and six to the divided one (> 64).
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

# name -> (what differs from BASE, what careless readers would take instead)
MODELS = {
    "odd-head-dim": ({"head_dim": 16}, []),
    "gqa-8-2": (
        {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 8, "head_dim": 8, "torch_dtype": "bfloat16"},
        [],
    ),
    "tied-f16": ({"tie_word_embeddings": True, "torch_dtype": "float16"}, []),
    "llama3-rope": (
        {"hidden_size": 32, "intermediate_size": 48, "head_dim": 16, "rope_theta": 500000.0, "rope_scaling": LLAMA3_ROPE},
        [{"rope_scaling": None}],
    ),
    "attention-bias": (
        {"hidden_size": 32, "intermediate_size": 48, "head_dim": 8, "attention_bias": True, "mlp_bias": True},
        [{"attention_bias": False}, {"mlp_bias": False}],
    ),
    # Mistral may have a hidden_size that the number of heads does not divide: the form pruned students take.
    "mistral-nemo": (
        {
            "architectures": ["MistralForCausalLM"],
            "model_type": "mistral",
            "hidden_size": 36,
            "intermediate_size": 48,
            "num_attention_heads": 8,
            "head_dim": 8,
            "rope_theta": 1000000.0,
            "sliding_window": None,
        },
        [{"rope_theta": 10000.0}],
    ),
    "sharded": ({"hidden_size": 32, "intermediate_size": 48, "head_dim": 8}, []),
}

# The real models read this. It is ours, not a sample of their corpora.
STORIES = [
    "Once upon a time, there was a small dog named Max. He liked to run in the park and play with his red ball. "
    "One day, the ball fell into a big hole, and Max was very sad.",
    'Lily and Tom were in the kitchen with their mom. "Can we make a cake?" asked Lily. Her mom smiled and said, '
    '"Yes, but first we must wash our hands." They were very happy.',
]
REAL = {"stories260K": (2, 40), "TinyStories-656K": (1, 24)}


def config_of(keys):
    """The transformers config of a config.json, with the plain attention."""
    return AutoConfig.for_model(**{**keys, "attn_implementation": "eager", "torch_dtype": "float32"})


def logits_of(keys, tensors, input_ids):
    """Float32 logits at every position; a tied model may hold its one matrix under either name."""
    model = AutoModelForCausalLM.from_config(config_of(keys)).float().eval()
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    if keys["tie_word_embeddings"]:
        pair = ("model.embed_tokens.weight", "lm_head.weight")
        matrix = next(tensors[name] for name in pair if name in tensors)
        tensors.update(dict.fromkeys(pair, matrix))
    model.load_state_dict(tensors, strict=True)
    with torch.no_grad():
        return model(input_ids).logits.contiguous()


def random_tensors(keys, generator):
    """Weights wide enough for sharp attention and logits of several units; norms scattered around one."""
    with torch.device("meta"):
        shapes = {name: p.shape for name, p in AutoModelForCausalLM.from_config(config_of(keys)).named_parameters()}
    tensors = {}
    for name in sorted(shapes):
        tensor = torch.randn(shapes[name], generator=generator)
        if name.endswith("norm.weight"):
            tensor = 1.0 + 0.2 * tensor
        elif name.endswith(".bias"):
            tensor = 0.3 * tensor
        elif name == "model.embed_tokens.weight" and not keys["tie_word_embeddings"]:
            tensor = 0.5 * tensor
        else:
            tensor = 0.15 * tensor
        tensors[name] = tensor.to(getattr(torch, keys["torch_dtype"]))
    return tensors


def write_weights(folder, tensors, num_shards):
    """model.safetensors, or shards and their index; a layer's tensors are split between shards."""
    if num_shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map = {}
    names = sorted(tensors)
    per_shard = -(-len(names) // num_shards)
    for shard in range(num_shards):
        file = f"model-{shard + 1:05}-of-{num_shards:05}.safetensors"
        part = names[shard * per_shard : (shard + 1) * per_shard]
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_golden(path, input_ids, logits):
    assert logits.isfinite().all() and logits.abs().max() > 1.0, f"{path}: logits too small to tell anything"
    save_file({"input_ids": input_ids, "logits": logits}, path)
    print(f"{path}: max |logit| {logits.abs().max():.3f}")


def make_random(out, seed, name, changes, careless):
    keys = {**BASE, **changes}
    generator = torch.Generator().manual_seed(seed)
    tensors = random_tensors(keys, generator)
    input_ids = torch.randint(keys["vocab_size"], (BATCH, SEQ), generator=generator)
    logits = logits_of(keys, tensors, input_ids)
    for wrong in careless:
        block = {"attention_bias": "self_attn", "mlp_bias": "mlp"}.get(next(iter(wrong)))
        kept = {n: t for n, t in tensors.items() if not (block and f".{block}." in n and n.endswith(".bias"))}
        gap = (logits_of({**keys, **wrong}, kept, input_ids) - logits).abs().max()
        assert gap > 0.01 * logits.abs().max(), f"{name}: {wrong} makes too little difference to be caught"

    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(keys, indent=2) + "\n")
    write_weights(folder, tensors, num_shards=2 if name == "sharded" else 1)
    write_golden(folder / "golden.safetensors", input_ids, logits)

    # What was written must be what transformers reads by itself.
    loaded, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(info.values()), f"{name}: {info}"
    with torch.no_grad():
        assert torch.equal(loaded(input_ids).logits, logits), f"{name}: reads back differently"


def make_real(out, models, name, batch, seq):
    keys = json.loads((models / name / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(models / name / "tokenizer.json"))
    rows = []
    for story in STORIES[:batch]:
        ids = tokenizer.encode(story, add_special_tokens=False).ids
        rows.append([keys["bos_token_id"], *ids][:seq])
    input_ids = torch.tensor(rows)
    assert input_ids.shape == (batch, seq), f"{name}: a story has fewer than {seq} tokens"
    # By hand: transformers 4.57 leaves a tied model that stores only lm_head.weight without its weights.
    logits = logits_of(keys, load_file(models / name / "model.safetensors"), input_ids)
    nll = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), input_ids[:, 1:].flatten())
    assert nll < 4.0, f"{name}: {nll:.2f} nats a token is not a trained model"
    write_golden(out / f"{name}.golden.safetensors", input_ids, logits)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, help="folder that holds stories260K/ and TinyStories-656K/")
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parent)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for seed, (name, (changes, careless)) in enumerate(MODELS.items()):
        make_random(args.out, seed, name, changes, careless)
    for name, (batch, seq) in REAL.items():
        make_real(args.out, args.models, name, batch, seq)


if __name__ == "__main__":
    main()
