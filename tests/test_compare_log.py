"""compare-log: where a log with a known deviation left its reference; one line for what is no step log."""

import json

import pytest
from click.testing import CliRunner

from m3ae.cli.compare import compare_log
from small_project import CHECKOUT

REAL = CHECKOUT / "reports/photos/logs/m3ae-b100.jsonl"
OTHER = CHECKOUT / "reports/photos/logs/mae-b100.jsonl"


def line(step, **changes):
    """A line of a log whose values are easy to reckon with."""
    return {
        "step": step,
        "samples": 8 * step,
        "lr": 0.5,
        "image_loss": 2.0,
        "text_loss": 4.0,
        "grad_norm": 1.0,
        "param_norm": 10.0,
        "samples_per_s": 100.0,
        **changes,
    }


def written(path, lines):
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def called(*arguments):
    return CliRunner().invoke(compare_log, [str(argument) for argument in arguments])


def compared(*arguments):
    """The finding as JSON, and the exit code."""
    result = called(*arguments, "--json")
    return json.loads(result.stdout), result.exit_code


def test_first_largest_and_last_difference_are_those_worked_out_by_hand(tmp_path):
    reference = written(tmp_path / "reference", [line(step) for step in (10, 20, 30, 40, 50)])
    losses = {10: 2.0, 20: 2.001, 30: 2.02, 40: 2.5, 50: 1.99}
    ours = written(tmp_path / "ours", [line(step, image_loss=loss) for step, loss in losses.items()])
    found, code = compared(ours, reference)
    metric = found["metrics"]["image_loss"]
    # 0.001 / 2.001 is below 1e-3; 0.02 / 2.02 is the first above
    assert (metric["left"]["step"], metric["left"]["ours"], metric["left"]["reference"]) == (30, 2.02, 2.0)
    assert metric["left"]["relative"] == pytest.approx(0.02 / 2.02)
    assert (metric["largest"]["step"], metric["largest"]["relative"]) == (40, pytest.approx(0.5 / 2.5))
    assert (metric["last"]["step"], metric["last"]["relative"]) == (50, pytest.approx(0.01 / 2.0))
    assert {name for name, each in found["metrics"].items() if each["left"]} == {"image_loss"}
    assert (code, found["has_left"]) == (1, True)


@pytest.mark.parametrize(("tolerance", "code"), [(0.0099, 1), (0.0101, 0)])
def test_the_tolerance_decides(tmp_path, tolerance, code):
    reference = written(tmp_path / "reference", [line(10), line(20)])
    ours = written(tmp_path / "ours", [line(10), line(20, param_norm=9.9)])
    assert called(ours, reference, "--tolerance", tolerance).exit_code == code


def test_a_log_never_left_itself():
    found, code = compared(REAL, REAL, "--tolerance", 0)
    assert code == 0
    assert set(found["metrics"]) == {"image_loss", "text_loss", "grad_norm", "param_norm", "lr"}
    assert {each["largest"]["relative"] for each in found["metrics"].values()} == {0.0}
    assert set(found["speed"]) == {"samples_per_s", "data_wait_share", "memory_gib", "mfu"}
    assert set(found["speed"].values()) == {1.0}
    assert found["not_compared"] == []
    end = "No metric left the reference (grad_norm, image_loss, lr, param_norm, text_loss).\n"
    assert called(REAL, REAL).stdout.endswith(end)


def test_a_deviation_put_into_a_real_log_is_found_at_its_step(tmp_path):
    lines = [json.loads(row) for row in REAL.read_text().splitlines()]
    step = lines[41]["step"]
    for number, each in enumerate(lines[41:]):
        each["text_loss"] *= 1.002 + 0.001 * number
    ours = written(tmp_path / "ours", lines)
    found, code = compared(ours, REAL)
    left = {name: each["left"] and each["left"]["step"] for name, each in found["metrics"].items()}
    unmoved = dict.fromkeys(("image_loss", "grad_norm", "param_norm", "lr"))
    assert left == {**unmoved, "text_loss": step}
    assert found["metrics"]["text_loss"]["left"]["relative"] == pytest.approx(0.002 / 1.002)
    assert found["metrics"]["text_loss"]["largest"]["step"] == lines[-1]["step"]
    assert code == 1
    assert called(ours, REAL).stdout.endswith(f"Left the reference at step {step}: text_loss by 2.00e-03.\n")


def test_speed_is_shown_and_judged_by_nobody(tmp_path):
    reference = written(tmp_path / "reference", [line(step, energy_j=5.0) for step in (10, 20, 30)])
    speeds = {10: 50.0, 20: 200.0, 30: 900.0}
    ours = written(tmp_path / "ours", [line(step, samples_per_s=each) for step, each in speeds.items()])
    found, code = compared(ours, reference)
    assert found["speed"] == {"samples_per_s": 2.0}
    assert code == 0
    assert "samples_per_s 2" in called(ours, reference).stdout


def test_what_stands_in_one_log_alone_is_said(tmp_path):
    reference = written(tmp_path / "reference", [line(10), line(20), line(25), line(30, new_loss=1.0)])
    ours = written(tmp_path / "ours", [line(10, mystery=3.0), line(20, samples=40)])
    found, code = compared(ours, reference)
    assert code == 0
    assert found["steps"] == {"shared": 2, "first": 10, "last": 20}
    assert found["not_compared"] == [
        "in ours alone: mystery",
        "2 steps in the reference alone, 25 to 30",
        "in the reference alone: new_loss",
        "samples seen: 40 at step 20, the reference 160; other batch sizes",
    ]


