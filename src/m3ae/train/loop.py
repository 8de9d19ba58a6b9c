"""Pre-training from the first step to the frozen encoder, re-entrant at every step."""

import time

from m3ae.config.run import Run
from m3ae.data.stream.loader import Tensors, load_steps
from m3ae.data.stream.mixture import split_batch
from m3ae.errors import Again
from m3ae.train.architecture import taken_weights
from m3ae.train.build import build_model
from m3ae.train.checkpoint import whole_state
from m3ae.train.feed import feed
from m3ae.train.finite import FiniteWatch
from m3ae.train.interval import Interval
from m3ae.train.lock import alone_in
from m3ae.train.machine import Machine
from m3ae.train.method import objective_of, open_stream
from m3ae.train.optimizer import make_optimizer
from m3ae.train.part import Part
from m3ae.train.passes import in_memory, passes_of
from m3ae.train.precision import usable_precision
from m3ae.train.ranks import Ranks, join_ranks
from m3ae.train.results import write_results
from m3ae.train.schedule import schedule_of
from m3ae.train.signals import StopRequest, stop_requests
from m3ae.train.spread import Spread
from m3ae.train.state import State, inputs_of, state_folder
from m3ae.train.step import train_step
from m3ae.train.taken import take_weights
from m3ae.train.telling import Telling, say


def pretrain(run: Run, name: str, machine: Machine | None = None) -> None:
    """Train the model ``name`` and write its encoder, step log and record.

    Killed at any moment, the next call goes on from the last checkpoint. Started by torchrun, all ranks
    train one model. Raises Again after SIGTERM or SIGUSR1, with the state saved; UserError if a loss or
    gradient is not finite, another rank is gone, or another process is in this training. A row whose
    weights are taken is not trained (taken.py).
    """
    started = time.time()
    run.model(name)  # a wrong name is the first thing to say
    with join_ranks() as ranks, stop_requests() as stop:
        if taken_weights(run, name):
            take_weights(ranks, run, name, started)
        else:
            pretrain_as(ranks, stop, run, name, machine or Machine(), started)


def pretrain_as(
    ranks: Ranks, stop: StopRequest, run: Run, name: str, machine: Machine, started: float
) -> None:
    """One rank's part of a training; what it makes is gone when it returns."""
    inputs = inputs_of(run, name)
    with alone_in(state_folder(run, name, inputs), ranks), in_memory(name, machine):
        training = Training(run, name, inputs, machine, ranks)
        training.run_steps(stop)
        training.finish(inputs, started)


class Training:
    """Model, optimiser and where they stand."""

    def __init__(self, run: Run, name: str, inputs: dict[str, str], machine: Machine, ranks: Ranks) -> None:
        self.run, self.name, self.machine, self.ranks = run, name, machine, ranks
        self.settings = run.settings_of(name)
        self.recipe = self.settings.pretrain
        self.schedule = schedule_of(run, name)
        self.counts = split_batch(self.settings.batch_size, self.recipe.mixture, ranks.world)
        self.precision = usable_precision(self.recipe.precision, ranks.device)
        self.stream = open_stream(run, name)
        self.model = build_model(run, name, self.stream.vocab_size)
        self.spread = Spread(objective_of(run, name, self.model), ranks, machine)
        read = self.spread.objective.read(self.counts)
        self.passes = passes_of(read, ranks.world, machine.device_batch)
        self.optimizer = make_optimizer(self.model, self.recipe)
        self.state = State(
            state_folder(run, name, inputs), self.model, self.optimizer, ranks, self.recipe.checkpoint_minutes
        )
        self.first_step, self.interval = self.state.resume()
        self.watch = FiniteWatch(name, ranks)
        self.telling = Telling(run, name, self.stream, self.spread, self.schedule, self.precision)
        self.say_what_is_odd()

    def say_what_is_odd(self) -> None:
        """What a user may not expect, before the first step."""
        if not self.ranks.is_first:
            return
        wanted, used = self.recipe.precision, self.precision
        if self.run.model(self.name).method == "mae" and self.counts.texts:
            say(f"{self.name}: an MAE reads images alone; pretrain.mixture.texts is left out")
        if used != wanted:
            say(f"{self.name}: this processor has no fast {wanted}; computing in {used}")
        if self.first_step:
            say(f"{self.name}: going on from step {self.first_step} of {self.schedule.steps}")

    def run_steps(self, stop: StopRequest) -> None:
        """Every step that is left; checks, logs, saves and stops between steps."""
        first, last, ranks = self.first_step, self.schedule.steps, self.ranks
        batch_size, workers = self.settings.batch_size, self.machine.workers
        batches = load_steps(self.stream, batch_size, first, last, workers, ranks.rank, ranks.world)
        fed = feed(batches, self.split, ranks.device)
        with ranks.first_does("begin the step log"):
            if ranks.is_first:
                self.telling.begin(self.state.folder / "steps.jsonl", first, self.machine.tensorboard)
        try:
            for done in range(first + 1, last + 1):
                asked = time.perf_counter()
                batch, parts = next(fed)
                waited = time.perf_counter() - asked
                lr = self.schedule.lr(done - 1)
                result = train_step(self.spread, self.optimizer, parts, self.counts, lr, self.precision)
                self.interval.add(result, batch_size, self.spread.objective.flops(parts), waited)
                self.watch.note(done, batch, result)
                self.after_step(done, lr, stop)
        finally:
            self.telling.close()

    def split(self, batch: Tensors) -> list[Part]:
        """This rank's rows in as few parts as its device can take; as many parts at every rank."""
        return self.spread.objective.split(batch, *self.passes)

    def after_step(self, done: int, lr: float, stop: StopRequest) -> None:
        """What is due after ``done`` steps, the same at every rank: check, log, draw, save, stop."""
        last = self.schedule.steps
        stop_now, save_now = self.ranks.agree(bool(stop), self.state.is_due())
        log_now = done % self.recipe.log_steps == 0 or done == last
        if stop_now or save_now or log_now or self.ranks.device.type == "cpu":
            self.watch.check(self.state.words())
        self.telling.advance()
        if log_now:
            self.telling.line(done, lr, self.interval)
            self.interval = Interval()
        self.telling.picture(done)
        if save_now or stop_now or done == last:  # the last too: results that cannot be written lose no step
            self.state.save(done, self.interval)
        if stop_now and done < last:
            raise self.ranks.once(
                Again(
                    f"{self.name}: {stop.name or 'a signal to another rank'} came; saved at step {done} of "
                    f"{last}; run it again to go on"
                )
            )

    def finish(self, inputs: dict[str, str], started: float) -> None:
        """Write encoder, step log and record; then the state has done its work."""
        facts = {
            "started": started,
            "inputs": inputs,
            "provenance": {
                "resumed_at_step": self.first_step,
                "ranks": self.ranks.world,
                "precision": self.precision,
            },
        }
        state = whole_state(self.model, self.optimizer, keep=self.ranks.is_first)
        with self.ranks.first_does("write the results"):
            if self.ranks.is_first:
                write_results(self.run, self.name, self.model, state, self.state.folder, facts)
                say(f"{self.name}: trained; {self.run.paths.encoder(self.name)}")
