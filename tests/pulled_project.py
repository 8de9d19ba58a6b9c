"""A small finished run, published with git and DVC, and a fresh clone of it into which it was pulled."""

import re
import shutil
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner

from forked import snakemake
from m3ae.artifacts.receipts import receipt
from m3ae.cli.main import main
from m3ae.config import Run, load_run
from m3ae.config.pages import PAGE_NAMES
from m3ae.config.printed import figure_models
from m3ae.files import sha256_of
from m3ae.records import Record
from raw_shards import write_raw
from small_project import CHECKOUT, answer
from test_dvc import dvc, git
from test_workflow import copy_project, make_config, micro_settings

RUN = ("--config", "run=micro")
FIGURES = [*(f"figure{number}" for number in (2, 3, 4, 5, 6, 9)), "curves", "compute"]

SIZE = {"width": 16, "depth": 1, "heads": 2}


def settings(**changes) -> dict:
    """Two models: one that Figures 3 and 6 show, one that Figure 4 shows."""
    small = {
        "models": {"m3ae-b100": {"epochs": 2}, "m3ae-s50": {"epochs": 1}},
        "rows": ["m3ae-b100", "m3ae-s50"],
        "architecture": {"sizes": {"b": SIZE, "s": SIZE}, "decoder": SIZE},
    }
    return micro_settings(**{**small, **changes})


def command(*words: str) -> None:
    """A command of ours, in this process."""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output


def make_run(folder: Path) -> None:
    """All that the workflow would make of `micro`, without starting a process for each job."""
    with chdir(folder):
        command("data", "source", "--run", "micro", "--only", "pairs")
        run = load_run("micro")
        for split, seeds in (("train", range(60)), ("heldout", range(60, 84))):
            write_raw(run, split, [answer(seed) for seed in seeds])
            command("data", "clean", "--run", "micro", "--split", split)
        command("data", "tokens", "--run", "micro")
        for dataset in run.eval_datasets:
            command("data", "evalset", "--run", "micro", "--dataset", dataset)
        for model in run.models:
            scored = model in figure_models(run, "figure6")
            for stage in ("pretrain", "heldout", "features", "probe", *(["ood"] * scored)):
                command(stage, "--run", "micro", "--model", model)
        make_looks(run, "m3ae-b100")
        command("clusters", "--run", "micro")
        command("figure", *FIGURES, "--run", "micro")
        make_report(run)


def make_looks(run: Run, model: str) -> None:
    """What Figures 7 and 8 would be made of: these captions name no digits that words could point at."""
    inputs = {"weights": sha256_of(run.paths.encoder(model))}
    inputs |= {"heldout_manifest": sha256_of(run.paths.manifest("heldout"))}
    inputs |= {"heldout_tokens": sha256_of(run.paths.tokens("heldout"))}
    settings = run.stage("pointing", model)
    record = Record(run=run.name, model=model, stage="pointing", settings=settings, inputs=inputs, seeds=[])
    record.write(run.paths.record(model, "pointing"))
    with receipt(run, "figure7"), receipt(run, "figure8"):
        run.paths.reports.mkdir(parents=True, exist_ok=True)
        for name in ("figure7", "figure8"):
            for ending in (".png", ".json", ".csv", ".md"):
                (run.paths.reports / f"{name}{ending}").write_text("{}\n")


ORDERINGS = ("orderings.csv", "orderings.md")


def make_report(run: Run) -> None:
    """Pages as short as can be: executing the notebook takes longer than all the rest."""
    with receipt(run, "report"):
        for name in [*(f"{page}.html" for page in PAGE_NAMES), "report.ipynb", "summary.json", *ORDERINGS]:
            (run.paths.reports / name).write_text("{}\n")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose results lie in its embedded remote, pushed by our own command."""
    folder = tmp_path_factory.mktemp("published") / "first"
    folder.mkdir()
    copy_project(folder)
    make_config(folder, **settings())
    for name in (".dvc/config", ".dvc/.gitignore", ".gitignore", ".dvcignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / name, folder / name)
    make_run(folder)
    git(folder, "init", "-q", "-b", "main")
    with chdir(folder):
        command("artifacts", "push", "--run", "micro")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "publish")
    return folder


@pytest.fixture(scope="module")
def pulled(published: Path) -> Path:
    """A fresh clone after `dvc pull`."""
    folder = published.parent / "second"
    git(published.parent, "clone", "-q", str(published), str(folder))
    dvc(folder, "pull", "-q")
    return folder


def plan(folder: Path, *targets: str) -> dict[str, int]:
    """Rules that a dry run plans, with their number of jobs."""
    return told_plan(folder, *targets)[0]


def told_plan(folder: Path, *targets: str) -> tuple[dict[str, int], str]:
    """The same, and all that the dry run says."""
    code, text = snakemake(folder, "-n", *(targets or ["all"]), "--quiet", "rules", *RUN)
    assert code == 0, text
    table = re.findall(r"^(\w+) +(\d+)$", text, re.M)
    return {rule: int(count) for rule, count in table if rule not in ("total", "all", "job")}, text
