"""The jobs that draw and print: figures, tables and the report, with the receipts that they leave.

A picture cannot say what it was drawn from. `m3ae figure` and `m3ae report` therefore leave a receipt,
``reports/{run}/made/{target}.json``: the SHA-256 of all that went in and came out, and the settings.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from m3ae.artifacts.work import Job
from m3ae.config.pages import PAGE_NAMES
from m3ae.config.printed import NUMBERS, figure_models
from m3ae.config.run import Run

TABLE = (".csv", ".md", ".svg", ".png")
LOOKS = (".png", ".json", ".csv", ".md")
PAPER = Path("config/paper.yaml")
TEMPLATE = Path("reports/templates/report.ipynb")


def receipt_of(run: Run, target: str) -> Path:
    """Where a target's receipt lies."""
    return run.paths.reports / "made" / f"{target}.json"


def figure_jobs(run: Run) -> Iterator[Job]:
    """Every target of a run; the report comes last, for it shows the others."""
    yield figure2(run)
    yield from figures7_and_8(run)
    clusters = records_of(run, run.clustered, ["clusters"])
    yield target_job(run, "figure9", clusters, TABLE)
    for name in ("figure3", "figure4", "figure5", "figure6"):
        yield target_job(run, name, [*figure_records(run, name), NUMBERS], TABLE)
    logs = [run.paths.reference_log(model) for model in run.models]
    steps = [run.paths.step_log(model) for model in run.models]
    yield target_job(run, "curves", steps, (".csv", ".svg", ".png"), logs)
    for name, records in extended_records(run).items():
        yield target_job(run, name, records, TABLE, target=[name])
    yield target_job(run, "compute", compute_inputs(run), TABLE)
    yield report(run)


def target_job(
    run: Run,
    name: str,
    inputs: list[Path],
    endings: tuple[str, ...],
    more: Sequence[Path] = (),
    target: Sequence[str] = (),
) -> Job:
    """A target that reads ``inputs`` and writes ``reports/{run}/{name}`` with these endings, and ``more``.

    The rules of targets beyond the figures share a stage, and name their ``target``.
    """
    outputs = (*(run.paths.reports / f"{name}{ending}" for ending in endings), *more)
    stage = "extended" if target else name
    read = {path.as_posix(): path for path in inputs}
    receipts = (receipt_of(run, name),)
    return Job(name, None, outputs, receipts, read, lambda: [run.stage(stage), run.name, *target])


def figure2(run: Run) -> Job:
    """Figure 2 is drawn with the first M3AE itself."""
    read = [run.paths.encoder(model) for model in run.models_of("m3ae")[:1]]
    read += [run.paths.manifest("heldout"), run.paths.tokens("heldout")]
    return target_job(run, "figure2", read, (".png", ".json"))


def figures7_and_8(run: Run) -> Iterator[Job]:
    """What words and patches look at: one rule makes both, and each leaves its receipt."""
    first = run.models_of("m3ae")[:1]
    read = [run.paths.encoder(model) for model in first]
    read += [run.paths.manifest("heldout"), run.paths.tokens("heldout")]
    read += pointing_records(run)
    for name in ("figure7", "figure8"):
        job = target_job(run, name, read, LOOKS)
        yield job._replace(params=lambda: [run.stage("figure7"), run.name])


def compute_inputs(run: Run) -> list[Path]:
    """What the cost of a run is read from: what was trained and measured, and the settings of `paper`."""
    stages = ["pretrain", "features", *(["concepts"] if run.settings.concepts else [])]
    read = records_of(run, run.models, stages) + records_of(run, run.rebuilding, ["heldout"])
    read += [*figure_records(run, "figure3"), *figure_records(run, "figure6")]
    read += [path for name, paths in extended_records(run).items() if name != "augmented" for path in paths]
    read += records_of(run, run.clustered, ["clusters"]) + pointing_records(run)
    return [*read, PAPER]


def pointing_records(run: Run) -> list[Path]:
    """Whether words look at what they name: of the first M3AE, where that is known."""
    return records_of(run, run.models_of("m3ae")[:1] if run.knows_places else [], ["pointing"])


def figure_records(run: Run, name: str) -> list[Path]:
    """The records behind a figure of the paper."""
    subjects = {
        "figure3": [f"probe-{task}" for task in run.tasks],
        "figure6": [f"ood-{pair}" for pair in run.ood_pairs],
    }.get(name, [f"probe-{run.tasks[0]}"])
    return records_of(run, figure_models(run, name), subjects)


def extended_records(run: Run) -> dict[str, list[Path]]:
    """The records behind each target beyond the figures; empty for a run without."""
    subjects = {
        "probes": [f"probes-{task}" for task in run.tasks],
        "augmented": [f"augmented-{task}" for task in run.augmented_tasks],
        "detection": [f"detection-{pair}" for pair in run.detection_pairs],
        "shift": [f"shift-{task}" for task in run.tasks],
        "robustness": ["robustness"],
    }
    found = {name: records_of(run, run.headline, names) for name, names in subjects.items()}
    found["captions"] = records_of(run, run.readers, ["captions"])
    return {name: records for name, records in found.items() if records}


def records_of(run: Run, models: list[str], names: list[str]) -> list[Path]:
    """Records by name, of some models."""
    return [run.paths.record(model, name) for model in models for name in names]


def report(run: Run) -> Job:
    """The pages: all figures, what the records say of held-out pairs and concepts, the manifests."""
    beyond = [name for name in extended_records(run) if name != "augmented"]
    tables = ["figure3", "figure4", "figure5", "figure6", "figure9", "compute", *beyond]
    read = [run.paths.reports / f"{name}{ending}" for name in tables for ending in TABLE]
    read += [run.paths.reports / f"figure2{ending}" for ending in (".png", ".json")]
    read += [run.paths.reports / f"{name}{ending}" for name in ("figure7", "figure8") for ending in LOOKS]
    read += [run.paths.reports / f"curves{ending}" for ending in (".csv", ".svg", ".png")]
    read += [run.paths.reference_log(model) for model in run.models]
    read += records_of(run, run.rebuilding, ["heldout"])
    read += records_of(run, run.models, ["concepts"]) if run.settings.concepts else []
    read += [run.paths.manifest(split) for split in ("train", "heldout")] + [TEMPLATE]
    pages = [run.paths.reports / f"{page}.html" for page in PAGE_NAMES]
    made = [*pages, run.paths.reports / "report.ipynb", run.paths.reports / "summary.json"]
    made += [run.paths.reports / f"orderings{ending}" for ending in TABLE[:2]]
    return target_job(run, "report", read, (), made)
