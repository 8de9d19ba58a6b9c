"""Which files of a project go into the crate of a run. Never a picture, page or caption of its data."""

from pathlib import Path

from m3ae.config.load import read_layers
from m3ae.config.pages import PAGE_NAMES
from m3ae.config.paths import Paths

CODE = (
    "Snakefile",
    "workflow/rules/*.smk",
    "constraints.txt",
    "pyproject.toml",
    "CITATION.cff",
    "LICENSE",
    "README.md",
    "dvc.yaml",
    "docs/*.md",
)
SETTINGS = ("config/datasets.yaml", "config/paper_numbers.csv", "config/classes/*")
PICTURES = ("figure2", "figure7", "figure8", "figure9", "data")
"""Targets that show images or captions, which may not be ours to publish."""
ENDINGS = (".csv", ".md", ".svg")
FORMATS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
    ".txt": "text/plain",
    ".toml": "application/toml",
    ".cff": "application/yaml",
    ".safetensors": "application/octet-stream",
}


def code_files() -> list[Path]:
    """The workflow, its environment and what explains it, those that are there."""
    return sorted(path for pattern in CODE for path in Path().glob(pattern) if path.is_file())


def settings_files(run: str) -> list[Path]:
    """The run's configuration with everything that it extends, and the registries."""
    layers = [path for path, _ in read_layers(run)]
    return layers + sorted(path for pattern in SETTINGS for path in Path().glob(pattern) if path.is_file())


def target_files(run: str) -> dict[str, list[Path]]:
    """Tables and charts by target, pictures aside."""
    reports = Paths(run).reports
    targets = [name for name in PAGE_NAMES if name not in PICTURES]
    found = {
        name: [path for end in ENDINGS if (path := reports / f"{name}{end}").is_file()] for name in targets
    }
    return {name: paths for name, paths in found.items() if paths}


def other_results(run: str) -> list[Path]:
    """The summary, and the step logs as they are published."""
    reports = Paths(run).reports
    return [
        path for path in [reports / "summary.json", *sorted(reports.glob("logs/*.jsonl"))] if path.is_file()
    ]


def format_of(path: Path) -> str:
    """The media type."""
    return FORMATS.get(path.suffix, "text/plain")
