"""The examination: what is there, what it measures, what it comes to."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from m3ae.config.inputs import read_files
from m3ae.config.run import Run
from m3ae.data.stream.loader import AnyStream
from m3ae.data.stream.stream import Stream
from m3ae.errors import UserError
from m3ae.train.architecture import num_parameters_of
from m3ae.train.budget import epoch_mismatch
from m3ae.train.doctor.advice import Situation, advise
from m3ae.train.doctor.disk import check_disks
from m3ae.train.doctor.environment import look_around
from m3ae.train.doctor.findings import Finding, error, ok, warning
from m3ae.train.doctor.memory import STATE_BYTES, measure_memory
from m3ae.train.doctor.reading import Reading, measure_reading
from m3ae.train.doctor.remaining import Remaining, remaining
from m3ae.train.doctor.resources import available_memory, find_cores
from m3ae.train.doctor.room import Room, judge_room
from m3ae.train.doctor.stepping import (
    Plan,
    affordable,
    fit_into_memory,
    measure_steps,
    measure_together,
    plan_of,
)
from m3ae.train.doctor.synthetic import batch_bytes, caption_lengths
from m3ae.train.doctor.transfer import Transfer, measure_transfer
from m3ae.train.doctor.trial import Trial
from m3ae.train.doctor.units import size
from m3ae.train.doctor.verdict import Rates, binding
from m3ae.train.machine import Machine
from m3ae.train.method import open_stream
from m3ae.train.precision import has_bf16
from m3ae.train.ranks import device_of

READ_SAMPLES = 128  # of a step that is timed without the model: `paper`'s 4,096 would be nearly a gigabyte
COPIED_SAMPLES = 512  # of a batch that is copied to a GPU
Say = Callable[[str], object]


@dataclass
class Examination:
    """All that was found; None where nothing could be measured."""

    run: str
    model: str
    device: str
    workers: int
    findings: list[Finding] = field(default_factory=list)
    reading: Reading | None = None
    transfer: Transfer | None = None
    room: Room | None = None
    timed: Plan | None = None
    """The step that was timed: on a processor smaller than the training's, if that takes long."""
    rates: Rates | None = None
    left: Remaining | None = None
    binds: str | None = None
    advice: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether nothing was found that would stop the run."""
        return all(finding.level != "error" for finding in self.findings)

    @property
    def seconds_left(self) -> float | None:
        """How long the training will take."""
        return self.left.samples / self.rates.expected if self.left and self.rates else None

    def plain(self) -> dict[str, Any]:
        """Everything as JSON types."""
        rates = self.rates
        facts = {
            "expected_samples_per_s": rates.expected if rates else None,
            "allowed_samples_per_s": rates.allowed if rates else None,
            "seconds_left": self.seconds_left,
            "is_ready": self.is_ready,
        }
        return asdict(self) | facts


class Doctor:
    """Examines one model of a run on this machine."""

    def __init__(self, run: Run, name: str, machine: Machine, seconds: float, say: Say) -> None:
        self.run, self.name, self.machine, self.seconds, self.say = run, name, machine, seconds, say
        self.settings = run.settings_of(name)  # what the row trains with: size of the image, mixture, recipe
        self.device, self.cores, self.threads = device_of(0), find_cores(), torch.get_num_threads()
        self.found = Examination(run.name, name, self.device.type, machine.workers)
        self.data = self.open_data()
        tokens = self.stream.tokens if self.stream else self.settings.data.tokens
        self.vocab_size = tokens.vocab_size

    @property
    def stream(self) -> Stream | None:
        """The run's pairs; None where they are not there, or the row learns from labelled images."""
        return self.data if isinstance(self.data, Stream) else None

    def examine(self) -> Examination:
        """Look, measure, judge."""
        self.look()
        self.found.left = remaining(self.run, self.name, self.data is not None)
        if self.stream is not None:
            self.read(self.stream)
        if self.has_room_for_model():
            self.step()
        if self.found.rates is not None:
            self.judge(self.found.rates)
        return self.found

    def open_data(self) -> AnyStream | None:
        """The run's data; None, with a finding, where they are not there or broken."""
        missing = [path for path in read_files(self.run, self.name) if not path.is_file()]
        if missing:
            targets = [path for path in missing if path != self.run.paths.manifest("train")] or missing
            makes = f"snakemake {' '.join(map(str, targets))} --config run={self.run.name}"
            self.found.findings.append(warning("data", f"{missing[0]} is not there yet; {makes}"))
            return None
        try:
            data = open_stream(self.run, self.name)
        except UserError as problem:
            self.found.findings.append(error("data", str(problem)))
            return None
        self.found.findings.append(ok("data", told(data)))
        return data

    def look(self) -> None:
        """What needs no measurement."""
        settings, stream = self.settings, self.stream
        self.found.findings += look_around(
            settings.pretrain.precision,
            self.device,
            self.machine.workers,
            len(stream.pairs.manifest.shards) if stream else 0,
            batch_bytes(settings, settings.batch_size),
            self.cores,
        )
        self.found.findings += check_disks(self.run, self.name, self.vocab_size)
        with suppress(UserError):  # of a broken manifest, which `open_data` told
            if mismatch := epoch_mismatch(self.run):
                self.found.findings.append(warning("epoch", mismatch))

    def read(self, stream: Stream) -> None:
        """Storage, decoding and what follows."""
        self.say(f"reading {stream.pairs.folder}")
        samples = min(self.settings.batch_size, READ_SAMPLES)
        self.found.reading = measure_reading(stream, samples, self.machine.workers, self.seconds)

    def has_room_for_model(self) -> bool:
        """Whether weights, gradients and moments fit: else building them might take the machine down."""
        needed = STATE_BYTES * num_parameters_of(self.run, self.name, self.vocab_size)
        free = self.free_memory()
        if needed > free:
            says = f"{size(needed)} for weights, gradients and moments, {size(free)} free"
            self.found.findings.append(error("memory", f"{says}; a larger machine, or several with fsdp"))
        return needed <= free

    def free_memory(self) -> int:
        """Bytes that a training may take on its device."""
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else available_memory()

    def step(self) -> None:
        """Steps, alone and with the run's data."""
        trial, found = self.build()
        if found is None:
            return
        self.say("timing the step")
        if self.device.type == "cpu":
            found = affordable(trial, found, self.seconds)
        lengths = caption_lengths(self.stream) if self.stream else None
        step = measure_steps(trial, found, lengths, self.seconds)
        copied = min(self.settings.batch_size, COPIED_SAMPLES)
        self.found.transfer = measure_transfer(self.settings, copied, self.device, self.seconds / 5)
        together, workers = None, self.machine.workers
        if self.data is not None:
            self.say("timing steps on the run's data")
            together = measure_together(trial, self.data, found, workers, self.seconds).samples_per_s
        self.found.timed = found
        self.found.rates = Rates(
            step.samples_per_s,
            self.found.reading.samples_per_s if self.found.reading else None,
            self.found.transfer.samples_per_s if self.found.transfer else None,
            together,
            beside=workers > 0 or self.device.type == "cuda",
            share_cores=self.device.type == "cpu" and self.threads + workers > self.cores.usable,
        )

    def build(self) -> tuple[Trial, Plan | None]:
        """The model, and the plan of its steps that fits; None, with a finding, if none does."""
        self.say("building the model")
        free, machine = self.free_memory(), self.machine
        trial = Trial(self.run, self.name, self.vocab_size, Machine(compile=False))
        memory = measure_memory(trial)
        batch, least = self.settings.batch_size, trial.least_pass
        try:
            trial.check_passes(machine.device_batch)
        except UserError as problem:
            self.found.findings.append(error("device batch", str(problem)))
        plan = plan_of(batch, max(least, machine.device_batch or batch), least)
        self.found.room = room = Room(memory, free, batch, plan, machine.recompute)
        if self.device.type == "cuda" or machine.recompute or machine.compile:
            trial = Trial(self.run, self.name, self.vocab_size, machine)
        on_gpu = self.device.type == "cuda"  # there the estimate need not be trusted
        fitting = fit_into_memory(trial, plan, batch) if on_gpu else room.fitting(least)
        self.found.findings.append(judge_room(room, fitting))
        return trial, fitting

    def judge(self, rates: Rates) -> None:
        """What binds, and what to change."""
        room, reading = self.found.room, self.found.reading
        assert room is not None  # nothing was timed without
        self.found.binds = binding(rates, reading)
        situation = Situation(
            self.settings,
            self.machine,
            self.cores,
            self.threads,
            self.device.type == "cuda",
            has_bf16(self.device),
            room.largest,
            room.fits_without_recompute,
        )
        self.found.advice = advise(self.found.binds, rates, reading, situation)


def told(data: AnyStream) -> str:
    """What the data are, and where."""
    if isinstance(data, Stream):
        return f"{len(data):,} pairs in {data.pairs.folder}"
    return f"{len(data):,} labelled images: {data.images.dataset.title}"