def test_means_over_other_steps_are_not_compared(tmp_path):
    """At step 40 one has the mean since step 20, the other since step 30; a learning rate is a step's own."""
    reference = written(tmp_path / "reference", [line(step) for step in (20, 40, 60)])
    ours = [line(20), line(30, image_loss=9.0), line(40, image_loss=9.0), line(60, lr=0.4)]
    found, _ = compared(written(tmp_path / "ours", ours), reference)
    assert found["metrics"]["image_loss"]["left"] is None
    assert found["metrics"]["lr"]["left"]["step"] == 60
    assert "means at 1 steps, 40 the first: they cover other steps in each log" in found["not_compared"]


def test_only_the_metrics_asked_for_are_compared(tmp_path):
    reference = written(tmp_path / "reference", [line(10, mystery=1.0)])
    ours = written(tmp_path / "ours", [line(10, image_loss=9.0, mystery=1.0)])
    found, code = compared(ours, reference, "--metric", "text_loss", "--metric", "mystery")
    assert set(found["metrics"]) == {"text_loss", "mystery"}
    assert code == 0
    result = called(ours, reference, "--metric", "loss")
    assert result.exit_code == 2
    assert "expected one that both logs have (grad_norm, image_loss, lr, mystery" in result.stderr
    assert result.stderr.endswith("got 'loss'\n")


def test_a_metric_that_was_asked_for_and_cannot_be_compared_is_no_success(tmp_path):
    reference = written(tmp_path / "reference", [line(20)])
    ours = written(tmp_path / "ours", [line(10), line(20)])  # its means are those of ten steps
    assert "never over the same steps: grad_norm, image_loss" in called(ours, reference).stdout
    result = called(ours, reference, "--metric", "lr", "--metric", "image_loss")
    assert result.exit_code == 2
    assert "expected image_loss in both at the same step, over the same interval" in result.stderr


def test_zeros_are_equal(tmp_path):
    reference = written(tmp_path / "reference", [line(10, lr=0.0), line(20, lr=0)])
    ours = written(tmp_path / "ours", [line(10, lr=0.0), line(20, lr=1e-9)])
    found, _ = compared(ours, reference)
    assert found["metrics"]["lr"]["left"] == {"step": 20, "ours": 1e-9, "reference": 0, "relative": 1.0}


def test_the_last_line_of_a_training_that_still_writes_is_left_out(tmp_path):
    reference = written(tmp_path / "reference", [line(10), line(20)])
    ours = tmp_path / "ours"
    ours.write_text(reference.read_text()[:-30])
    found, code = compared(ours, reference)
    assert (code, found["steps"]["shared"]) == (0, 1)
    assert "the last line of ours, which is cut off" in found["not_compared"]


GOOD = json.dumps(line(10)) + "\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "got an empty file"),
        ("hello", "line 1: expected a JSON object, got 'hello'"),
        (GOOD + "{\n" + GOOD, "line 2: expected a JSON object, got '{'"),
        (GOOD + "\n" + GOOD, "line 2: expected a JSON object, got ''"),
        ("[1, 2]\n", "line 1: expected a JSON object, got '[1, 2]'"),
        ("[" * 100_000 + "\n", "line 1: expected a JSON object, got '[[["),
        ('{"loss": 1.0}\n', "line 1: expected a step, counted from 1"),
        ('{"step": "10"}\n', "line 1: expected a step, counted from 1"),
        ('{"step": 10, "image_loss": NaN}\n', "line 1: expected a finite number as image_loss, got 'nan'"),
        ('{"step": 10, "lr": 1e999}\n', "line 1: expected a finite number as lr, got 'inf'"),
        (GOOD + GOOD, "line 2: expected a step after 10, got '10'"),
        (GOOD.replace("10", "70"), "expected two logs with a step in common"),
        ('{"step": 10}\n', "expected a metric of a model in both at the same step"),
        (b"\x89PNG\xff", "cannot read it (it is no text)"),
        (None, "cannot read it (No such file or directory)"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_is_no_step_log_gets_one_line_and_code_2(tmp_path, content, said, first):
    good, bad = written(tmp_path / "good", [line(10), line(20)]), tmp_path / "bad"
    if content is not None:
        bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = called(*((bad, good) if first else (good, bad)))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("m3ae: error: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_usage_errors_are_clicks(tmp_path):
    assert called(REAL).exit_code == 2
    assert called(REAL, REAL, "--tolerance", "-1").exit_code == 2


def test_the_help_tells_what_the_codes_mean():
    said = " ".join(called("--help").stdout.split())
    assert "0 no metric left the reference 1 one did" in said


def test_an_mae_is_compared_with_an_m3ae_in_what_both_have():
    found, code = compared(OTHER, REAL)
    assert set(found["metrics"]) == {"image_loss", "grad_norm", "param_norm", "lr"}
    assert found["metrics"]["lr"]["left"] is None  # the same schedule
    assert "in the reference alone: text_loss" in found["not_compared"]
    assert code == 1
