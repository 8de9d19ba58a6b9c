"""The crate of a run: RO-Crate 1.1 after the profiles Process Run 0.5, Workflow Run 0.5, Workflow 1.0."""

import base64
from pathlib import Path
from typing import Any

from rocrate.model.computerlanguage import ComputerLanguage
from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from m3ae.config import load_run
from m3ae.files import sha256_of
from m3ae.provenance.chain import Chain
from m3ae.provenance.crate.citation import Citation, local_id, read_citation
from m3ae.provenance.crate.contents import (
    code_files,
    format_of,
    other_results,
    settings_files,
    target_files,
)
from m3ae.records import Record

VERSION = "1.1"
WORKFLOW = Path("Snakefile")
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
SNAKEMAKE = "https://snakemake.readthedocs.io"


class Builder:
    """A crate that grows: files, people and software are added once and found again by their ``@id``."""

    def __init__(self, run: str, records: dict[Path, Record], *, artifacts: bool, agent: str | None) -> None:
        self.run, self.records, self.artifacts = run, records, artifacts
        self.chain = Chain(records)
        self.crate = ROCrate(version=VERSION)
        self.crate.metadata.extra_terms.update(TERMS)
        self.citation: Citation = read_citation()
        self.authors = [self.thing(entry) for entry in self.citation.authors]
        self.agents = (
            [self.thing({"@id": local_id(agent), "@type": "Person", "name": agent})]
            if agent
            else self.authors
        )

    def thing(self, entry: dict[str, Any]) -> Entity:
        """A contextual entity, once."""
        properties = {key: value for key, value in entry.items() if key != "@id"}
        return self.crate.get(entry["@id"]) or self.crate.add(
            ContextEntity(self.crate, entry["@id"], properties=properties)
        )

    def file(self, path: Path, description: str = "") -> Entity:
        """A file of the project inside the crate, at the same place, once."""
        if found := self.crate.get(path.as_posix()):
            return found
        properties = {
            "name": path.as_posix(),
            "encodingFormat": format_of(path),
            "contentSize": str(path.stat().st_size),
            "sha256": sha256_of(path),
        }
        if description:
            properties["description"] = description
        return self.crate.add_file(path, path.as_posix(), properties=properties)

    def bytes_of(self, sha256: str) -> Entity:
        """A file that records know by its hash: inside the crate if asked for and here, else by its hash."""
        places = self.chain.files.get(sha256, [])
        for path in places if self.artifacts else []:
            if path.parts[0] == "results" and path.is_file() and sha256_of(path) == sha256:
                return self.file(path)
        name = places[0].as_posix() if places else "a file"
        described = "Not in this crate: known by its SHA-256, which is its identifier."
        return self.thing(
            {
                "@id": address_of(sha256),
                "@type": "CreativeWork",
                "name": name,
                "description": described,
                "sha256": sha256,
            }
        )


def one_or_all(found: list[Any]) -> Any:
    """A value, or the list of several, as RO-Crate recommends."""
    return found[0] if len(found) == 1 else found


def paper(builder: Builder, entry: dict[str, Any]) -> Entity:
    """An article with its authors."""
    return builder.thing({**entry, "author": one_or_all([builder.thing(one) for one in entry["author"]])})


def address_of(sha256: str) -> str:
    """The address of bytes by their hash, as the arcp scheme writes it (draft-soilandreyes-arcp, 4.1)."""
    digest = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
    return f"arcp://ni,sha-256;{digest}/"


def describe_root(builder: Builder, published: str) -> None:
    """Name, licence, authors and profiles of the whole."""
    crate, citation = builder.crate, builder.citation
    settings = load_run(builder.run).settings
    licence = {"@id": f"https://spdx.org/licenses/{citation.license}", "@type": "CreativeWork"}
    crate.name = f"{citation.title}: run {builder.run}"
    crate.description = settings.banner or settings.title
    crate.datePublished = published
    crate.license = builder.thing({**licence, "name": citation.license})
    crate.root_dataset["author"] = one_or_all(builder.authors)
    crate.root_dataset["citation"] = one_or_all([paper(builder, entry) for entry in citation.papers])
    if organizations := [author for author in builder.authors if author.type == "Organization"]:
        crate.publisher = organizations[0]
    crate.root_dataset["conformsTo"] = [
        builder.thing(
            {"@id": address, "@type": "CreativeWork", "name": name, "version": address.rsplit("/", 1)[1]}
        )
        for address, name in PROFILES.items()
    ]


def add_workflow(builder: Builder, version: str) -> Entity:
    """The Snakefile with its rules, and every file that is neither a record nor an artifact."""
    crate = builder.crate
    language = ComputerLanguage(
        crate,
        "#snakemake",
        properties={"name": "Snakemake", "url": SNAKEMAKE, "identifier": SNAKEMAKE, "version": version},
    )
    workflow = crate.add_workflow(
        WORKFLOW,
        WORKFLOW.as_posix(),
        main=True,
        lang=crate.add(language),
        properties={
            "name": builder.citation.title,
            "version": builder.citation.version,
            "encodingFormat": "text/plain",
            "sha256": sha256_of(WORKFLOW),
            "url": builder.citation.papers[0]["@id"] if builder.citation.papers else SNAKEMAKE,
        },
    )
    workflow["author"], workflow["license"] = one_or_all(builder.authors), crate.license
    parts = [builder.file(path) for path in code_files() if path != WORKFLOW]
    workflow["hasPart"] = [part for part in parts if part.id.endswith(".smk")]
    if readme := crate.get("README.md"):
        readme["about"] = crate.root_dataset
    return workflow


def files_of_run(builder: Builder) -> dict[str, list[Entity]]:
    """The run's settings, tables by target, and what else it published."""
    settings = [builder.file(path) for path in settings_files(builder.run)]
    targets = {
        name: [builder.file(path, f"{name} of run {builder.run}") for path in paths]
        for name, paths in target_files(builder.run).items()
    }
    others = [builder.file(path) for path in other_results(builder.run)]
    return {"settings": settings, "others": others, **{f"target {name}": e for name, e in targets.items()}}
