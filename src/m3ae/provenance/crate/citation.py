"""Who made the software, and the paper that it reproduces, as `CITATION.cff` states them."""

from pathlib import Path
from typing import Any, NamedTuple

from m3ae.config.load import read_yaml
from m3ae.errors import UserError

CITATION = Path("CITATION.cff")


class Citation(NamedTuple):
    """What the crate takes from the file: JSON-LD objects, each with its ``@id``."""

    title: str
    version: str
    license: str
    authors: list[dict[str, Any]]
    papers: list[dict[str, Any]]
    """Each with its authors as objects, too."""


def read_citation(path: Path = CITATION) -> Citation:
    """Read the file. Raises UserError where it or a part of it is absent."""
    stated = read_yaml(path)
    for key in ("title", "version", "license", "authors"):
        if not stated.get(key):
            raise UserError(f"{path}: expected `{key}`, which is absent; the crate needs it")
    return Citation(
        title=stated["title"],
        version=str(stated["version"]),
        license=stated["license"],
        authors=[author(entry) for entry in stated["authors"]],
        papers=[paper(entry) for entry in stated.get("references", [])],
    )


def author(entry: dict[str, Any]) -> dict[str, Any]:
    """A person, or an organization where the entry has a `name` alone."""
    parts = [entry.get("given-names"), entry.get("family-names")]
    name = entry.get("name") or " ".join(part for part in parts if part)
    kind = "Organization" if entry.get("name") else "Person"
    return {"@id": entry.get("orcid") or local_id(name), "@type": kind, "name": name}


def paper(entry: dict[str, Any]) -> dict[str, Any]:
    """A referenced article with its authors."""
    found = {"@id": entry.get("url") or local_id(entry["title"]), "@type": "ScholarlyArticle"}
    found |= {"name": entry["title"], "author": [author(one) for one in entry.get("authors", [])]}
    return found | ({"datePublished": str(entry["year"])} if "year" in entry else {})


def local_id(name: str) -> str:
    """An identifier within the crate."""
    return "#" + "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
