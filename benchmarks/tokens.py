"""Word pieces of 12 million captions: time, size on disk, memory to write and to read them.

    python benchmarks/tokens.py > benchmarks/results/tokens.md

Made-up captions of common words, 12 to 28 of them, one a pair (CC12M's are about 20 words long). A first
process cuts 400,000 of them with the tokenizer of bert-base-uncased and writes them as
``m3ae data tokens`` does. A second writes 12 million rows of random word pieces of the same lengths. A third
opens that file and reads a million random pairs. Each reports its peak of memory that is its own
(anonymous) and of all that is mapped, pages of the file included, which processes share. Linux alone; needs
the vocabulary (see ``m3ae data tokens --help``).
"""

import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from m3ae.config import Run, load_run
from m3ae.config.load import merge
from m3ae.config.models import RunSettings
from m3ae.data import tokens as module
from m3ae.data.tokens import BATCH_PAIRS, COLUMN, FACTS, LEVELS, Tokens, encode_split
from m3ae.data.wordfile import WordWriter
from m3ae.data.wordpiece import bert_tokenizer
from m3ae.files import atomic_write, write_text
from m3ae.records import processor

ENCODED, ROWS, READS = 400_000, 12_000_000, 1_000_000
SENTENCE = """
    a photo of the old town seen from above at night with red lights and people walking on its narrow streets
    while white boats lie in a quiet harbour beneath green mountains vintage illustration portrait smiling
    women children dogs football kitchen interior wooden furniture beautifully decorated watercolour
"""
WORDS = SENTENCE.split()


def memory(name: str) -> float:
    """A line of this process's status (MiB)."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def made_captions(count: int):
    """Batches of pairs with one made-up caption each."""
    rng = np.random.default_rng(0)
    for start in range(0, count, BATCH_PAIRS):
        lengths = rng.integers(12, 29, min(BATCH_PAIRS, count - start))
        words = rng.integers(0, len(WORDS), lengths.sum())
        ends = lengths.cumsum()
        yield [[" ".join(WORDS[i] for i in words[e - n : e])] for e, n in zip(ends, lengths, strict=True)]


def encode_some(path: Path) -> dict[str, float]:
    """Cut made-up captions; ``path`` gives the folder."""
    settings = merge(load_run("tiny").settings.plain(), {"data": {"tokens": {"max_tokens": 64}}})
    run, tokenizer = Run("tiny", RunSettings.model_validate(settings)), bert_tokenizer()
    object.__setattr__(run, "paths", SimpleNamespace(**vars_of(path)))
    write_text(run.paths.tokenizer, tokenizer.to_str())
    shards = SimpleNamespace(count=ENCODED, captions_sha256="0", index_sha256="0")
    module.read_manifest = lambda _: shards  # type: ignore[assignment]
    module.iter_captions = lambda *_: made_captions(ENCODED)  # type: ignore[assignment]
    before, began = memory("RssAnon"), time.process_time()
    facts = encode_split(run, "train", tokenizer)
    seconds = time.process_time() - began
    return {
        "captions_per_s": ENCODED / seconds,
        "mean_length": facts.mean_length,
        "mib": memory("VmHWM") - before,
        "bytes": run.paths.tokens("train").stat().st_size,
    }


def vars_of(path: Path) -> dict[str, object]:
    """The paths that the tokens of a split are made at."""
    return {
        "shards": lambda split: path.parent / split,
        "tokens": lambda split: path.with_name(f"{split}.arrow"),
        "tokenizer": path.with_name("tokenizer-of-the-benchmark.json"),
    }


def write_rows(path: Path) -> dict[str, float]:
    """Write 12 million rows of random word pieces."""
    rng, facts = np.random.default_rng(0), dict.fromkeys(FACTS, "30522")
    before, began = memory("RssAnon"), time.process_time()
    with atomic_write(path) as file, WordWriter(file, COLUMN, LEVELS, 30_522, facts) as writer:
        for _ in range(0, ROWS, BATCH_PAIRS):
            lengths = rng.integers(12, 29, BATCH_PAIRS)
            writer.add(rng.integers(0, 30_522, lengths.sum()), lengths, np.ones(BATCH_PAIRS, np.int64))
    seconds = time.process_time() - began
    return {"seconds": seconds, "mib": memory("VmHWM") - before, "bytes": path.stat().st_size}


def read_rows(path: Path) -> dict[str, float]:
    """Open the file, and read a million random pairs."""
    before, began = memory("RssAnon"), time.process_time()
    tokens = Tokens(path)
    opened = time.process_time() - began
    open_mib = memory("RssAnon") - before
    ids = np.random.default_rng(1).integers(0, len(tokens), READS).tolist()
    own, began = memory("RssAnon"), time.process_time()
    total = sum(len(tokens.captions(id)[0]) for id in ids)
    return {
        "pairs": len(tokens),
        "opened_ms": 1000 * opened,
        "open_mib": open_mib,
        "us_per_pair": 1e6 * (time.process_time() - began) / READS,
        "read_mib": memory("RssAnon") - own,
        "shared_mib": memory("RssFile"),
        "mean_length": total / READS,
    }


def in_a_process(step: str, path: Path) -> dict[str, float]:
    """One step in a process of its own."""
    command = [sys.executable, __file__, step, str(path)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.arrow"
        encoded, written, read = (in_a_process(step, path) for step in STEPS)
    print("# Word pieces of 12 million captions\n")
    versions = ", ".join(f"{name} {version(name)}" for name in ("tokenizers", "pyarrow", "numpy"))
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, Python {platform.python_version()}, {versions}.")
    print("Seconds are of processor time, all threads together: other jobs may share the machine.\n")
    print("| step | measured |\n|---|---|")
    print(
        f"| cut {ENCODED:,} captions of {encoded['mean_length']:.1f} word pieces | "
        f"{encoded['captions_per_s']:,.0f} captions/s, peak {encoded['mib']:.0f} MiB above the start |"
    )
    print(
        f"| write {read['pairs']:,} rows | {written['seconds']:.0f} s, {written['bytes'] / 1e6:.0f} MB, "
        f"peak {written['mib']:.0f} MiB above the start |"
    )
    print(f"| open them | {read['opened_ms']:.0f} ms, {read['open_mib']:.1f} MiB of its own |")
    print(
        f"| read {READS:,} random pairs | {read['us_per_pair']:.1f} us a pair, {read['read_mib']:.1f} MiB "
        f"more of its own; {read['shared_mib']:.0f} MiB of files mapped, shared between processes |"
    )


STEPS = {"encode": encode_some, "write": write_rows, "read": read_rows}

if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(STEPS[sys.argv[1]](Path(sys.argv[2]))))
    else:
        main()
