"""The jobs of a run whose results vouch for themselves: the files that go in, come out, and speak of both.

The rules of the workflow name the same files. `source` and `download` are not among them: their results are
brought, not computed, and no record speaks of them.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from m3ae.artifacts.targets import figure_jobs
from m3ae.artifacts.work import Job
from m3ae.config.datasets import evalset_stage
from m3ae.config.inputs import beside_files, image_files, made_here, pair_files, training_files
from m3ae.config.printed import figure_models
from m3ae.config.run import Run
from m3ae.config.sources import splits_of

READS_IMAGES = ("features", "augmented", "detection", "shift", "robustness")
CLEAN = ("index.arrow", "captions.parquet", "origins.parquet", "origin.json", "rejected.parquet")


def jobs(run: Run) -> Iterator[Job]:
    """Every job of a run whose results can be recognised, each behind those that it reads from."""
    yield from data_jobs(run)
    scored = figure_models(run, "figure6")
    for model in run.models:
        yield from model_jobs(run, model, scored)
    yield from (clusters_job(run, model) for model in run.clustered)
    yield from figure_jobs(run)


def data_jobs(run: Run) -> Iterator[Job]:
    """Clean shards, word pieces, checked evaluation sets: their manifests vouch for them."""
    paths = run.paths
    for split in splits_of(run):
        manifest = paths.manifest(split)
        outputs = (manifest, *(manifest.with_name(name) for name in CLEAN))
        raw = {"download": paths.download(split)}
        yield Job("clean", None, outputs, (manifest,), raw, lambda: [run.stage("clean")])
    folder = paths.tokenizer.parent
    outputs = (paths.tokenizer, paths.tokens("train"), paths.tokens("heldout"), folder / "manifest.json")
    manifests = {f"{split}_manifest": paths.manifest(split) for split in ("train", "heldout")}
    yield Job("tokens", None, outputs, outputs[-1:], manifests, lambda: [run.stage("tokens")])
    if run.settings.data.texts:
        outputs = (paths.tokens("texts"), folder / "texts.json")
        yield Job(
            "texts", None, outputs, outputs[-1:], {"tokenizer": paths.tokenizer}, lambda: [run.stage("texts")]
        )
    for dataset in run.eval_datasets:
        yield evalset_job(run, dataset)


def evalset_job(run: Run, dataset: str) -> Job:
    """A checked listing: it states hardly any settings; the records of features know its bytes.

    The sets that a run makes itself are listed by one job.
    """
    made = made_here(run)

    def params() -> list[Any]:
        if dataset not in made:
            return [evalset_stage(run, dataset)]
        return [[evalset_stage(run, name) for name in made], [f"--dataset {name}" for name in made]]

    inputs = {"list": run.paths.list("train")} if dataset in made else {}
    return Job("evalset", None, (run.paths.evalset(dataset),), (), inputs, params)


def model_jobs(run: Run, model: str, scored: Collection[str]) -> Iterator[Job]:
    """All that is made of one model; Figure 6 scores the models ``scored``."""
    yield pretrain_job(run, model)
    if model in run.rebuilding:
        yield heldout_job(run, model)
    yield features_job(run, model)
    yield probe_job(run, model)
    if model in scored:
        yield record_job(run, model, "ood", run.ood_pairs, ("features", "probe"))
    if run.settings.concepts:
        manifests = {split: run.paths.manifest(split) for split in ("train", "heldout")}
        yield encodes_pairs(run, record_job(run, model, "concepts", [], (), manifests))
    if run.knows_places and model in run.models_of("m3ae")[:1]:
        yield record_job(run, model, "pointing", [], (), heldout_files(run))
    if model in run.headline:
        yield from headline_jobs(run, model)


def clusters_job(run: Run, model: str) -> Job:
    """Groups in a model's features; the rule makes those of all models that Figure 9 shows at once."""
    record = run.paths.record(model, "clusters")
    inputs = {"features": run.paths.features(model)}
    others = tuple(run.paths.features(other) for other in run.clustered if other != model)
    return Job(
        "clusters", model, (record,), (record,), inputs, lambda: [run.stage("clusters"), run.name], others
    )


def pretrain_job(run: Run, model: str) -> Job:
    """The encoder, its step log, and the record of both."""
    paths = run.paths
    outputs = (paths.encoder(model), paths.step_log(model), paths.record(model, "pretrain"))
    inputs, beside = training_files(run, model), tuple(beside_files(run, model))
    return Job(
        "pretrain", model, outputs, outputs[-1:], inputs, lambda: [run.stage("pretrain", model)], beside
    )


