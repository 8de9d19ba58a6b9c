"""The budget: against arithmetic by hand, the real checkpoints, and what the workflow plans."""

import re
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from m3ae.cli.budget import budget
from m3ae.config import load_run
from m3ae.model.m3ae import M3AE
from m3ae.train.architecture import architecture_of, num_parameters_of
from m3ae.train.budget import cost_of, models_of_targets, shards_of, together
from m3ae.train.build import build_model
from m3ae.train.doctor.disk import needs_of
from made_shards import make_stream_project
from small_project import make_config
from test_workflow import copy_project, planned

LOG_BYTES = 10**8  # of a step log, at most: less than what the text tower of CLIP weighs


def printed(*arguments):
    """What the command prints."""
    result = CliRunner().invoke(budget, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def rows(text):
    """The cells of every line of a table, by their first cell."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    return {cells[0]: cells[1:] for cells in lines}


def test_gpu_hours_are_the_flops_by_hand(in_project):
    """M3AE-L, 100 epochs of 11 million samples of 0.21 TFLOP: on 40 % of 989 TFLOP/s about 162 hours."""
    cost = cost_of(load_run("paper"), "m3ae-l100")
    assert cost.samples == 1.1e9
    assert cost.gpu_hours(0.4, 989) == pytest.approx(1.1e9 * 0.21 / (0.4 * 989) / 3600, rel=0.03)
    assert cost.gpu_hours(0.2, 989) == pytest.approx(2 * cost.gpu_hours(0.4, 989))


def test_a_checkpoint_holds_what_the_models_state_takes(in_project):
    run = load_run("tiny")
    model = M3AE(architecture_of(run, "m3ae-b100", run.settings.data.tokens.vocab_size))
    optimizer = torch.optim.AdamW(model.parameters())
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    moments = [state[key] for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    size = sum(tensor.nbytes for tensor in [*model.parameters(), *moments])
    assert cost_of(run, "m3ae-b100").checkpoint_bytes == 3 * size  # two are kept while a third is written


@pytest.mark.parametrize("run", ["tiny", "photos", "paper"])
def test_a_rows_parameters_are_those_of_its_whole_model(in_project, run):
    """Text tower, projections and head too: they are trained, and stored beside the encoder."""
    run = load_run(run)
    vocab_size = run.settings.data.tokens.vocab_size
    kinds = {(row.method, row.size): name for name, row in run.settings.models.items()}
    for name in kinds.values():
        with torch.device("meta"):
            model = build_model(run, name, vocab_size)
        num = sum(parameter.numel() for parameter in model.parameters())
        assert num_parameters_of(run, name, vocab_size) == num, name
        cost = cost_of(run, name)
        assert cost.checkpoint_bytes in (0, 3 * 12 * num)
        assert cost.result_bytes >= 4 * num
        needs = dict(needs_of(run, name, vocab_size))
        assert 0 <= needs[run.paths.results(name)] - 4 * num < LOG_BYTES


def test_features_are_those_of_every_image_of_the_evaluation_sets(in_project):
    """768 numbers in fp32 each; of a headline row also CLS and mean of two blocks in fp16, of the tasks."""
    run = load_run("paper")
    tasks = 1_281_167 + 50_000 + 2 * 60_000  # ImageNet, CIFAR-100, CIFAR-10
    out = 26_032 + 10_000 + 1_880  # SVHN, MNIST, DTD
    shifted = 10_000 + 30_000 + 7_500 + 50_889  # V2, R, A, Sketch
    others = out + shifted
    stored = 4 * 150.8e6 + 4 * 768 * (tasks + others)  # weights: docs/sizes.md
    assert cost_of(run, "m3ae-b50").result_bytes == pytest.approx(stored, rel=1e-3)
    layers = 2 * 2 * 2 * 768 * tasks
    assert cost_of(run, "m3ae-b100").result_bytes == pytest.approx(stored + layers, rel=1e-3)


def test_an_untrained_model_costs_no_training(in_project):
    cost = cost_of(load_run("paper"), "untrained-b")
    assert (cost.samples, cost.flops, cost.checkpoint_bytes) == (0, 0, 0)


def test_shards_are_the_samples_times_their_size(in_project):
    assert shards_of(load_run("paper"), 50e3).bytes == 550e9
    assert "Clean shards: 1,100.0 GB" in printed("--run", "paper", "--image-kb", "100")


def test_shards_that_are_there_are_counted_and_an_epoch_of_other_data_is_named(tmp_path, monkeypatch):
    """23 pairs beside the 11 million samples that `paper` calls an epoch."""
    monkeypatch.chdir(tmp_path)
    run = make_stream_project(tmp_path)
    path = run.paths.manifest("train")
    num_bytes = sum(tar.stat().st_size for tar in path.parent.glob("*.tar"))
    assert shards_of(run, 50e3)[:2] == (23, num_bytes)
    text = printed("--run", "micro")
    assert f"(23 samples as {path} says)" in text
    assert "warning" not in text  # 40 samples an epoch
    make_config(tmp_path, samples_per_epoch=231)
    warning = printed("--run", "micro").splitlines()[-1]
    assert warning.startswith(f"warning: samples_per_epoch is 231, but {path} has 23 samples; set ")


def test_targets_are_the_sums_of_their_models(in_project):
    run = load_run("paper")
    for names in models_of_targets(run).values():
        total, costs = together(cost_of(run, name) for name in names), [cost_of(run, name) for name in names]
        assert total.models == len(costs)
        assert total.flops == pytest.approx(sum(cost.flops for cost in costs))
        assert total.result_bytes == sum(cost.result_bytes for cost in costs)


@pytest.mark.parametrize("target", ["figure2", "all"])
def test_a_target_counts_the_models_that_the_workflow_plans(tmp_path, in_project, target):
    copy_project(tmp_path)
    models = next(
        names for targets, names in models_of_targets(load_run("paper")).items() if target in targets
    )
    plan = planned(tmp_path, target, "--config", "run=paper")
    assert plan["pretrain"] + plan.get("given_encoder", 0) == len(models)


def test_docs_cluster_holds_what_the_command_prints(in_project):
    text = printed("--run", "paper")
    assert text in (in_project / "docs/cluster.md").read_text()


def test_the_output_says_what_it_assumes(in_project):
    assert "GPU-hours assume 25 % of 312 TFLOP/s (benchmarks/results/gpu_step.md" in printed(
        "--run", "paper", "--mfu", "0.25", "--tflops", "312"
    )


@pytest.mark.parametrize("run", ["tiny", "photos"])
def test_small_runs_have_numbers_other_than_zero(in_project, run):
    trained = rows(printed("--run", run))["m3ae-b100"]
    assert all(float(cell.replace(",", "")) > 0 for cell in trained[1:])


@pytest.mark.parametrize(
    "option", [("--mfu", "0"), ("--mfu", "1.5"), ("--tflops", "0"), ("--image-kb", "-1")]
)
def test_an_impossible_rate_is_refused(option):
    result = CliRunner().invoke(budget, ["--run", "paper", *option])
    assert result.exit_code == 2
    assert re.search(rf"Invalid value for '{option[0]}'", result.output)


def test_the_command_needs_no_torch(in_project):
    code = (
        "import sys; from m3ae.cli.budget import budget;"
        "budget(['--run', 'paper'], standalone_mode=False);"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
