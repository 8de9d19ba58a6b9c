"""What a finished training leaves, or weights that were taken in its place: encoder, step log, record."""

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from torch import Tensor

from m3ae.config.run import Run
from m3ae.files import sha256_of, write_text
from m3ae.model.classifier import Classifier
from m3ae.model.weights import BESIDE, write_encoder
from m3ae.model.whole import facts_of, write_model
from m3ae.records import Record, provenance
from m3ae.train.build import Model, count_parameters, encoder_of
from m3ae.train.checkpoint import digest_of
from m3ae.train.schedule import schedule_of
from m3ae.train.steplog import read_lines


def write_results(
    run: Run, name: str, model: Model, state: dict[str, Tensor], folder: Path, facts: dict[str, Any]
) -> None:
    """Write encoder, step log and record, then remove the training's state in ``folder``.

    ``state`` is the whole state after the last step; ``facts`` has `started`, `inputs` and
    `provenance`.
    """
    weights = {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}
    write_model(model, in_stored_precision(run, name, weights), run.paths.encoder(name))
    lines = read_lines(folder / "steps.jsonl")
    write_text(run.paths.step_log(name), "".join(json.dumps(line) + "\n" for line in lines))
    record_of(run, name, model, state, lines, facts).write(run.paths.record(name, "pretrain"))
    shutil.rmtree(folder, ignore_errors=True)


def in_stored_precision(run: Run, name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights as the run keeps them (`pretrain.store`)."""
    if run.settings_of(name).pretrain.store == "fp16":
        return {key: value.half() for key, value in weights.items()}
    return weights


def record_of(
    run: Run,
    name: str,
    model: Model,
    state: dict[str, Tensor],
    lines: list[dict[str, Any]],
    facts: dict[str, Any],
) -> Record:
    """What was trained, on what, and where it ended."""
    steps = schedule_of(run, name).steps
    details = {
        "samples": steps * run.settings.batch_size,
        "steps": steps,
        **count_parameters(model),
        "final": final_of(lines),
        "weights_sha256": sha256_of(run.paths.encoder(name)),
        "state_sha256": digest_of(state),
    }
    return record_with(run, name, details, facts, lines, [run.settings_of(name).seed])


def record_with(
    run: Run,
    name: str,
    details: dict[str, Any],
    facts: dict[str, Any],
    lines: list[dict[str, Any]],
    seeds: list[int],
) -> Record:
    """The record of a pre-training, whatever it consisted of; ``facts`` as in ``write_results``."""
    return Record(
        run=run.name,
        model=name,
        stage="pretrain",
        details=details,
        settings=run.stage("pretrain", name),
        inputs=facts["inputs"],
        seeds=seeds,
        provenance={
            **provenance(facts["started"]),
            **facts["provenance"],
            **pace_of(lines),
            "steps_sha256": sha256_of(run.paths.step_log(name)),  # its lines hold times: no result
        },
    )


def write_taken(run: Run, name: str, model: Model, details: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write encoder, an empty step log and record of a row whose weights were taken, not trained.

    ``details`` open the record's; ``facts`` are those of ``write_results`` and the file's `origin`.
    """
    path, tower = run.paths.encoder(name), encoder_of(model)
    weights, beside = dict(tower.state_dict()), None
    if isinstance(model, Classifier):
        weights |= {f"{BESIDE}head.{key}": value for key, value in model.head.state_dict().items()}
        beside = facts_of(model)
    stored = in_stored_precision(run, name, weights)
    write_encoder(tower.architecture, stored, path, facts["origin"], beside)
    write_text(run.paths.step_log(name), "")
    counts = {"samples": 0, "steps": 0, **count_parameters(model), "final": {}}
    details = {**details, **counts, "weights_sha256": sha256_of(path)}
    record_with(run, name, details, facts, [], []).write(run.paths.record(name, "pretrain"))


def final_of(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Losses and gradient norm of the last line; nothing of a model that was not trained."""
    last = lines[-1] if lines else {}
    return {name: value for name, value in last.items() if name.endswith("_loss") or name == "grad_norm"}


def pace_of(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the step log, and the energy in all."""
    pace: dict[str, Any] = {}
    for name in ("samples_per_s", "mfu", "save_share"):
        values = [line[name] for line in lines if name in line]
        pace[name] = statistics.median(values) if values else None
    energy = [line["energy_j"] for line in lines if "energy_j" in line]
    pace["energy_j"] = round(sum(energy), 1) if energy else None
    return pace
