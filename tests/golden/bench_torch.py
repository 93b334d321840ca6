"""The PyTorch peer for speed: forward, training step and distillation step of a Llama in float32 on the CPU.

    python bench_torch.py [--threads 2] [--repeats 10] [--only forward train kd] [shape options]

The defaults are 24.4 M parameters at 4 x 256 tokens. Prints one JSON object; for each measurement, after two warm-ups,
the medians of wall seconds, of CPU seconds (all threads; steadier on a shared machine) and tokens a second of wall time.

    forward   logits at every position, no gradients
    train     cross-entropy forward, backward, clip_grad_norm_ 1.0, AdamW (foreach)
    kd        the teacher's forward, the student's forward, KL(teacher || student) over the whole vocabulary, backward,
              clip, AdamW
"""

import argparse
import json
import platform
import resource
import statistics
import time
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

WARM_UPS = 2


@dataclass(frozen=True)
class Shape:
    """A Llama's shape, in Hugging Face's names."""

    hidden_size: int = 288
    num_hidden_layers: int = 6
    num_attention_heads: int = 6
    num_key_value_heads: int = 6
    head_dim: int = 48
    intermediate_size: int = 768
    vocab_size: int = 32000
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5


class Norm(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape.hidden_size))
        self.eps = shape.rms_norm_eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def linear(inputs, outputs):
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=0.02)
    return layer


def rotate(x, cos, sin):
    """Rotary embedding in the half-split layout; x is [batch, heads, seq, head_dim]."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        q_width = shape.num_attention_heads * shape.head_dim
        kv_width = shape.num_key_value_heads * shape.head_dim
        self.input_layernorm = Norm(shape)
        self.q_proj = linear(shape.hidden_size, q_width)
        self.k_proj = linear(shape.hidden_size, kv_width)
        self.v_proj = linear(shape.hidden_size, kv_width)
        self.o_proj = linear(q_width, shape.hidden_size)
        self.post_attention_layernorm = Norm(shape)
        self.gate_proj = linear(shape.hidden_size, shape.intermediate_size)
        self.up_proj = linear(shape.hidden_size, shape.intermediate_size)
        self.down_proj = linear(shape.intermediate_size, shape.hidden_size)

    def forward(self, x, cos, sin):
        batch, seq, _ = x.shape
        h = self.input_layernorm(x)
        q, k, v = (
            proj(h).view(batch, seq, -1, self.shape.head_dim).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        grouped = self.shape.num_key_value_heads != self.shape.num_attention_heads
        a = F.scaled_dot_product_attention(
            rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True, enable_gqa=grouped
        )
        x = x + self.o_proj(a.transpose(1, 2).reshape(batch, seq, -1))
        h = self.post_attention_layernorm(x)
        return x + self.down_proj(F.silu(self.gate_proj(h)) * self.up_proj(h))


class Llama(nn.Module):
    def __init__(self, shape, seq):
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        nn.init.normal_(self.embed_tokens.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = Norm(shape)
        self.lm_head = linear(shape.hidden_size, shape.vocab_size)
        inv_freq = shape.rope_theta ** (-torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
        angles = torch.outer(torch.arange(seq).float(), inv_freq).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, input_ids):
        x = self.embed_tokens(input_ids)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return self.lm_head(self.norm(x))


def num_parameters(model):
    return sum(p.numel() for p in model.parameters())


def measure(work, repeats, tokens):
    """Medians over `repeats` calls of `work`, which returns a number (a loss) or None."""
    wall, cpu, last = [], [], None
    for run in range(WARM_UPS + repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        last = work()
        if run >= WARM_UPS:
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
    seconds = statistics.median(wall)
    return {
        "wall_s": seconds,
        "cpu_s": statistics.median(cpu),
        "tokens_per_s": tokens / seconds,
        "last_loss": last,
    }


def updater(model):
    """A function that takes a loss and makes one optimizer update of it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=True)

    def update(loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return update


def measurements(shape, teacher_shape, batch, seq):
    """Name -> a function that prepares its models and returns the work to be timed."""
    input_ids = torch.randint(shape.vocab_size, (batch, seq))
    targets = torch.randint(shape.vocab_size, (batch * seq,))

    def forward():
        model = Llama(shape, seq)

        def work():
            with torch.no_grad():
                model(input_ids)

        return work

    def train():
        model = Llama(shape, seq)
        update = updater(model)
        return lambda: update(F.cross_entropy(model(input_ids).flatten(0, 1), targets))

    def kd():
        teacher, student = Llama(teacher_shape, seq), Llama(shape, seq)
        update = updater(student)

        def work():
            with torch.no_grad():
                wanted = F.log_softmax(teacher(input_ids).flatten(0, 1), dim=-1)
            found = F.log_softmax(student(input_ids).flatten(0, 1), dim=-1)
            return update(F.kl_div(found, wanted, log_target=True, reduction="batchmean"))

        return work

    return {"forward": forward, "train": train, "kd": kd}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=256)
    parser.add_argument("--only", nargs="+", choices=["forward", "train", "kd"], default=["forward", "train", "kd"])
    for name, value in vars(Shape()).items():
        flag = name.replace("_", "-")
        parser.add_argument(f"--{flag}", type=type(value), default=value)
        if name != "vocab_size":
            parser.add_argument(f"--teacher-{flag}", type=type(value), help="default: as the student")
    return parser.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    shape = Shape(**{name: getattr(args, name) for name in vars(Shape())})
    given = {name: getattr(args, f"teacher_{name}", None) for name in vars(Shape())}
    teacher_shape = replace(shape, **{name: value for name, value in given.items() if value is not None})

    report = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": args.threads,
        "repeats": args.repeats,
        "batch": args.batch,
        "seq": args.seq,
        "shape": vars(shape),
        "teacher_shape": vars(teacher_shape) if "kd" in args.only else None,
        "num_parameters": num_parameters(Llama(shape, args.seq)),
    }
    work = measurements(shape, teacher_shape, args.batch, args.seq)
    for name in args.only:
        report[name] = measure(work[name](), args.repeats, args.batch * args.seq)
    report["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
