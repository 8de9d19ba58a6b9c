"""Figure 9: neighbours and silhouette against scikit-learn's own, and a map from records alone."""

import re

import numpy as np
import pytest
from click.testing import CliRunner
from markupsafe import Markup
from sklearn.metrics import pairwise_distances, silhouette_samples, silhouette_score
from sklearn.neighbors import KNeighborsClassifier

import made_records as made
from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.errors import UserError
from m3ae.evaluate import clusters
from m3ae.evaluate.bootstrap import interval_of_difference, interval_of_mean
from m3ae.records import Items, Metric, read_record
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
    paired,
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
        patch.setattr(clusters, "checked_sha256", lambda stored, run, model: "0" * 64)
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


def test_earlier_records_have_a_difference_too(run):
    silhouettes = [Items.pack(np.linspace(0.1, one, NUM)) for one in (0.5, 0.4)]
    sides = [
        Metric(value=0, low=0, high=0, n=NUM, unit="silhouette", items={"silhouette": items})
        for items in silhouettes
    ]
    naive = interval_of_difference(*(one.unpack() for one in silhouettes), 2000, 0.95, run.settings.seed)
    found = paired(run, *sides, "halves")
    assert found.value == naive.value
    assert found.high - found.low == pytest.approx(2 * (naive.high - naive.low))


def test_the_silhouette_of_a_part_is_scikit_learns():
    x, classes = groups(1.0)
    rng = np.random.default_rng(0)
    distances, members = pairwise_distances(x), np.eye(7)[classes]
    for half in clusters.halves(classes, 5, rng):
        found = clusters.silhouette(distances, members, half)
        assert found == pytest.approx(silhouette_score(x[half], classes[half]))
        assert len(half) == len(set(half)) and set(np.bincount(classes[half])) == {NUM // 14}


def test_intervals_of_silhouettes_hold_the_truth():
    """Three classes of Gaussian points, 40 of each; the truth from 4,000."""
    rng = np.random.default_rng(0)

    def draw(num):
        classes = np.arange(3 * num) % 3
        return rng.normal(size=(3 * num, 8)) + 0.7 * np.eye(8)[classes], classes

    truth, held, naive = silhouette_score(*draw(1300)), 0, 0
    for seed in range(60):
        x, classes = draw(40)
        value = silhouette_score(x, classes)
        halves = clusters.silhouettes_of_halves(x, classes, 200, seed)
        _, low, high = clusters.spread_of_halves(value, halves, 0.95)
        held += low <= truth <= high
        _, low, high = interval_of_mean(silhouette_samples(x, classes), 200, 0.95, seed)
        naive += low <= truth <= high
    assert held >= 52
    assert naive < held


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
    items = [record.metrics["knn_accuracy"].items["correct"].unpack() for record in (m3ae, mae)]
    expected = interval_of_difference(*items, 2000, 0.95, run.settings.seed).times(100)
    found = table.loc[("M3AE - MAE", "knn_accuracy")]
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high), abs=1e-4)
    found, metrics = table.loc[("M3AE - MAE", "silhouette")], [r.metrics["silhouette"] for r in (m3ae, mae)]
    assert found["ours"] == pytest.approx(metrics[0].value - metrics[1].value, abs=1e-4)
    spread = np.std(metrics[0].items["halves"].unpack() - metrics[1].items["halves"].unpack())
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * spread, rel=0.1)
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
        clusters.chosen(run, Stored(run, "mae-b100"))
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(Stored, "labels", lambda *_: np.arange(NUM) % 70)
    with pytest.raises(UserError, match=r"expected more than 30 images \(neighbours, perplexity\), found 14"):
        clusters.chosen(run, Stored(run, "mae-b100"))
