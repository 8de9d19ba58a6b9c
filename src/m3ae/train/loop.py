"""Pre-training from the first step to the frozen encoder, re-entrant at every step."""

import hashlib
import json
import math
import shutil
import sys
import time
from pathlib import Path

import torch

from m3ae.config.run import Run
from m3ae.data.stream.loader import TensorBatch, load_steps
from m3ae.data.stream.stream import Stream
from m3ae.errors import Again, UserError
from m3ae.files import sha256_of, write_text
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import save_encoder
from m3ae.records import Record, provenance
from m3ae.train.build import build_model, count_parameters
from m3ae.train.checkpoint import Checkpoint, last_good, restore, save_checkpoint
from m3ae.train.optimizer import make_optimizer
from m3ae.train.schedule import schedule_of
from m3ae.train.signals import StopRequest, stop_requests
from m3ae.train.step import Normaliser, train_step
from m3ae.train.steplog import Interval, StepLog


def pretrain(run: Run, name: str, workers: int = 0) -> None:
    """Train the model ``name`` and write its encoder, step log and record.

    Killed at any moment, the next call goes on from the last checkpoint. Raises Again after SIGTERM or
    SIGUSR1, with the state saved; UserError if a loss or gradient is not finite.
    """
    started = time.time()
    run.model(name)  # a wrong name is the first thing to say
    stream = Stream(run, name)
    inputs = inputs_of(run, name)
    if run.model(name).method == "mae" and run.settings.pretrain.mixture.texts > 0:
        say(f"{name}: an MAE reads images alone; it leaves out the passages of pretrain.mixture.texts")
    training = Training(run, name, stream, state_folder(run, name, inputs))
    with stop_requests() as stop:
        training.run_steps(workers, stop)
    save_encoder(training.model, run.paths.encoder(name))
    write_text(run.paths.step_log(name), training.log_path.read_text())
    training.record(inputs, started).write(run.paths.record(name, "pretrain"))
    shutil.rmtree(training.folder, ignore_errors=True)


def inputs_of(run: Run, name: str) -> dict[str, str]:
    """SHA-256 of what a model is trained on: words only where it reads them, what is mixed in where it is."""
    mixture = run.settings.pretrain.mixture
    files = {"train_manifest": run.paths.manifest("train")}
    if mixture.images > 0:
        files["images_manifest"] = run.paths.manifest("images")
    if run.model(name).method == "m3ae":
        files["train_tokens"] = run.paths.tokens("train")
        if mixture.texts > 0:
            files["texts"] = run.paths.tokens("texts")
    return {what: sha256_of(path) for what, path in files.items()}


def state_folder(run: Run, name: str, inputs: dict[str, str]) -> Path:
    """Where the state of exactly this training lies: other settings or data never find it."""
    identity = json.dumps([run.stage("pretrain", name), inputs], sort_keys=True)
    return run.paths.state(name) / hashlib.sha256(identity.encode()).hexdigest()[:12]


