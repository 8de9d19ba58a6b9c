"""Figure 9: neighbours and silhouette against scikit-learn's own, and a map from records alone."""

import re

import numpy as np
import pytest
from click.testing import CliRunner
from markupsafe import Markup
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

import made_records as made
from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.errors import UserError
from m3ae.evaluate import clusters
from m3ae.evaluate.bootstrap import interval_of_difference
from m3ae.records import read_record
from m3ae.report.cells import find_cell
from m3ae.report.explain import explain
from m3ae.report.figure9 import (
    INKS,
    NAMED,
    SHAPES,
    cell_commands,
    chart,
    clusters_table,
    make_figure9,
    numbers,
)

NUM, CLASSES = 140, 7
MODELS = ("mae-b100", "m3ae-b100")


def groups(spread, num=NUM, seed=0):
    """Points around a centre for each class."""
    rng = np.random.default_rng(seed)
    classes = np.arange(num) % CLASSES
    return rng.normal(size=(CLASSES, 6))[classes] * 3 + spread * rng.normal(size=(num, 6)), classes


class Stored:
    """Features as `m3ae features` stores them: M3AE's in tighter groups."""

    def __init__(self, run, model):
        self.x, self.classes = groups(1.0 if model.startswith("m3ae") else 3.0)

    def features(self, dataset, split):
        return self.x.astype(np.float32)

    def labels(self, dataset, split, label, num_classes):
        return self.classes


@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_are_those_of_a_classifier_that_leaves_the_image_out(k):
    x, classes = groups(3.0)
    found = clusters.neighbours_agree(x, classes, k)
    for i in range(NUM):
        others = np.arange(NUM) != i
        votes = KNeighborsClassifier(k, algorithm="brute").fit(x[others], classes[others])
        chances = votes.predict_proba(x[i : i + 1])[0]
        if (chances == chances.max()).sum() == 1:  # ties are ours to break
            assert found[i] == (chances.argmax() == classes[i])
    assert 0 < found.mean() < 1


def test_a_tie_goes_to_the_nearest_of_the_tied():
    x = np.array([[0.0], [1.0], [2.0], [30.0]])
    assert clusters.neighbours_agree(x, np.array([1, 1, 0, 0]), 2)[0]
    assert not clusters.neighbours_agree(x, np.array([0, 1, 0, 0]), 2)[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A project with records of both models, whose features are made up."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("project")
        patch.chdir(folder)
        made.make_project(folder)
        patch.setattr(clusters, "Features", Stored)
        run = load_run("tiny")
        for model in MODELS:
            run.paths.results(model).mkdir(parents=True)
            run.paths.features(model).touch()
        clusters.run_clusters(run, MODELS)
        yield run


def test_the_record_has_silhouette_and_accuracy_with_intervals_and_the_map(run):
    record = read_record(run.paths.record("m3ae-b100", "clusters"))
    x, classes = groups(1.0)
    order = np.argsort(classes, kind="stable")
    metric = record.metrics["silhouette"]
    assert metric.value == pytest.approx(silhouette_score(x[order], classes[order]), abs=1e-5)
    assert metric.low < metric.value < metric.high
    assert record.metrics["knn_accuracy"].n == NUM
    assert record.details["classes"] == ["red", "green", "blue", "yellow", "purple", "white", "black"]
    points = clusters.map_of(record)
    assert np.array_equal(points.classes, classes[order])
    assert points.x.shape == (NUM,) and np.isfinite(points.x).all()
    assert record.settings == run.stage("clusters", "m3ae-b100")


def test_tight_groups_stay_groups_on_the_map_and_the_map_is_the_same_every_time():
    x, classes = groups(0.3)
    placed = clusters.embed(x, 10.0, 42)
    assert clusters.neighbours_agree(placed, classes, 5).mean() > 0.95
    assert np.array_equal(placed, clusters.embed(x, 10.0, 42))


def test_the_figure_is_made_from_records_alone_with_the_paired_difference(run):
    make_figure9(run)
    paths = [run.paths.reports / f"figure9.{ending}" for ending in ("csv", "md", "svg", "png")]
    first = [path.read_bytes() for path in paths]
    make_figure9(run)
    assert [path.read_bytes() for path in paths] == first
    table = clusters_table(run).set_index(["model", "metric"])
    mae, m3ae = (read_record(run.paths.record(model, "clusters")) for model in MODELS)
    items = [record.metrics["silhouette"].items["silhouette"].unpack() for record in (m3ae, mae)]
    expected = interval_of_difference(*items, 2000, 0.95, run.settings.seed)
    found = table.loc[("M3AE - MAE", "silhouette")]
    assert found["ours"] == pytest.approx(expected.value, abs=1e-4)
    assert found["low"] == pytest.approx(expected.low, abs=1e-4) and found["low"] > 0
    assert "\n![" in (run.paths.reports / "figure9.md").read_text()
    shown = numbers(run)
    for model in MODELS:
        assert f'href="../../results/tiny/{model}/clusters.json"' in shown
        assert f"m3ae explain figure9.{model}.silhouette --run tiny" in cell_commands(run)
    assert "_" not in Markup(shown).striptags()
    page = chart(run)
    assert "nearest neighbours" in page and "data:image/svg+xml" in page


def test_every_number_of_the_figure_can_be_explained(run):
    for row in clusters_table(run).dropna(subset="record").to_dict("records"):
        found = explain(run, find_cell(run, f"figure9.{row['model']}.{row['metric']}"))
        assert found["ours"] == {"value": row["ours"], "low": row["low"], "high": row["high"]}
        assert [record["record"] for record in found["records"]] == [row["record"]]
        assert found["commands"] == [f"snakemake {row['record']} --config run=tiny"]
        assert (found["paper"], found["verdict"]) == ({}, "")
    with pytest.raises(UserError, match=r"figure9\.m3ae-b100\.knn_accuracy, figure9\.m3ae-b100\.silhouette"):
        find_cell(run, "figure9.m3ae-b100")
    told = CliRunner().invoke(main, ["explain", "figure9.mae-b100.silhouette"]).output
    assert re.search(r"ours +-?[\d.]+ \[.*\] \(95 % interval\), n = \d+; silhouette, -1 to 1\n", told)


def test_no_two_classes_look_alike():
    looks = {(INKS[n % len(INKS)], SHAPES[(n + 2 * (n // len(INKS))) % len(SHAPES)]) for n in range(10)}
    assert len(looks) == 10 and len(set(NAMED.values())) == 7


def test_too_few_images_are_refused_in_one_line(run, monkeypatch):
    monkeypatch.setattr(Stored, "labels", lambda *_: np.arange(NUM) % 6)
    with pytest.raises(
        UserError, match=r"two or more test images of class 6 of toy-scenes, found 0"
    ) as caught:
        clusters.chosen(run, "mae-b100")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(Stored, "labels", lambda *_: np.arange(NUM) % 70)
    with pytest.raises(UserError, match=r"expected more than 30 images \(neighbours, perplexity\), found 14"):
        clusters.chosen(run, "mae-b100")
