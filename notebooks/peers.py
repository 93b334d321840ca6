"""Measures the Python loaders that are installed, on the tokens of a folder of shards.

    python peers.py --tokens DIR [--seq 4096] [--seconds 4] [--repeats 3] [--format json] [--only numpy,pyarrow]

`stillflow bench data --against` runs this file, and reads the one JSON object that it prints:

    machine  cpu, cores
    tokens   n, vocab, cut (whether DIR holds more than --max-tokens, the rest of which was left out)
    peers    name, version, variant, tokens_per_cpu_s and tokens_per_s (one number a repeat), bytes_per_token, checked;
             or name, variant and error

Each peer runs in a process of its own, without workers and with one thread where it has such a setting. It gets the
tokens in its own format, written to a temporary folder before the clock starts. CPU time is that of the whole process.
Before it is timed, one pass must deliver the source's tokens, by their number, their sum and the sum of their squares.
What is timed is whole passes, so that nothing is free that a peer does before its first or after its last window.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import types

COLUMN = "tokens"
DOCUMENTS, WINDOWS = "documents", "windows"


# ---- The source: what the peers are given, and what they must deliver.


class Fingerprint:
    """The number of ids, their sum and the sum of their squares: the same in every order."""

    def __init__(self):
        self.count, self.sum, self.squares = 0, 0, 0

    def add(self, ids):
        import numpy as np

        ids = np.asarray(ids).ravel().astype(np.uint64)
        self.count += ids.size
        self.sum = (self.sum + int(ids.sum())) % 2**64
        self.squares = (self.squares + int((ids * ids).sum())) % 2**64

    def parts(self):
        return [self.count, self.sum, self.squares]


def read_source(folder, work, seq, max_tokens):
    """Decodes the shards once: to a flat file of ids, and to the fingerprints of all tokens and of whole windows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = sorted(folder.glob("tokens-*.parquet")) or sorted(folder.glob("*.parquet"))
    if not paths:
        raise SystemExit(f"no Parquet file in {folder}")
    files = [pq.ParquetFile(path) for path in paths]
    groups = [(file, group) for file in files for group in range(file.num_row_groups)]
    all_ids, chunks, column_bytes = [], [], 0
    for file, group in groups:
        if sum(map(len, all_ids)) >= max_tokens:
            break
        column = file.read_row_group(group, columns=[COLUMN]).column(COLUMN).combine_chunks()
        ids = column.flatten()
        if column.null_count or ids.null_count:
            raise SystemExit(f"{folder}: row group {group} of a shard holds nulls")
        chunks.append(column)
        all_ids.append(ids.to_numpy())
        metadata = file.metadata.row_group(group)
        columns = [metadata.column(i) for i in range(metadata.num_columns)]
        column_bytes += sum(c.total_compressed_size for c in columns if c.path_in_schema.split(".")[0] == COLUMN)
    cut = len(chunks) < len(groups)
    ids = np.concatenate(all_ids) if all_ids else np.empty(0, np.uint32)
    if ids.size < 2 * seq:
        raise SystemExit(f"{folder}: {ids.size} tokens are less than two windows of {seq}")
    if int(ids.min()) < 0 or int(ids.max()) >= 2**31:
        raise SystemExit(f"{folder}: an id is negative or above 31 bits")
    stated = (files[0].schema_arrow.metadata or {}).get(b"stillflow.vocab_size")
    vocab = int(stated) if stated else int(ids.max()) + 1
    ids = ids.astype(np.uint16 if vocab <= 2**16 else np.uint32)
    ids.tofile(work / "ids.bin")

    # One column alone, in one file: what a peer reads that knows neither projections nor more than one file.
    alone = work / "alone.parquet"
    options = {"compression": "zstd", "compression_level": 1, "use_dictionary": False}
    options |= {"column_encoding": {f"{COLUMN}.list.element": "BYTE_STREAM_SPLIT"}}
    schema = pa.schema([pa.field(COLUMN, pa.list_(pa.from_numpy_dtype(ids.dtype)))])
    with pq.ParquetWriter(alone, schema, **options) as writer:
        for chunk in chunks:
            table = pa.table({COLUMN: chunk}).cast(schema)
            writer.write_table(table, row_group_size=max(1, len(table)))

    expected = {DOCUMENTS: Fingerprint(), WINDOWS: Fingerprint()}
    whole = ids.size // seq * seq
    for start in range(0, ids.size, 1 << 22):
        stop = min(start + (1 << 22), ids.size)
        expected[DOCUMENTS].add(ids[start:stop])
        expected[WINDOWS].add(ids[start : min(stop, whole)])
    return {
        "paths": [str(alone)] if cut else [str(path) for path in paths],
        "alone": str(alone),
        "ids": str(work / "ids.bin"),
        "dtype": ids.dtype.name,
        "seq": seq,
        "n": int(ids.size),
        "vocab": vocab,
        "cut": cut,
        "parquet_bytes": alone.stat().st_size if cut else column_bytes,
        "expected": {kind: fingerprint.parts() for kind, fingerprint in expected.items()},
    }