def heldout_job(run: Run, model: str) -> Job:
    """Errors on held-out pairs."""
    sets = {split.dataset: run.paths.evalset(split.dataset) for split in run.settings.heldout.images or []}
    return record_job(run, model, "heldout", [], (), heldout_files(run) | sets)


def heldout_files(run: Run) -> dict[str, Path]:
    """The held-out pairs, by the names under which records state them."""
    return {"heldout_manifest": run.paths.manifest("heldout"), "heldout_tokens": run.paths.tokens("heldout")}


def features_job(run: Run, model: str) -> Job:
    """Features, of a headline row those of its last blocks too."""
    paths, stages = run.paths, ["features"]
    archives: tuple[Path, ...] = (paths.features(model),)
    if model in run.headline:
        archives, stages = (*archives, paths.layers(model)), ["features", "layers"]
    record = paths.record(model, "features")
    inputs = {"weights": paths.encoder(model)}
    inputs |= {dataset: paths.evalset(dataset) for dataset in run.eval_datasets}
    return Job(
        "features",
        model,
        (*archives, record),
        (record,),
        inputs,
        lambda: [run.stage(stage, model) for stage in stages],
        beside(run, "features"),
    )


def beside(run: Run, stage: str) -> tuple[Path, ...]:
    """What a stage of a model reads besides: images that were listed, words that the encoder learned."""
    reads_images = stage in READS_IMAGES or (stage == "heldout" and run.settings.heldout.images)
    words = [run.paths.tokenizer] * (stage == "detection")
    return (*image_files(run), *words) if reads_images else ()


def probe_job(run: Run, model: str) -> Job:
    """The linear probes, and a record for each task."""
    records = tuple(run.paths.record(model, f"probe-{task}") for task in run.tasks)
    outputs = (run.paths.classifier(model), *records)
    inputs = {"weights": run.paths.encoder(model), "features": run.paths.features(model)}
    return Job("probe", model, outputs, records, inputs, lambda: [run.stage("probe", model)])


def headline_jobs(run: Run, model: str) -> Iterator[Job]:
    """What headline rows get beyond the figures."""
    paths = run.paths
    yield record_job(run, model, "probes", run.tasks, ("features", "layers"))
    if run.augmented_tasks:
        chosen = {f"probe-{task}": paths.record(model, f"probe-{task}") for task in run.augmented_tasks}
        yield record_job(run, model, "augmented", run.augmented_tasks, ("features",), chosen)
    yield record_job(run, model, "detection", run.detection_pairs, ("features", "probe"))
    yield record_job(run, model, "shift", run.tasks, ("features", "probe"))
    yield record_job(run, model, "robustness", [], ("features", "probe"))
    if model in run.readers:
        yield encodes_pairs(run, record_job(run, model, "captions", [], (), {"tokenizer": paths.tokenizer}))


def encodes_pairs(run: Run, job: Job) -> Job:
    """``job`` with the features of the run's pairs: `concepts` makes them, without it `captions`."""
    assert job.model is not None
    pairs, inputs = run.paths.pairs(job.model), {**job.inputs, **pair_files(run, job.model)}
    if job.stage == "captions" and run.settings.concepts:
        job = job._replace(inputs=inputs | {"pairs": pairs})
    else:
        job = job._replace(inputs=inputs, outputs=(*job.outputs, pairs))
    return job._replace(params=lambda: [run.stage(stage, job.model) for stage in (job.stage, "pairs")])


def record_job(
    run: Run,
    model: str,
    stage: str,
    subjects: list[str],
    reads: tuple[str, ...],
    others: dict[str, Path] | None = None,
) -> Job:
    """A job that leaves records alone: one for each of ``subjects``, or a single one."""
    paths = run.paths
    archives = {"features": paths.features, "layers": paths.layers, "probe": paths.classifier}
    inputs: dict[str, Any] = {"weights": paths.encoder(model), **(others or {})}
    inputs |= {name: archives[name](model) for name in reads}
    records = tuple(paths.record(model, f"{stage}-{subject}") for subject in subjects)
    records = records or (paths.record(model, stage),)
    return Job(stage, model, records, records, inputs, lambda: [run.stage(stage, model)], beside(run, stage))
