"""How fast steps are: on data that wait for nothing, and on the run's own as training reads them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from m3ae.data.stream.loader import AnyStream, load_steps
from m3ae.train.doctor.environment import IN_FLIGHT
from m3ae.train.doctor.timing import Speed, measure
from m3ae.train.doctor.trial import Trial, smallest_step

WARM_UP = 2  # steps: memory, kernels, compilation
STEPS = 3  # that a processor takes at least in about the time that it is given
PROBES = 3  # steps of a size that is probed, at most
FEW = 4  # samples of each kind; with fewer, the update would weigh too much
MORE = 4  # times as many in the larger of two probes


@dataclass(frozen=True)
class Plan:
    """How a step is taken: one pass, or several whose gradients add up."""

    samples: int
    """Of one pass."""
    passes: int
    """Of one step."""


def plan_of(batch: int, device_batch: int | None, least: int = 1) -> Plan:
    """The passes of a step of ``batch`` samples: at most ``device_batch`` in each, or ``least``, if more."""
    passes = math.ceil(batch / (device_batch or batch))
    return Plan(max(least, math.ceil(batch / passes)), passes)


def fit_into_memory(trial: Trial, plan: Plan, batch: int) -> Plan | None:
    """The plan for ``batch`` samples, with smaller passes if a GPU's memory asks for them; None if none fits.

    Full captions, the most that a pass can hold. Not for processors, which do not say that memory is short.
    """
    least = trial.least_pass
    while True:
        try:
            step_on(trial, plan)
            return plan
        except torch.cuda.OutOfMemoryError:
            if plan.samples <= least:
                return None
            plan = plan_of(batch, max(least, plan.samples // 2), least)
        trial.optimizer.zero_grad()
        torch.cuda.empty_cache()


def step_on(trial: Trial, plan: Plan) -> None:
    """One step of a single pass with full captions."""
    trial.step([trial.noise(plan.samples)], plan.samples)
    trial.wait()


def affordable(trial: Trial, plan: Plan, seconds: float) -> Plan:
    """The plan, with fewer or smaller passes where a step would take a processor too long to be timed.

    A step takes some time whatever it holds, on a busy machine most of it, as its threads wait for each other
    at every operation: so two sizes are probed, and the line through them says what a larger one takes.
    """
    least = min(plan.samples, FEW * smallest_step(trial.mixture))
    more = min(plan.samples, MORE * least)
    step_on(trial, Plan(least, 1))  # the first one makes the optimiser's moments
    short, longer = (fastest(trial, Plan(size, 1), seconds) for size in (least, more))
    per_sample = max((longer - short) / (more - least), 1e-9) if more > least else short / least
    room = max(seconds / STEPS, 2 * short) - short
    total = least + min(int(room / per_sample), plan.samples * plan.passes)
    samples = min(plan.samples, total)
    return Plan(samples, max(1, min(plan.passes, total // samples)))


def fastest(trial: Trial, plan: Plan, seconds: float) -> float:
    """Seconds of the fastest of a few steps: other work makes some of them many times slower."""
    best, spent = math.inf, 0.0
    for _ in range(PROBES):
        took = measure(lambda: stepped(trial, plan), trial.wait, 0).seconds
        best, spent = min(best, took), spent + took
        if spent > seconds:
            break
    return best


def stepped(trial: Trial, plan: Plan) -> int:
    """As ``step_on``; how many samples it had."""
    step_on(trial, plan)
    return plan.samples


def measure_steps(trial: Trial, plan: Plan, lengths: Sequence[int] | None, seconds: float) -> Speed:
    """Steps on one made-up batch that lies on the device."""
    part = trial.noise(plan.samples, lengths)
    passes, samples = [part] * plan.passes, plan.samples * plan.passes

    def take() -> int:
        trial.step(passes, samples)
        return samples

    for _ in range(WARM_UP):
        take()
    return measure(take, trial.wait, seconds)


def measure_together(trial: Trial, stream: AnyStream, plan: Plan, workers: int, seconds: float) -> Speed:
    """Steps on the run's own data, as pre-training takes them: the loader beside, or before, each step.

    The first batch, which waits for the workers to start, and those that were made meanwhile do not count.
    """
    parts = trial.parts(load_steps(stream, plan.samples, 0, 2**40, workers))

    def take() -> int:
        passes = list(islice(parts, plan.passes))
        trial.step(passes, plan.samples * plan.passes)
        return plan.samples * plan.passes

    ahead = math.ceil((1 + IN_FLIGHT * workers) / plan.passes)
    measure(take, trial.wait, seconds, enough=ahead)
    return measure(take, trial.wait, seconds)