# ---- The peers. Each yields its variants: the name, what it delivers (None if it has checked that itself), the stored bytes, a
# function of the epoch that starts a pass, and one that gives an item's ids.


def windows_of(source):
    """The source's whole windows, as rows of a mapped file."""
    import numpy as np

    ids = np.memmap(source.ids, dtype=source.dtype, mode="r")
    return ids[: ids.size // source.seq * source.seq].reshape(-1, source.seq)


def folder_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def numpy_memmap(source, _work):
    """The nanoGPT way: random windows of a flat file, with replacement."""
    import numpy as np

    ids = np.memmap(source.ids, dtype=source.dtype, mode="r")

    def passes(epoch):
        rng = np.random.default_rng(epoch)
        for start in rng.integers(0, ids.size - source.seq, ids.size // source.seq):
            yield start, ids[start : start + source.seq + 1].astype(np.int64)

    # With replacement, a pass has no sum to know beforehand: each window is held against the ids in memory instead.
    held, whole = np.fromfile(source.ids, dtype=source.dtype), Fingerprint()
    for part in np.array_split(held, max(1, held.size >> 22)):
        whole.add(part)
    if whole.parts() != source.expected[DOCUMENTS]:
        raise ValueError("the flat file does not hold the source's tokens")
    for start, window in itertools.islice(passes(0), 1000):
        if not np.array_equal(window, held[start : start + source.seq + 1]):
            raise ValueError(f"the window at {start} does not hold the source's tokens")
    yield "memmap, random windows to int64", None, ids.nbytes, passes, lambda item: item[1]


def pyarrow_list(source, _work):
    import pyarrow.parquet as pq

    def passes(_epoch):
        for path in source.paths:
            with pq.ParquetFile(path, memory_map=True) as file:
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns=[COLUMN], use_threads=False)

    yield "list column, a row group at a time", DOCUMENTS, source.parquet_bytes, passes, arrow_ids

    # Faster: what it decodes stays in the processor's cache.
    def batches(_epoch):
        for path in source.paths:
            with pq.ParquetFile(path, memory_map=True) as file:
                yield from file.iter_batches(256, columns=[COLUMN], use_threads=False)

    yield "list column, 256 rows at a time", DOCUMENTS, source.parquet_bytes, batches, arrow_ids


def arrow_ids(rows):
    """The ids of a table or a record batch."""
    column = rows.column(COLUMN)
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    return column.flatten().to_numpy(zero_copy_only=False)


def hugging_face(source, _work):
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    datasets.disable_progress_bars()
    # Without features it refuses the shards for the type of `id`, which is not among the columns that it is asked for.
    schema = pa.schema([pq.read_schema(source.paths[0]).field(COLUMN)])
    features = datasets.Features.from_arrow_schema(schema)
    options = {"split": "train", "streaming": True, "columns": [COLUMN], "features": features}
    stream = datasets.load_dataset("parquet", data_files=source.paths, **options)
    arrow = stream.with_format("arrow")
    batches = lambda _epoch: arrow.iter(batch_size=256)
    yield "streaming, Arrow batches", DOCUMENTS, source.parquet_bytes, batches, arrow_ids

    rows = stream.with_format("numpy").shuffle(seed=1, buffer_size=1000)

    def passes(epoch):
        rows.set_epoch(epoch)
        return iter(rows)

    yield "streaming, shuffle(1000), numpy rows", DOCUMENTS, source.parquet_bytes, passes, lambda row: row[COLUMN]


def mosaicml_streaming(source, work):
    from streaming import MDSWriter, StreamingDataset

    folder = work / "mds"
    columns = {COLUMN: f"ndarray:{source.dtype}:{source.seq}"}
    with MDSWriter(out=str(folder), columns=columns) as writer:
        for window in windows_of(source):
            writer.write({COLUMN: window})
    size = folder_bytes(folder)
    options = {"shuffle": True, "shuffle_algo": "py1e", "shuffle_seed": 1, "num_canonical_nodes": 1}
    dataset = StreamingDataset(local=str(folder), batch_size=8, **options)
    passes = lambda _epoch: iter(dataset)
    yield f"MDS {source.dtype}, shuffle py1e", WINDOWS, size, passes, lambda sample: sample[COLUMN]


def litdata(source, work):
    import torch
    from litdata import StreamingDataLoader, StreamingDataset, TokensLoader
    from litdata.streaming.cache import Cache

    for dtype in ("int32", source.dtype):
        folder = work / f"litdata-{dtype}"
        cache = Cache(str(folder), chunk_bytes="64MB", item_loader=TokensLoader(source.seq))
        for index, window in enumerate(windows_of(source)):
            window = window.astype(dtype)
            cache[index] = torch.from_numpy(window) if dtype == "int32" else window
        cache.done()
        cache.merge()
        size = folder_bytes(folder)
        loader = {"item_loader": TokensLoader(source.seq), "shuffle": True, "seed": 1, "drop_last": False}
        dataset = StreamingDataset(str(folder), **loader)

        def passes(_epoch, dataset=dataset):
            return iter(dataset)

        yield f"TokensLoader {dtype}, shuffle", WINDOWS, size, passes, lambda window: window
    batches = StreamingDataLoader(dataset, batch_size=8, num_workers=0, shuffle=True)
    passes = lambda _epoch: iter(batches)
    yield f"TokensLoader {source.dtype}, shuffle, batches of 8", WINDOWS, size, passes, lambda batch: batch


def grain(source, _work):
    import grain.python as pygrain
    from grain import experimental

    windows = windows_of(source)
    options = pygrain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    dataset = pygrain.MapDataset.source(windows)

    def passes(epoch):
        return iter(dataset.shuffle(seed=epoch).batch(8).to_iter_dataset(options))

    yield "memmap, shuffle, batches of 8", WINDOWS, windows.nbytes, passes, lambda batch: batch

    size = pathlib.Path(source.alone).stat().st_size
    rows = lambda _epoch: iter(experimental.ParquetIterDataset(source.alone))
    yield "ParquetIterDataset, rows", DOCUMENTS, size, rows, lambda row: row[COLUMN]


# What --only chooses, in the order of the results: the package to ask for a version, and the function.
PEERS = {
    "numpy": ("numpy", numpy_memmap),
    "pyarrow": ("pyarrow", pyarrow_list),
    "datasets": ("datasets", hugging_face),
    "mosaicml-streaming": ("mosaicml-streaming", mosaicml_streaming),
    "litdata": ("litdata", litdata),
    "grain": ("grain", grain),
}


# ---- Measuring: in the peer's process.


def measure(name, source, work, seconds, repeats):
    """Yields a result for each variant, or one with the error that ended them."""
    package, variants = PEERS[name]
    result = {"name": name}
    try:
        result["version"] = importlib.metadata.version(package)
        one_thread()
        for variant, delivers, size, passes, ids in variants(source, work):
            result = {"name": name, "version": result["version"], "variant": variant}
            if delivers is not None:
                check(source.expected[delivers], passes(0), ids)
            count = source.expected[delivers or DOCUMENTS][0]
            wanted = count if delivers else None
            rates = [rate(passes, ids, wanted, seconds, 1 + 1000 * repeat) for repeat in range(repeats)]
            yield result | {
                "delivers": delivers or WINDOWS,
                "tokens_per_cpu_s": [tokens / cpu for tokens, cpu, _ in rates],
                "tokens_per_s": [tokens / wall for tokens, _, wall in rates],
                "bytes_per_token": size / count,
                "checked": True,
            }
            result = {"name": name, "version": result["version"]}
    except importlib.metadata.PackageNotFoundError:
        yield result | {"error": "not installed"}
    except Exception as error:  # noqa: BLE001: a peer may fail in any way, and the others are still to be measured
        yield result | {"error": f"{type(error).__name__}: {error}"}


def one_thread():
    """Limits what can be limited; the environment has already told OpenMP and its like."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


def check(expected, items, ids):
    found = Fingerprint()
    for item in items:
        found.add(ids(item))
    if found.parts() != expected:
        raise ValueError(f"delivered (count, sum, squares) {found.parts()}, the source holds {expected}")


def rate(passes, ids, wanted, seconds, epoch):
    """Tokens, and the CPU and wall seconds that they took, in whole passes."""
    tokens, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() < wall + seconds:
        before = tokens
        for item in passes(epoch):
            tokens += count_of(ids(item))
        if tokens == before or wanted not in (None, tokens - before):
            raise ValueError(f"a timed pass delivered {tokens - before} tokens instead of {wanted}")
        epoch += 1
    return tokens, time.process_time() - cpu, time.perf_counter() - wall


def count_of(ids):
    size = ids.size
    return size if isinstance(size, int) else ids.numel()


# ---- Running: one process a peer, and one object at the end.

QUIET = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"),
    **dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"), "1"),
    **{"TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": "", "LITDATA_DISABLE_VERSION_CHECK": "1"},
}
# A launcher's variables would make a peer wait for others.
DISTRIBUTED = ("RANK", "LOCAL_RANK", "GLOBAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NNODES", "MASTER_ADDR", "MASTER_PORT")


def run_peer(name, arguments, work):
    """Runs this program again for one peer, and returns its results; a peer that crashes or hangs is an error."""
    folder = work / name
    folder.mkdir()
    results, log = folder / "results.jsonl", folder / "log"
    environment = {key: value for key, value in os.environ.items() if key not in DISTRIBUTED} | QUIET
    environment |= {"TMPDIR": str(folder), "HF_HOME": str(folder / "hf"), "DATA_OPTIMIZER_CACHE_FOLDER": str(folder)}
    itself = [__file__] if "__file__" in globals() else ["-c", sys.orig_argv[sys.orig_argv.index("-c") + 1]]
    command = [sys.executable, *itself, "--child", name, "--work", str(work)]
    command += ["--seconds", str(arguments.seconds), "--repeats", str(arguments.repeats)]
    with log.open("wb") as output:
        options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, "env": environment}
        child = subprocess.Popen(command, start_new_session=True, **options)
        problem = None
        try:
            code = child.wait(timeout=arguments.timeout)
            if code:
                lines = log.read_text(errors="replace").strip().splitlines()
                problem = f"ended with {code}: {lines[-1] if lines else 'no message'}"
        except subprocess.TimeoutExpired:
            problem = f"did not end within {arguments.timeout:g} s"
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    found = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    if problem and not any("error" in result for result in found):
        found.append({"name": name, "error": problem})
    return found


def run_child(arguments):
    work = arguments.work
    source = types.SimpleNamespace(**json.loads((work / "source.json").read_text()))
    folder = work / arguments.child
    with (folder / "results.jsonl").open("a") as results:
        for result in measure(arguments.child, source, folder, arguments.seconds, arguments.repeats):
            print(json.dumps(result), file=results, flush=True)


def machine():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        import platform

        cpu = platform.processor() or platform.machine()
    return {"cpu": cpu, "cores": os.cpu_count()}


def table(results):
    for peer in results["peers"]:
        name = ", ".join(filter(None, (f"{peer['name']} {peer.get('version', '')}".strip(), peer.get("variant"))))
        if "error" in peer:
            yield f"{name:<72} {peer['error']}"
            continue
        rates = [rate / 1e6 for rate in peer["tokens_per_cpu_s"]]
        speed = f"{max(rates):8.1f} ({statistics.median(rates):.1f}) M tokens/cpu-s"
        yield f"{name:<72} {speed} {peer['bytes_per_token']:.3f} B/token"


def parse():
    def names(text):
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in PEERS]:
            raise argparse.ArgumentTypeError(f"unknown peer {unknown[0]!r}: one of {', '.join(PEERS)}")
        return chosen

    def positive(kind):
        def parse(text):
            value = kind(text)
            if not 0 < value < float("inf"):
                raise argparse.ArgumentTypeError(f"{text} is not above 0")
            return value

        return parse

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tokens", type=pathlib.Path, metavar="DIR", help="a folder of token shards")
    parser.add_argument("--seq", type=positive(int), default=4096, help="tokens of a window")
    parser.add_argument("--seconds", type=positive(float), default=4.0, help="of a measurement, at least one pass")
    parser.add_argument("--repeats", type=positive(int), default=3)
    parser.add_argument("--max-tokens", type=positive(int), default=32_000_000, help="whole row groups up to here")
    parser.add_argument("--timeout", type=positive(float), default=300.0, help="seconds that a peer may take")
    parser.add_argument("--only", type=names, default=list(PEERS), help=f"some of {', '.join(PEERS)}")
    parser.add_argument("--format", choices=("json", "table"), default="table")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.tokens is None and arguments.child is None:
        parser.error("--tokens is missing")
    return arguments


def main():
    arguments = parse()
    if arguments.child:
        return run_child(arguments)
    # Ends the peer and removes the temporary folder, as an interrupt does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    results = {"machine": machine(), "tokens": None, "peers": []}
    with tempfile.TemporaryDirectory(prefix="stillflow-peers-") as folder:
        work = pathlib.Path(folder)
        try:
            source = read_source(arguments.tokens, work, arguments.seq, arguments.max_tokens)
        except ImportError as error:
            reason = f"the shards are read with {error.name}, which is not installed"
            results["peers"] = [{"name": name, "error": reason} for name in arguments.only]
        else:
            (work / "source.json").write_text(json.dumps(source))
            results["tokens"] = {key: source[key] for key in ("n", "vocab", "cut")}
            for name in arguments.only:
                results["peers"] += run_peer(name, arguments, work)
    print(json.dumps(results) if arguments.format == "json" else "\n".join(table(results)))


if __name__ == "__main__":
    main()