class Training:
    """Model, optimiser and where they stand."""

    def __init__(self, run: Run, name: str, stream: Stream, folder: Path) -> None:
        self.run, self.name, self.stream, self.folder = run, name, stream, folder
        self.settings, self.recipe = run.settings, run.settings.pretrain
        self.schedule = schedule_of(run, name)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model: M3AE = build_model(run, name, stream.tokens.vocab_size).to(device).train()
        self.optimizer = make_optimizer(self.model, self.recipe)
        self.normalise = Normaliser(self.settings.data.image, device)
        self.log_path = folder / "steps.jsonl"
        self.first_step = self.saved_step = self.resume()
        self.saved_at = time.perf_counter()
        self.final: dict[str, float] = {}

    def resume(self) -> int:
        """Go on from the last good checkpoint, if there is one; the number of steps done."""
        found: Checkpoint | None = last_good(self.folder, warn=say)
        if found is None:
            return 0
        restore(found, self.model, self.optimizer)
        say(f"{self.name}: going on from step {found.step} of {self.schedule.steps}")
        return found.step

    def run_steps(self, workers: int, stop: StopRequest) -> None:
        """Every step that is left; logs, saves and stops between steps."""
        first, last, batch_size = self.first_step, self.schedule.steps, self.settings.batch_size
        log = StepLog(self.log_path, first, last, batch_size, f"{self.run.name} {self.name}")
        batches = load_steps(self.stream, batch_size, first, last, workers)
        interval = Interval()
        for done in range(first + 1, last + 1):
            asked = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - asked
            lr = self.schedule.lr(done - 1)
            result = train_step(self.model, self.optimizer, batch, lr, self.normalise, self.recipe)
            interval.add({**result.losses, "grad_norm": result.grad_norm}, batch_size, waited)
            log.advance()
            log_now = done % self.recipe.log_steps == 0 or done == last
            save_now = bool(stop) or self.is_save_due()
            if log_now or save_now:
                self.check_finite(interval, done, batch)
            if log_now:
                log.write(self.log_line(done, lr, interval))
                interval = Interval()
            if save_now:
                self.save(done)
            if stop and done < last:
                log.close()
                raise Again(
                    f"{self.name}: {stop.name} came; saved at step {done} of {last}; run it again to go on"
                )
        log.close()

    def log_line(self, done: int, lr: float, interval: Interval) -> dict:
        """One line of the step log: means over its interval."""
        samples = done * self.settings.batch_size
        self.final = interval.means()
        return {
            "step": done,
            "samples": samples,
            "epoch": round(samples / self.settings.samples_per_epoch, 4),
            "lr": lr,
            **self.final,
            **interval.speed(),
        }

    def is_save_due(self) -> bool:
        """Whether the last checkpoint is older than the configuration allows."""
        return time.perf_counter() - self.saved_at > 60 * self.recipe.checkpoint_minutes

    def save(self, done: int) -> None:
        """Save the state after ``done`` steps."""
        save_checkpoint(self.folder, done, self.model, self.optimizer)
        self.saved_at, self.saved_step = time.perf_counter(), done

    def check_finite(self, interval: Interval, done: int, batch: TensorBatch) -> None:
        """Stop before a broken state is saved or trained further."""
        broken = [name for name, value in interval.means().items() if not math.isfinite(value)]
        if broken:
            samples = ", ".join(map(str, batch.sample[:8].tolist()))
            raise UserError(
                f"{self.name}: {' and '.join(broken)} not finite within the {interval.steps} steps up to "
                f"{done} (last batch: samples {samples}, ...); the last good checkpoint is step "
                f"{self.saved_step} in {self.folder}; lower pretrain.base_lr or use precision fp32"
            )

    def record(self, inputs: dict[str, str], started: float) -> Record:
        """What was trained, on what, and where it ended."""
        steps = self.schedule.steps
        samples = steps * self.settings.batch_size
        weights = sha256_of(self.run.paths.encoder(self.name))
        speed = samples_per_second(self.log_path)
        return Record(
            run=self.run.name,
            model=self.name,
            stage="pretrain",
            details={
                "samples": samples,
                "steps": steps,
                **count_parameters(self.model),
                "final": self.final,
                "weights_sha256": weights,
            },
            settings=self.run.stage("pretrain", self.name),
            inputs=inputs,
            seeds=[self.settings.seed],
            provenance={**provenance(started), "samples_per_s": speed, "resumed_at_step": self.first_step},
        )


def samples_per_second(log_path: Path) -> float | None:
    """Median speed over the step log."""
    speeds = sorted(json.loads(line)["samples_per_s"] for line in log_path.read_text().splitlines())
    return speeds[len(speeds) // 2] if speeds else None


def say(message: str) -> None:
    """One line on stderr."""
    print(f"m3ae: {message}", file=sys.stderr, flush=True)
