"""The workflow itself: plans of the three runs, a whole small run, and what a change plans."""

import re
import shutil

import pytest
import yaml

from forked import snakemake
from m3ae.config import load_run
from m3ae.config.launch import given
from m3ae.config.printed import figure_models
from small_project import CHECKOUT, MICRO, make_config

SOURCE = {"num_train": 60, "num_heldout": 24, "num_probe_train": 80, "num_probe_test": 40, "bad_share": 0.1}
STEPS = {
    "models": {"m3ae-b100": {"epochs": 2}, "mae-b100": {"epochs": 2}},
    "rows": ["m3ae-b100", "untrained-b"],
}
PROBE = {"epochs": 4, "warmup_epochs": 1, "base_lrs": [1.0]}


def planned(folder, *arguments, call=snakemake):
    """The rules that a dry run plans, with their number of jobs; `all` aside."""
    code, text = call(folder, *arguments, "--dry-run", "--quiet", "rules")
    assert code == 0, text
    table = re.findall(r"^(\w+) +(\d+)$", text, re.M)
    return {rule: int(count) for rule, count in table if rule not in ("total", "all", "job")}


def copy_project(folder):
    """The files that the workflow consists of, as a clone has them."""
    for name in ("workflow", "profiles", "config"):
        shutil.copytree(CHECKOUT / name, folder / name)
    shutil.copytree(CHECKOUT / "reports/templates", folder / "reports/templates")
    shutil.copy(CHECKOUT / "Snakefile", folder)


def micro_settings(**changes):
    figures_alone = {"extended": None, "language": None}  # what is beyond them: test_extended.py
    settings = {**MICRO, **STEPS, "data": {"source": SOURCE}, "probe": PROBE, "statistics": {"draws": 100}}
    settings |= figures_alone
    return {**settings, **changes}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder in which the run `micro` was made."""
    folder = tmp_path_factory.mktemp("workflow")
    copy_project(folder)
    make_config(folder, **micro_settings())
    code, text = snakemake(folder, "all", "--config", "run=micro")
    assert code == 0, text[-4000:]
    return folder


@pytest.mark.parametrize(("name", "models"), [("tiny", 21), ("photos", 35), ("paper", 21)])
def test_the_whole_of_each_run_can_be_planned(tmp_path, monkeypatch, name, models):
    copy_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = load_run(name)
    rules = planned(tmp_path, "all", "--config", f"run={name}")
    assert rules["pretrain"] + rules["given_encoder"] == rules["probe"] == len(run.models) == models
    assert rules["given_encoder"] == len(given(run)) == (2 if name == "paper" else 1)  # `paper` takes DeiT-B
    assert (rules["features"], rules["features_and_layers"]) == (models - 4, 4)
    for rule in ("more_probes", "all_scores", "changed_images", "attacks"):
        assert rules[rule] == 4
    assert rules.get("text_side", 0) == len(run.readers) == (2 if run.settings.language else 0)
    assert rules["ood"] == len(figure_models(run, "figure6"))
    assert rules["heldout"] == len(run.rebuilding)  # CLIP and supervised training rebuild nothing
    assert rules.get("concepts", 0) == (models if run.settings.concepts else 0)
    assert rules.get("pointing", 0) == (name == "tiny")  # places are known of scenes that are made here
    assert rules.get("evalset", 0) == {"tiny": 0, "photos": 3, "paper": 10}[name]
    assert rules.get("made_evalsets", 0) == (name == "tiny")  # all at once
    for rule in (
        "source",
        "tokens",
        "figure2",
        "figure3",
        "figure4",
        "figure5",
        "figure6",
        "figure7",
        "clusters",
        "figure9",
        "curves",
        "compute",
        "probes",
        "detection",
        "shift",
        "robustness",
        "report",
    ):
        assert rules[rule] == 1
    assert rules.get("captions", 0) == (run.settings.language is not None)
    assert "augmented" not in rules  # as dear as the passes of the encoder that it makes
    assert run.augmented_tasks


def test_heads_on_augmented_images_are_a_target_of_their_own(tmp_path):
    copy_project(tmp_path)
    rules = planned(tmp_path, "augmented")
    assert (rules["augmented"], rules["augmented_heads"], rules["probe"], rules["pretrain"]) == (1, 4, 4, 4)
    assert "heldout" not in rules


@pytest.mark.slow
def test_a_small_run_makes_every_target(project):
    for name in (
        "index.html",
        "figure2.png",
        "figure3.csv",
        "figure3.md",
        "figure3.svg",
        "figure6.csv",
        "figure7.png",
        "figure8.csv",
        "figure9.svg",
        "summary.json",
    ):
        assert (project / "reports/micro" / name).stat().st_size > 0
    manifest = yaml.safe_load((project / "data/micro/shards/train/manifest.json").read_text())
    assert manifest["count"] == 60
    assert sum(manifest["rejected"].values()) == manifest["yield"]["images"] - 60 == 6


@pytest.mark.slow
def test_a_second_call_does_nothing(project):
    code, text = snakemake(project, "all", "--config", "run=micro")
    assert code == 0
    assert "Nothing to be done" in text


@pytest.mark.slow
def test_a_changed_probe_setting_plans_the_probe_and_what_follows(project):
    make_config(project, **micro_settings(probe={**PROBE, "epochs": 5}))
    try:
        rules = planned(project, "all", "--config", "run=micro")
    finally:
        make_config(project, **micro_settings())
    assert rules == {"probe": 2, "ood": 2, "figure3": 1, "figure6": 1, "compute": 1, "report": 1}


@pytest.mark.slow
def test_how_often_it_saves_and_logs_plans_nothing(project):
    make_config(project, **micro_settings(pretrain={"log_steps": 7, "checkpoint_minutes": 1.0}))
    try:
        assert planned(project, "all", "--config", "run=micro") == {}
    finally:
        make_config(project, **micro_settings())


@pytest.mark.slow
def test_a_changed_entry_of_the_registry_plans_the_listings_and_what_reads_them(project):
    path = project / "config/datasets.yaml"
    text = path.read_text()
    try:
        path.write_text(f"# a comment\n{text}")
        assert planned(project, "all", "--config", "run=micro") == {}
        path.write_text(text.replace("toy-textures-test.parquet", "toy-textures-te*.parquet"))
        rules = planned(project, "all", "--config", "run=micro")
    finally:
        path.write_text(text)
    assert rules["made_evalsets"] == 1
    assert not {"pretrain", "source", "download", "tokens", "heldout"} & set(rules)


@pytest.mark.slow
def test_white_space_and_comments_in_a_rule_plan_nothing(project):
    path = project / "workflow/rules/evaluate.smk"
    text = path.read_text()
    changed = text.replace('"m3ae probe --run', '"m3ae  probe  --run').replace(
        "rule probe:", "# why\nrule probe:"
    )
    assert changed != text
    path.write_text(changed)
    try:
        assert planned(project, "all", "--config", "run=micro") == {}
    finally:
        path.write_text(text)


@pytest.mark.slow
def test_a_single_figure_is_a_target(project):
    (project / "reports/micro/figure3.md").unlink()
    assert planned(project, "figure3", "--config", "run=micro") == {"figure3": 1}


def test_an_unknown_run_or_setting_is_one_clear_line(tmp_path):
    copy_project(tmp_path)
    code, text = snakemake(tmp_path, "-n", "all", "--config", "run=tinny")
    assert code != 0
    assert "run 'tinny': expected a file config/tinny.yaml" in text
    code, text = snakemake(tmp_path, "-n", "all", "--config", "lr=3")
    assert code != 0
    assert "--config: expected run, data_root; got ['lr']" in text
