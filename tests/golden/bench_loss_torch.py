"""The PyTorch peer of `cargo run --release --example bench_loss`: the head and its loss, dense, forward and backward.

    python bench_loss_torch.py [vocab tokens hidden repeats] [--threads 2]

f32 on the CPU: `log_softmax` of the student's and the teacher's logits, `kl_div`, and the gradients of the student's
hidden states and head. Prints one JSON object: the median of the wall seconds, and how far the process grew meanwhile.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F


def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) // 1024


parser = argparse.ArgumentParser()
parser.add_argument("numbers", nargs="*", type=int)
parser.add_argument("--threads", type=int, default=2)
arguments = parser.parse_args()
vocab, tokens, hidden, repeats = (arguments.numbers + [32000, 1024, 512, 5][len(arguments.numbers) :])
torch.set_num_threads(arguments.threads)
torch.manual_seed(1)
scale = 4.0 / hidden**0.5
states = torch.randn(tokens, hidden, requires_grad=True)
head = (torch.randn(hidden, vocab) * scale).requires_grad_()
said, said_head = torch.randn(tokens, hidden), torch.randn(hidden, vocab) * scale


def work():
    states.grad = head.grad = None
    with torch.no_grad():
        log_p = F.log_softmax(said @ said_head, dim=-1)
    log_q = F.log_softmax(states @ head, dim=-1)
    loss = F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
    loss.backward()
    return loss.item()


with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
last, seconds = work(), []
for _ in range(repeats):
    begun = time.perf_counter()
    last = work()
    seconds.append(time.perf_counter() - begun)
print(
    json.dumps(
        {
            "shape": {"vocab": vocab, "tokens": tokens, "hidden": hidden},
            "torch": torch.__version__,
            "wall_s": statistics.median(seconds),
            "best_s": min(seconds),
            "grew_mib": status("VmHWM") - before,
            "last": last,
        }
    )
)
