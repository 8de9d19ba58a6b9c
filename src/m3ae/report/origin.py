"""Where the numbers come from: the settings, the code, the machine, the bytes."""

from collections import defaultdict

import pandas as pd

from m3ae.config import Run
from m3ae.files import sha256_of
from m3ae.records import Record
from m3ae.report import html
from m3ae.report.differences import differences
from m3ae.report.format import NOTHING, rounded
from m3ae.report.paper import label
from m3ae.report.provenance import by_stage, commit, machine
from m3ae.report.results import all_records
from m3ae.report.yields import SPLITS

STAGE_WORDS = ["model", "stages", "finished", "commit", "machine"]


def differences_table(run: Run) -> str:
    """Every setting in which this run differs from `paper`."""
    frame = differences(run)
    if frame.empty:
        return html.note("No setting differs from `paper`.")
    return html.details(f"{len(frame)} settings", html.table(frame, words=frame.columns), numbers=True)


def provenance_tables(run: Run) -> str:
    """Commit and machine of every stage, versions, checksums of manifests and weights."""
    records = [record for _, record in all_records(run)]
    stages = html.table(
        pd.DataFrame(stage_rows(run, records)), words=STAGE_WORDS, caption="Stages (times in UTC)"
    )
    versions = html.table(pd.DataFrame(version_rows(records)), words=["library"], caption="Libraries")
    sums = html.table(
        pd.DataFrame(checksum_rows(run, records)), words=["file", "SHA-256"], caption="Checksums"
    )
    return stages + versions + sums


def stage_rows(run: Run, records: list[Record]) -> list[dict[str, str]]:
    """A model's stages that one commit made on one machine, and when the last of them finished."""
    made: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for (model, stage), facts in by_stage(records).items():
        made[label(run, model), commit(facts), machine(facts)][stage] = facts.get("finished", NOTHING)
    return [
        {
            "model": model,
            "stages": ", ".join(stages),
            "finished": max(stages.values())[:16].replace("T", " "),
            "commit": made_from,
            "machine": made_on,
        }
        for (model, made_from, made_on), stages in made.items()
    ]


def times_table(run: Run) -> str:
    """Wall time (s): models down, stages across, and their sums."""
    times = {key: facts.get("wall_s", 0) for key, facts in by_stage([r for _, r in all_records(run)]).items()}
    if not times:
        return html.note(NOTHING)
    names = list(dict.fromkeys(stage for _, stage in times))
    rows = []
    for model in dict.fromkeys(model for model, _ in times):
        found = {stage: times[model, stage] for stage in names if (model, stage) in times}
        rows.append({"model": label(run, model), **found, "all": sum(found.values())})
    frame = pd.DataFrame(rows, columns=["model", *names, "all"])
    total = {"model": "all", **frame[[*names, "all"]].sum().to_dict()}
    frame = pd.concat([frame, pd.DataFrame([total])], ignore_index=True)
    frame[[*names, "all"]] = frame[[*names, "all"]].map(rounded)
    return html.table(frame, words=["model"], caption="Wall time (s)", sparse=True)


def version_rows(records: list[Record]) -> list[dict[str, str]]:
    """Versions of Python and the libraries; several where the stages do not agree."""
    versions: dict[str, dict[str, None]] = defaultdict(dict)
    for record in records:
        for library, version in record.provenance.get("versions", {}).items():
            versions[library][version or "not installed"] = None
    return [{"library": library, "version": ", ".join(found)} for library, found in versions.items()]


def checksum_rows(run: Run, records: list[Record]) -> list[dict[str, str]]:
    """SHA-256 of the manifests and of every encoder, as its training recorded it."""
    rows = [
        {"file": path.as_posix(), "SHA-256": sha256_of(path)}
        for path in map(run.paths.manifest, SPLITS)
        if path.is_file()
    ]
    for record in records:
        if record.stage == "pretrain":
            path = run.paths.encoder(record.model).as_posix()
            rows.append({"file": path, "SHA-256": record.details.get("weights_sha256", "-")})
    return rows
