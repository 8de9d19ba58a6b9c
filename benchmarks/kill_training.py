"""A training that is killed at random moments ends with the same bytes as one that never was.

    python benchmarks/kill_training.py > benchmarks/results/kill_training.md

A small M3AE on pairs, images alone and passages, by the command that a user types, alone and as two ranks of
torchrun. One of each runs undisturbed. Others are killed (`kill -9`; of two ranks one, at random) up to two
seconds after their first step, and started again: 30 kills alone, 12 of ranks, over as many trainings as it
takes. After every third kill the newest checkpoint is damaged as well: cut, a byte changed, or its note torn.
At the end of each training weights, optimiser state and frozen encoder are compared with the undisturbed one.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the project is the tests'

import psutil

from m3ae.config import Run
from m3ae.files import sha256_of
from m3ae.records import processor, read_record
from m3ae.train.steplog import read_lines
from made_shards import make_stream_project

MODEL = "m3ae-b100"
KILLS = {1: 30, 2: 12}  # by number of ranks
LATEST_S = 2.0
EPOCHS = 300
SETTINGS = {"log_steps": 1, "checkpoint_minutes": 0.002, "picture_steps": 0}


@dataclass
class Series:
    """Kills of one number of ranks, and what came out."""

    run: Run
    ranks: int
    expected: tuple[str, str]
    log: list[str] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)
    damaged: int = 0
    passed_over: int = 0

    def note(self, line: str) -> None:
        """Keep a line of the log, and show it."""
        self.log.append(line)
        print(line, file=sys.stderr, flush=True)


def start(ranks: int) -> subprocess.Popen:
    """The command, in a process group of its own."""
    torchrun = (
        ["torchrun", "--standalone", f"--nproc-per-node={ranks}", "--no-python", "--"] if ranks > 1 else []
    )
    command = [*torchrun, "m3ae", "pretrain", "--run", "micro", "--model", MODEL]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def outcome(run: Run) -> tuple[str, str]:
    """Hashes of weights with optimiser state, and of the frozen encoder."""
    state = read_record(run.paths.record(MODEL, "pretrain")).details["state_sha256"]
    return state, sha256_of(run.paths.encoder(MODEL))


def undisturbed(run: Run, ranks: int) -> tuple[str, str]:
    """What a training that nobody kills ends with."""
    process = start(ranks)
    _, words = process.communicate()
    if process.returncode:
        raise SystemExit(words)
    found = outcome(run)
    shutil.rmtree(run.paths.results(MODEL))
    return found


def steps_done(run: Run) -> int:
    """Lines of the step log of the training in progress."""
    logs = list(run.paths.state(MODEL).glob("*/steps.jsonl"))
    return len(read_lines(logs[0])) if logs else 0


def wait_for_steps(run: Run, process: subprocess.Popen, more_than: int) -> None:
    """Until a step is logged that the kill before had not seen, or the process has ended."""
    while process.poll() is None and steps_done(run) <= more_than:
        time.sleep(0.01)


def kill(process: subprocess.Popen, ranks: int, rng: random.Random) -> str:
    """SIGKILL to the process, or to one of the ranks; torchrun then ends the others."""
    if ranks == 1:
        process.kill()
        return "killed"
    found = [child for child in psutil.Process(process.pid).children() if "pretrain" in child.cmdline()]
    if not found:
        return "ended"
    rank = rng.randrange(len(found))
    found[rank].kill()
    return f"rank {rank} killed"


def damage(run: Run, rng: random.Random) -> str:
    """Spoil the newest checkpoint, if there are two."""
    notes = sorted(run.paths.state(MODEL).glob("*/checkpoint-*.json"))
    if len(notes) < 2:
        return ""
    tensors, how = notes[-1].with_suffix(".safetensors"), rng.choice(["cut", "changed", "note torn"])
    data = bytearray(tensors.read_bytes())
    if how == "cut":
        tensors.write_bytes(data[: rng.randrange(len(data))])
    elif how == "changed":
        data[rng.randrange(len(data))] ^= 1
        tensors.write_bytes(data)
    else:
        notes[-1].write_text(notes[-1].read_text()[:9])
    return f", checkpoint of step {int(tensors.stem.split('-')[1])} {how}"


def kill_series(series: Series, kills: int, rng: random.Random) -> None:
    """Kill and start again, and compare whatever ends."""
    killed, seen = 0, 0
    while killed < kills or seen:
        process = start(series.ranks)
        wait_for_steps(series.run, process, seen)
        delay = rng.uniform(0, LATEST_S)
        what = "ended"
        if killed < kills:
            wait(process, delay)
            what = kill(process, series.ranks, rng) if process.poll() is None else "ended"
        words = process.communicate()[1]
        from_step = next(
            (w.split("from step ")[1].split()[0] for w in words.splitlines() if "from step" in w), "0"
        )
        series.passed_over += words.count("damaged checkpoint passed over")
        if what != "ended":
            killed += 1
        if series.run.paths.record(MODEL, "pretrain").exists():  # perhaps the kill came after all was written
            series.same.append(outcome(series.run) == series.expected)
            verdict = "same" if series.same[-1] else "OTHER"
            series.note(f"{'':>3} from step {from_step:>5}: {what}, all written, {verdict} bytes")
            shutil.rmtree(series.run.paths.results(MODEL))
            shutil.rmtree(series.run.paths.state(MODEL), ignore_errors=True)
            seen = 0
            continue
        seen = steps_done(series.run)
        hurt = damage(series.run, rng) if killed % 3 == 0 else ""
        series.damaged += bool(hurt)
        series.note(f"{killed:>3} from step {from_step:>5}: {what} after step {seen:>5}{hurt}")


def wait(process: subprocess.Popen, seconds: float) -> None:
    """Wait, but not for a process that has ended."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def main() -> None:
    """Run both series and print the page."""
    os.environ |= {"OMP_NUM_THREADS": "1", "M3AE_COLLECTIVE_TIMEOUT_S": "60"}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        mixture = {"pairs": 4.0, "images": 3.0, "texts": 4.0}
        run = make_stream_project(Path(temporary), mixture, epochs=EPOCHS, **SETTINGS)
        began = time.monotonic()
        found = []
        for ranks, kills in KILLS.items():
            series = Series(run, ranks, undisturbed(run, ranks))
            series.note(f"-- {ranks} rank{'s' * (ranks > 1)}")
            kill_series(series, kills, random.Random(ranks))
            found.append(series)
        print_page(found, time.monotonic() - began)
    if not all(same for series in found for same in series.same):
        raise SystemExit("the states differ")


def print_page(found: list[Series], seconds: float) -> None:
    """The results as Markdown."""
    print(f"# A training killed at {sum(KILLS.values())} random moments\n")
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, {os.cpu_count()} cores (shared with other work).\n")
    print("    python benchmarks/kill_training.py\n")
    print(f"{seconds:.0f} s in all. Compared: weights, both moments of AdamW, the frozen encoder.\n")
    print("| ranks | kills | checkpoints damaged | passed over with a line | trainings ended | same bytes |")
    print("|---|---|---|---|---|---|")
    for series in found:
        kills, ended = KILLS[series.ranks], len(series.same)
        cells = [series.ranks, kills, series.damaged, series.passed_over, ended, sum(series.same)]
        print("| " + " | ".join(map(str, cells)) + " |")
    print("\nEach start: the step from which it went on, and the last step logged when it was killed.\n\n```")
    print("\n".join(line for series in found for line in series.log))
    print("```")


if __name__ == "__main__":
    main()
