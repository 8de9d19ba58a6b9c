"""Download a list's images into raw WebDataset shards, with img2dataset; goes on after an interruption."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import getproxies

from m3ae.config import Run
from m3ae.data.download.guard import guard_of
from m3ae.data.download.layout import list_folder, pass_folder
from m3ae.data.download.passes import Machine, bring_pass
from m3ae.data.download.report import HOSTS, count_outcomes, write_hosts
from m3ae.data.download.resume import discard_unlike, finished_shards
from m3ae.data.download.server import serve_folder
from m3ae.data.source.sources import served_folder
from m3ae.errors import UserError
from m3ae.files import sha256_of, write_text

DISTRIBUTORS: dict[str, str | None] = {"multiprocessing": None, "ray": "ray", "pyspark": "pyspark"}
"""img2dataset's ways to many workers, and the package that each needs."""


def download_split(
    run: Run, split: str, processes: int, threads: int, distributor: str = "multiprocessing"
) -> None:
    """Download a split's images, and write the report when every shard of every pass is there.

    Shards that an interrupted call finished are kept if list and settings are the same. With another
    distributor, workers on other machines need this package and the folder of the run; per machine there
    are so many connections to a host, and images that this machine serves itself stay out of their reach.
    Raises UserError if the list is broken, img2dataset fails as a whole, or nothing came at all.
    """
    check_distributor(distributor)
    from m3ae.data.download.table import write_first, write_retries

    path, folder, report = run.paths.list(split), run.paths.raw(split), run.paths.download(split)
    identity = {"list_sha256": sha256_of(existing(path)), "settings": run.stage("download")}
    kept = {**identity, "settings": {**run.stage("download"), "passes": "any"}}  # more go on from those here
    settings = run.settings.data.download
    with proxies_for(run) as proxies:
        machine = Machine(processes, threads, distributor, guard_of(settings, proxies))
        discard_unlike(folder, report, kept)
        if not list_folder(folder, 1).is_dir():
            write_first(path, list_folder(folder, 1), settings.shard_samples)
        bring_pass(run, folder, 1, machine)
        num_passes = 1
        for number in range(2, settings.passes + 1):
            before, retries = pass_folder(folder, number - 1), list_folder(folder, number)
            count, digest = write_retries(before, retries, settings.shard_samples)
            if not count:
                break
            discard_unlike(pass_folder(folder, number), report, {**kept, "retries_sha256": digest})
            bring_pass(run, folder, number, machine)
            num_passes = number
    write_report(report, folder, path, num_passes, identity)


def check_distributor(name: str) -> None:
    """Raise UserError for a distributor that is unknown, or whose package is missing."""
    if name not in DISTRIBUTORS:
        raise UserError(f"distributor: expected one of {', '.join(DISTRIBUTORS)}, got {name!r}")
    package = DISTRIBUTORS[name]
    if package is not None and find_spec(package) is None:
        raise UserError(f"distributor {name}: needs the package {package}; pip install {package}")


def existing(path: Path) -> Path:
    """The list. Raises UserError if it is missing."""
    if not path.is_file():
        raise UserError(
            f"{path}: expected a list `url<TAB>caption`, found nothing; make it: m3ae data source --run RUN"
        )
    return path


@contextmanager
def proxies_for(run: Run) -> Iterator[dict[str, str]]:
    """The proxies of the user's environment; our own server where the images are of this machine."""
    root = served_folder(run)
    if root is None:
        yield getproxies()
        return
    with serve_folder(root) as port:
        yield {"http": f"http://127.0.0.1:{port}"}


def write_report(path: Path, folder: Path, listed: Path, num_passes: int, identity: dict[str, Any]) -> None:
    """Count what came and what did not; the report comes last, so that it says that all is there."""
    shard_samples = identity["settings"]["shard_samples"]
    outcome, hosts = count_outcomes(folder, num_passes, shard_samples, listed)
    downloaded = sum(
        shard["successes"]
        for number in range(num_passes)
        for shard in finished_shards(pass_folder(folder, number + 1))
    )
    assert downloaded == outcome["downloaded"], f"{downloaded} in img2dataset's reports: {outcome}"
    if not downloaded:
        raise UserError(
            f"{folder}: expected images, got none from {outcome['urls']} URLs "
            f"({common(outcome['failed'])}); check the network and {listed}, then remove {folder} "
            "and run again"
        )
    write_hosts(path.with_name(path.stem + HOSTS), hosts)
    write_text(path, json.dumps({**outcome, **identity}, indent=1) + "\n")


def common(failed: dict[str, int]) -> str:
    """The three most frequent reasons."""
    return (
        ", ".join(f"{reason}: {count}" for reason, count in Counter(failed).most_common(3))
        or "no reason given"
    )
