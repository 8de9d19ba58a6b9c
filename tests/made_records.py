"""A project folder with made-up records, for the tests of tables, figures and the report."""

import json
import shutil
from pathlib import Path

import numpy as np

from m3ae.config import Run, load_run
from m3ae.records import Items, Metric, Record

CHECKOUT = Path(__file__).parents[1]
NUM = 200


def make_project(folder: Path) -> Run:
    """Copy ``config/``, the notebook and what it links to into ``folder`` (the current one); load tiny."""
    shutil.copytree(CHECKOUT / "config", folder / "config")
    (folder / "docs").mkdir()
    shutil.copy(CHECKOUT / "docs/fidelity.md", folder / "docs")
    shutil.copytree(CHECKOUT / "reports" / "templates", folder / "reports" / "templates")
    return load_run("tiny")


def hits(share: float, num: int = NUM) -> np.ndarray:
    """The first ``share`` of ``num`` test items are right: sets of hits that lie within each other."""
    return (np.arange(num) < share * num).astype(np.uint8)


def percent_metric(value: float, **items: np.ndarray) -> Metric:
    """A metric in percent with an interval of +-2 around it."""
    packed = {name: Items.pack(values) for name, values in items.items()}
    return Metric(value=value, low=value - 2, high=value + 2, n=NUM, unit="%", items=packed)


def write(run: Run, model: str, stage: str, metrics: dict[str, Metric], details: dict | None = None) -> Path:
    """A record of ``stage`` (`probe-digit`), as the stages write them."""
    name, _, subject = stage.partition("-")
    path = run.paths.record(model, stage)
    Record(
        run=run.name,
        model=model,
        stage=name,
        subject=subject or None,
        metrics=metrics,
        details=details or {},
        settings=run.stage(name, model),
        inputs={"weights": "ab" * 32},
        seeds=[run.settings.seed],
        provenance={
            "commit": "c0ffee" * 6,
            "uncommitted_changes": False,
            "finished": "2000-01-01T00:00:00Z",
            "wall_s": 12.5,
            "machine": {"processor": "A processor", "cores": 2, "system": "Linux"},
            "versions": {"python": "3.11", "torch": "2.13"},
        },
    ).write(path)
    return path


def write_probe(run: Run, model: str, task: str, correct: np.ndarray) -> Path:
    """A probe's record from its answers."""
    details = {"base_lr": 1.0, "num_train": 2000, "num_test": len(correct), "num_classes": 8, "chance": 12.5}
    metrics = {"accuracy": percent_metric(100 * float(correct.mean()), correct=correct)}
    return write(run, model, f"probe-{task}", metrics, details)


def write_ood(run: Run, model: str, pair: str, inside: np.ndarray, outside: np.ndarray) -> Path:
    """An OOD record: both scores have the same values."""
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.ones_like(inside), np.zeros_like(outside)])
    area = 100 * roc_auc_score(truth, np.concatenate([inside, outside]))
    items = {"in": inside.astype(np.float32), "out": outside.astype(np.float32)}
    metric = percent_metric(area, **items)
    return write(run, model, f"ood-{pair}", {"mahalanobis_auroc": metric, "msp_auroc": metric})


def write_pretrain(run: Run, model: str) -> Path:
    """A training record with a step log; that of an untrained encoder is empty."""
    final = {"image_loss": 0.4, "text_loss": None if model.startswith("mae") else 1.2}
    details = {"samples": 200_000, "steps": 3125, "parameters": 900_000, "encoder_parameters": 700_000,
               "final": final, "samples_per_s": 900.0, "weights_sha256": "ab" * 32}  # fmt: skip
    steps = range(20, 3126, 20) if run.model(model).epochs else []
    lines = [json.dumps(step_line(step, model)) for step in steps]
    run.paths.step_log(model).parent.mkdir(parents=True, exist_ok=True)
    run.paths.step_log(model).write_text("".join(f"{line}\n" for line in lines))
    return write(run, model, "pretrain", {}, details)


def step_line(step: int, model: str) -> dict:
    """A line of the step log: losses that fall with some ripple."""
    fall = 1 / (1 + step / 300) + 0.02 * np.sin(step)
    line = {"step": step, "samples": 64 * step, "lr": 1e-3, "image_loss": 0.2 + fall}
    return line if model.startswith("mae") else {**line, "text_loss": 1 + 3 * fall}


def write_heldout(run: Run, model: str) -> Path:
    """Held-out errors: a model that has learned."""
    values = {"image_error": 0.3, "image_error_mean_visible": 0.5, "image_error_gain_over_mean": 0.2}
    if not model.startswith("mae"):
        values |= {
            "image_error_shuffled_caption": 0.301, "image_error_caption_gain": 0.001,
            "word_accuracy": 62.0, "word_accuracy_unigram": 31.0, "word_accuracy_shuffled_image": 50.0,
            "word_accuracy_image_gain": 12.0, "word_accuracy_gain_over_unigram": 31.0,
        }  # fmt: skip
    metrics = {
        name: Metric(
            value=value,
            low=value - (1 if name.startswith("word") else 0.01),
            high=value + (1 if name.startswith("word") else 0.01),
            n=500,
            unit="%" if name.startswith("word") else "squared error",
        )
        for name, value in values.items()
    }
    return write(run, model, "heldout", metrics)


def write_manifest(run: Run, split: str) -> Path:
    """The manifest of a split's clean shards."""
    path = run.paths.manifest(split)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"format": 2, "split": split, "count": 2950,
             "shards": [{"name": "00000.tar", "count": 2950, "bytes": 1, "sha256": "ef" * 32}],
             "yield": {"rows": 3200, "images": 3150, "received": 3060, "kept": 2950, "share": 0.9365},
             "rejected": {"HTTP 404": 90, "not an image": 60, "duplicate": 50},
             "index_sha256": "cd" * 32, "captions_sha256": "ab" * 32,
             "inputs": {}, "settings": run.stage("clean")}  # fmt: skip
    path.write_text(json.dumps(facts))
    return path


def write_everything(run: Run) -> None:
    """All records of a finished tiny run."""
    rng = np.random.default_rng(0)
    shares = {"m3ae-b100": 0.62, "mae-b100": 0.44, "untrained-b": 0.31}
    for model, share in shares.items():
        write_pretrain(run, model)
        for task in run.tasks:
            write_probe(run, model, task, hits(share, 1000))
        for pair in run.ood_pairs:
            write_ood(run, model, pair, rng.normal(share, 0.3, 500), rng.normal(0, 0.3, 300))
        if model != "untrained-b":
            write_heldout(run, model)
    for split in ("train", "heldout"):
        write_manifest(run, split)
