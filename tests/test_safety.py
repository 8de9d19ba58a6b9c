"""What goes wrong in a long training ends in one clear line, without a hang and without a loss."""

import errno
import json
import os
import resource
import shutil
import signal
import time

import psutil
import pytest
import torch

from m3ae.data.stream.stream import Stream
from m3ae.errors import UserError
from m3ae.records import read_record
from m3ae.train.lock import locked
from m3ae.train.loop import pretrain
from m3ae.train.machine import Machine, collective_timeout_s
from m3ae.train.objective import Normaliser
from made_shards import make_stream_project
from rank_processes import RankProcesses

MODEL = "m3ae-b100"
SAVED = {"log_steps": 1, "checkpoint_minutes": 1e-6}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Eleven pairs a step, 29 steps, a checkpoint after each."""
    monkeypatch.chdir(tmp_path)
    return make_stream_project(tmp_path, {"pairs": 1.0, "images": 0.0, "texts": 0.0}, **SAVED)


def poison(monkeypatch, run, step, row):
    """One sample becomes not a number wherever its bytes come again; its id."""
    batch = Stream(run, MODEL).step(step - 1, run.settings.batch_size)
    image, normalise = torch.from_numpy(batch.image[row]), Normaliser.forward

    def forward(self, images):
        poisoned = (images == image).flatten(1).all(dim=1)
        return normalise(self, images).masked_fill(poisoned[:, None, None, None], float("nan"))

    monkeypatch.setattr(Normaliser, "forward", forward)
    return int(batch.sample[row])


def lines_of(ranks, rank):
    return [line for line in ranks.said(rank).splitlines() if line.startswith("m3ae: error")]


def test_a_loss_that_is_not_finite_names_step_sample_and_checkpoint(run, monkeypatch):
    sample = poison(monkeypatch, run, step=9, row=4)
    with pytest.raises(UserError) as caught:
        pretrain(run, MODEL)
    message = str(caught.value)
    assert "grad_norm and image_loss and text_loss not finite at step 9 " in message
    assert f"(sample {sample});" in message
    assert "the last good checkpoint is step 8 in runs/micro/m3ae-b100/" in message
    assert not run.paths.encoder(MODEL).exists()
    saved = sorted(path.name for path in run.paths.state(MODEL).glob("*/checkpoint-*.json"))
    assert saved == ["checkpoint-00000007.json", "checkpoint-00000008.json"]


def test_the_sample_is_named_where_it_lies_in_a_later_part(run, monkeypatch):
    sample = poison(monkeypatch, run, step=3, row=10)
    with pytest.raises(UserError, match=rf"not finite at step 3 \(sample {sample}\)"):
        pretrain(run, MODEL, Machine(device_batch=4))


def test_a_gradient_that_is_not_finite_stops_the_run_though_the_losses_are(run, monkeypatch):
    from m3ae.train import step

    norms = iter([1.0, 1.0, float("inf")])
    monkeypatch.setattr(step, "total_norm", lambda _: torch.tensor(next(norms)))
    batch = Stream(run, MODEL).step(2, run.settings.batch_size)
    with pytest.raises(
        UserError, match=r"grad_norm not finite at step 3 \(no sample alone; sample"
    ) as caught:
        pretrain(run, MODEL)
    assert all(f"sample {sample}" in str(caught.value) for sample in batch.sample)


def test_all_ranks_stop_at_a_loss_that_is_not_finite_and_one_says_so(run, monkeypatch, tmp_path):
    sample = poison(monkeypatch, run, step=5, row=10)  # the second rank's
    ranks = RankProcesses(tmp_path, 2, lambda: pretrain(run, MODEL))
    assert ranks.codes() == [1, 1]
    (line,) = lines_of(ranks, 0)
    assert f"at step 5 (sample {sample}); the last good checkpoint is step 4" in line
    assert lines_of(ranks, 1) == []


@pytest.mark.parametrize("world", [1, 2])
def test_a_full_disk_is_one_line_and_the_checkpoint_before_it_stays(run, tmp_path, world):
    def on_a_full_disk():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        state = next(run.paths.state(MODEL).glob("*"))
        size = next(state.glob("*.safetensors")).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
        pretrain(run, MODEL)

    stopped_after(run, tmp_path, 3)
    ranks = RankProcesses(tmp_path, world, on_a_full_disk)
    assert ranks.codes() == [1] * world
    (line,) = lines_of(ranks, 0)
    assert "checkpoint-00000004.safetensors: cannot be written (File too large); nothing was replaced" in line
    kept = [path.name for path in run.paths.state(MODEL).glob("*/checkpoint-*.safetensors")]
    assert sorted(kept) == [f"checkpoint-0000000{step}.safetensors" for step in (2, 3)]
    pretrain(run, MODEL)  # with room again
    assert read_record(run.paths.record(MODEL, "pretrain")).provenance["resumed_at_step"] == 3


def stopped_after(run, folder, step):
    """The state of a training that was stopped by SIGTERM after ``step`` steps."""

    def stopping():
        send_at(step, signal.SIGTERM)
        pretrain(run, MODEL)

    assert RankProcesses(folder, 1, stopping).codes() == [75]


def send_at(step, number, rank=0):
    """Send a signal to this process when it has done ``step`` steps, if it is ``rank``."""
    from m3ae.train import loop

    after_step = loop.Training.after_step

    def sending(self, done, lr, stop):
        if done == step and self.ranks.rank == rank:
            os.kill(os.getpid(), number)
        after_step(self, done, lr, stop)

    loop.Training.after_step = sending


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_any_rank_saves_within_the_step_and_exits_with_again(run, tmp_path, number):
    def stopping():
        send_at(6, number, rank=1)
        pretrain(run, MODEL)

    ranks = RankProcesses(tmp_path, 2, stopping)
    assert ranks.codes() == [75, 75]
    assert "a signal to another rank came; saved at step 6 of 29; run it again to go on" in ranks.said(0)
    assert "saved" not in ranks.said(1)
    assert (next(run.paths.state(MODEL).glob("*")) / "checkpoint-00000006.json").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_rank_that_is_gone_is_noticed_in_time_and_costs_nothing(run, tmp_path, number):
    def losing_a_rank():
        send_at(5, number, rank=1)
        pretrain(run, MODEL)

    begun = time.monotonic()
    ranks = RankProcesses(tmp_path, 2, losing_a_rank, timeout_s=3)
    ranks.processes[0].join(60)
    assert time.monotonic() - begun < 60
    assert ranks.codes(1)[0] == 1
    (line,) = lines_of(ranks, 0)
    assert "rank 0 of 2: lost contact with another rank" in line
    assert "M3AE_COLLECTIVE_TIMEOUT_S is the patience (3 s)" in line
    pretrain(run, MODEL)
    assert read_record(run.paths.record(MODEL, "pretrain")).provenance["resumed_at_step"] >= 4


@pytest.fixture
def standing(run, tmp_path):
    """A training with a data worker that holds still in its fifth step, alive."""

    def stopping():
        send_at(5, signal.SIGSTOP)
        pretrain(run, MODEL, Machine(workers=1))

    (tmp_path / "first").mkdir()
    (process,) = RankProcesses(tmp_path / "first", 1, stopping).processes
    try:
        deadline = time.monotonic() + 60
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        for worker in psutil.Process(process.pid).children() if process.is_alive() else []:
            worker.kill()
        process.kill()
        process.join()


def files_of(run):
    return {path: path.stat().st_mtime_ns for path in run.paths.state(MODEL).rglob("*") if path.is_file()}


def test_a_second_start_of_a_living_training_is_refused_and_touches_nothing(run, standing, tmp_path):
    unfinished = next(run.paths.state(MODEL).glob("*/steps.jsonl")).with_name(".checkpoint-00000005.x")
    unfinished.write_text("what the living one writes")
    before = files_of(run)
    with pytest.raises(
        UserError, match=rf"expected no other .* found process {standing.pid} on .*; wait for"
    ):
        pretrain(run, MODEL)
    ranks = RankProcesses(tmp_path, 2, lambda: pretrain(run, MODEL))
    assert ranks.codes() == [1, 1]
    assert f"found process {standing.pid} on " in lines_of(ranks, 0)[0]
    assert "the first rank could not have the state for itself" in lines_of(ranks, 1)[0]
    assert files_of(run) == before


def test_a_killed_training_leaves_no_lock_though_its_data_worker_lives_on(run, standing):
    (worker,) = psutil.Process(standing.pid).children()
    worker.suspend()
    standing.kill()
    standing.join()
    try:
        pretrain(run, MODEL)
        assert worker.is_running()
    finally:
        worker.kill()
    assert read_record(run.paths.record(MODEL, "pretrain")).provenance["resumed_at_step"] == 4
    assert not any(run.paths.state(MODEL).iterdir())


def test_a_disk_without_locks_holds_nobody_off(run, monkeypatch):
    import fcntl

    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    folder = run.paths.state(MODEL) / "hash"
    with locked(folder), locked(folder):
        pass
    assert not any(run.paths.state(MODEL).iterdir())


def test_a_lock_that_its_holder_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    asked = []

    def lock_once_removed(handle):
        if not asked:
            (tmp_path / ".state.lock").unlink()
        asked.append(handle)
        return True

    monkeypatch.setattr("m3ae.train.lock.lock", lock_once_removed)
    with locked(tmp_path / "state"):
        assert len(asked) == 2
        assert f"process {os.getpid()} on " in (tmp_path / ".state.lock").read_text()
    assert not any(tmp_path.iterdir())


def test_an_unreadable_shard_stops_all_ranks(run, tmp_path):
    stream = Stream(run, MODEL)
    sample = int(stream.step(1, run.settings.batch_size).sample[9])  # the second rank's
    tar = stream.pairs.folder / stream.pairs.manifest.shards[int(stream.pairs.index.shard[sample])].name
    whole, start = tar.read_bytes(), int(stream.pairs.index.offset[sample])
    tar.write_bytes(whole[:start] + b"no image at all" + whole[start + 15 :])
    ranks = RankProcesses(tmp_path, 2, lambda: pretrain(run, MODEL), timeout_s=20)
    assert ranks.codes() == [1, 1]
    assert f"{tar}: sample {sample} does not decode" in lines_of(ranks, 1)[0]
    assert "lost contact" in lines_of(ranks, 0)[0]
    tar.write_bytes(whole)
    pretrain(run, MODEL)
    assert read_record(run.paths.record(MODEL, "pretrain")).provenance["resumed_at_step"] == 1


def test_a_wrong_patience_is_named(monkeypatch):
    monkeypatch.setenv("M3AE_COLLECTIVE_TIMEOUT_S", "soon")
    with pytest.raises(UserError, match=r"M3AE_COLLECTIVE_TIMEOUT_S: expected a number of seconds .* 'soon'"):
        collective_timeout_s()


@pytest.mark.slow
def test_killed_ranks_go_on_to_the_same_bytes_and_any_number_of_them_to_the_same_losses(run, tmp_path):
    def until_killed():
        send_at(11, signal.SIGKILL, rank=0)
        pretrain(run, MODEL)

    def train():
        pretrain(run, MODEL)

    assert RankProcesses(tmp_path, 2, train).codes() == [0, 0]
    expected = read_record(run.paths.record(MODEL, "pretrain")).details["state_sha256"]
    reference = [json.loads(line) for line in run.paths.step_log(MODEL).read_text().splitlines()]
    assert RankProcesses(tmp_path, 2, until_killed, timeout_s=20).codes()[0] == -signal.SIGKILL
    shutil.copytree(run.paths.state(MODEL), tmp_path / "killed")
    for world in (2, 1, 4):
        shutil.rmtree(run.paths.state(MODEL))
        shutil.copytree(tmp_path / "killed", run.paths.state(MODEL))
        assert RankProcesses(tmp_path, world, train).codes() == [0] * world
        record = read_record(run.paths.record(MODEL, "pretrain"))
        assert record.provenance["resumed_at_step"] == 10
        if world == 2:
            assert record.details["state_sha256"] == expected
        lines = [json.loads(line) for line in run.paths.step_log(MODEL).read_text().splitlines()]
        for line, other in zip(lines, reference, strict=True):
            for name in ("image_loss", "text_loss"):
                assert line[name] == pytest.approx(other[name], rel=1e-6, abs=0), line["step"]
