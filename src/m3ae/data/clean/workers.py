"""Examining many samples at once: results in the order of the samples, few of them in memory."""

import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from m3ae.data.clean.examine import CleanSample
from m3ae.data.raw.samples import Outcome, RawSample, Rejected
from m3ae.errors import UserError

Judge = Callable[[Outcome], CleanSample | Rejected]

BATCH_SAMPLES, BATCH_BYTES = 16, 8 << 20  # of one task: whichever is reached first
TASKS_PER_PROCESS = 3  # one at work, others ready


def judged(
    outcomes: Iterable[Outcome], judge: Judge, processes: int
) -> Iterator[tuple[Outcome, CleanSample | Rejected]]:
    """Each outcome with the judgement on it, in order, the same for any number of processes."""
    if processes == 1:
        yield from ((outcome, judge(outcome)) for outcome in outcomes)
        return
    # Processes, not threads: what Python does beside the decoder would keep the others waiting.
    # Started anew, not forked: libraries here run threads of their own, which a fork can leave locked.
    start = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=start, initializer=prepare_worker)
    waiting: deque[tuple[list[Outcome], Future]] = deque()
    try:
        for batch in batches(outcomes):
            waiting.append((batch, pool.submit(judge_batch, judge, batch)))
            if len(waiting) == TASKS_PER_PROCESS * processes:
                yield from finished(waiting)
        while waiting:
            yield from finished(waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def finished(
    waiting: deque[tuple[list[Outcome], Future]],
) -> Iterator[tuple[Outcome, CleanSample | Rejected]]:
    """The oldest batch, with its judgements."""
    batch, future = waiting.popleft()
    try:
        yield from zip(batch, future.result(), strict=True)
    except BrokenProcessPool:
        raise UserError(
            "a process that decodes images died (out of memory, or a decoder's crash); "
            "run the command again, with fewer --processes: it goes on from the last finished shard"
        ) from None


def batches(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    """Consecutive outcomes, bounded in number and in bytes."""
    batch: list[Outcome] = []
    num_bytes = 0
    for outcome in outcomes:
        batch.append(outcome)
        num_bytes += len(outcome.image) if isinstance(outcome, RawSample) else 0
        if len(batch) == BATCH_SAMPLES or num_bytes >= BATCH_BYTES:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch


def judge_batch(judge: Judge, batch: list[Outcome]) -> list[CleanSample | Rejected]:
    """What a worker does."""
    return [judge(outcome) for outcome in batch]


def prepare_worker() -> None:
    """Leave Ctrl-C to the parent, end with it however it ends, and keep quiet about strange metadata."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait until the parent is gone; a killed one cannot say so."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
