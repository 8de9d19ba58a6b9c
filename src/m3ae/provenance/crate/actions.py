"""What was done: one action per stage of a model, one per table, and the whole run of the workflow."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.model.entity import Entity

from m3ae.provenance.cells import rows_of
from m3ae.provenance.crate.build import Builder, one_or_all
from m3ae.records import Record

DONE = "http://schema.org/CompletedActionStatus"
TIME = "%Y-%m-%dT%H:%M:%S"


def add_stages(builder: Builder) -> list[Entity]:
    """An action per model and stage; records of one stage (several tasks) share it."""
    stages: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path, record in builder.records.items():
        stages[record.model, record.stage].append(path)
    return [add_stage(builder, model, stage, paths) for (model, stage), paths in stages.items()]


def add_stage(builder: Builder, model: str, stage: str, paths: list[Path]) -> Entity:
    """What a stage read, with which settings, by which code and libraries, and what came out."""
    records = [builder.records[path] for path in paths]
    latest = max(records, key=lambda record: record.provenance.get("finished", ""))
    inputs = dict.fromkeys(sha256 for record in records for sha256 in record.inputs.values())
    made = dict.fromkeys(sha256 for path in paths for sha256 in builder.chain.made_by(path))
    settings = {
        "@id": f"#settings/{model}/{stage}",
        "@type": "PropertyValue",
        "name": f"settings of {stage}",
        "value": json.dumps(latest.settings),
    }
    command = f"m3ae {stage} --run {builder.run} --model {model}"
    results = [builder.file(path, f"record of {stage} for {model}") for path in paths]
    action = builder.crate.add_action(
        tool(builder, latest),
        identifier=f"#stage/{model}/{stage}",
        object=[builder.thing(settings), *map(builder.bytes_of, (i for i in inputs if i not in made))],
        result=one_or_all([*results, *map(builder.bytes_of, made)]),
        properties={
            "name": f"{stage} of {model}",
            "description": f"{command}; on {machine(latest)}",
            "actionStatus": DONE,
            **times(latest),
        },
    )
    return linked(builder, action)


def tool(builder: Builder, record: Record) -> Entity:
    """The command of our command line at the commit that ran, with the libraries that it used."""
    made = record.provenance
    versions = made.get("versions", {})
    own = versions.get("m3ae") or builder.citation.version
    commit = (made.get("commit") or "unknown") + ("-changed" if made.get("uncommitted_changes") else "")
    libraries = [
        builder.thing(
            {
                "@id": f"pkg:{'generic' if name == 'python' else 'pypi'}/{name}@{quote(version, safe='')}",
                "@type": "SoftwareApplication",
                "name": name,
                "softwareVersion": version,
            }
        )
        for name, version in versions.items()
        if version and name != "m3ae"
    ]
    found = builder.thing(
        {
            "@id": f"pkg:generic/m3ae@{quote(own, safe='')}?commit={commit}#{record.stage}",
            "@type": "SoftwareApplication",
            "name": f"m3ae {record.stage}",
            "softwareVersion": f"{own}, commit {commit}",
        }
    )
    if libraries:
        requirements = [entity.id for entity in found.get("softwareRequirements", [])]
        for library in libraries:
            if library.id not in requirements:
                found.append_to("softwareRequirements", library)
    return found


def add_tables(builder: Builder, targets: dict[str, list[Entity]], published: str) -> list[Entity]:
    """An action per table: from records alone."""
    actions = []
    for target, files in targets.items():
        table = next((Path(file.id) for file in files if file.id.endswith(".csv")), None)
        named = {Path(row["record"]) for row in rows_of(table)} if table else set()
        used = [builder.file(path) for path in sorted(named & builder.records.keys())]
        if not used:
            continue
        described = {"@id": "#m3ae-figure", "@type": "SoftwareApplication", "name": "m3ae figure"}
        instrument = builder.thing({**described, "softwareVersion": builder.citation.version})
        action = builder.crate.add_action(
            instrument,
            identifier=f"#table/{target}",
            object=one_or_all(used),
            result=one_or_all(files),
            properties={
                "name": f"{target} of run {builder.run}",
                "description": f"m3ae figure {target} --run {builder.run}",
                "actionStatus": DONE,
                "endTime": published,
            },
        )
        actions.append(linked(builder, action))
    return actions


def add_run(builder: Builder, workflow: Entity, settings: list[Entity], results: list[Entity]) -> Entity:
    """The run of the whole workflow: settings and data in, records and tables out."""
    chain = builder.chain
    data = [sha256 for sha256 in chain.users if not chain.makers.get(sha256)]
    ended = [times(record) for record in builder.records.values() if "finished" in record.provenance]
    properties = {
        "name": f"snakemake all --config run={builder.run}",
        "description": f"All stages of run {builder.run} whose records are in this crate.",
        "actionStatus": DONE,
    }
    if ended:
        properties |= {
            "startTime": min(t["startTime"] for t in ended),
            "endTime": max(t["endTime"] for t in ended),
        }
    action = builder.crate.add_action(
        workflow,
        identifier="#run",
        object=[*settings, *map(builder.bytes_of, data)],
        result=results,
        properties=properties,
    )
    add_parameters(builder, workflow, settings[0], results[-1])
    return linked(builder, action)


def add_parameters(builder: Builder, workflow: Entity, settings: Entity, result: Entity) -> None:
    """The workflow's input, a run's configuration, and its output, tables."""
    for end, name, example in (("input", "configuration", settings), ("output", "results", result)):
        parameter = builder.thing(
            {"@id": f"#{name}", "@type": "FormalParameter", "additionalType": "File", "name": name}
        )
        parameter["workExample"] = example
        example["exampleOfWork"] = parameter
        workflow[end] = parameter


def linked(builder: Builder, action: Entity) -> Entity:
    """The action with its agent, mentioned by the root."""
    action["agent"] = one_or_all(builder.agents)
    builder.crate.root_dataset.append_to("mentions", action)
    return action


def times(record: Record) -> dict[str, str]:
    """When a stage began and ended."""
    made: dict[str, Any] = record.provenance
    if "finished" not in made:
        return {}
    end = datetime.strptime(made["finished"], f"{TIME}Z").replace(tzinfo=UTC)
    start = end - timedelta(seconds=round(made.get("wall_s", 0)))
    return {"startTime": start.isoformat(), "endTime": end.isoformat()}


def machine(record: Record) -> str:
    """Where it ran, in words."""
    facts = record.provenance.get("machine", {})
    parts = [facts.get("processor"), facts.get("accelerator"), facts.get("system")]
    return ", ".join(part for part in parts if part) or "an unknown machine"
