"""The picture of the workflow: it shows the rules that there are, and its layout keeps its promises."""

import itertools
import json
import xml.etree.ElementTree as ElementTree

import pytest

from forked import snakemake
from small_project import CHECKOUT
from test_workflow import copy_project

FILE = CHECKOUT / "docs/workflow.svg"
SVG = "{http://www.w3.org/2000/svg}"
DIAMOND = {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "d"), ("d", "e"), ("a", "e")}


@pytest.fixture
def layers(monkeypatch):
    monkeypatch.syspath_prepend(CHECKOUT / "workflow")
    import layers

    return layers


@pytest.fixture
def picture(layers):
    import picture

    return picture


def printed(folder, *words):
    """The lines of a Snakemake command, but for those that name its profile."""
    code, text = snakemake(folder, *words)
    assert code == 0, text
    return [line for line in text.splitlines() if not line.startswith("Using ")]


def test_the_committed_picture_shows_the_rules_that_there_are(picture, tmp_path, monkeypatch):
    """If this fails after a rule was added: python workflow/graph.py"""
    import graph

    copy_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(graph, "snakemake", lambda *words: printed(tmp_path, *graph.of_tiny(*words)))
    assert graph.differences(picture.drawn_graph(FILE), graph.read_graph()) == []


def test_a_rule_or_a_dependency_more_or_less_is_named(picture):
    from graph import differences

    drawn = picture.drawn_graph(FILE)
    assert differences(drawn, drawn) == []
    fewer = {"rules": drawn["rules"], "edges": [edge for edge in drawn["edges"] if edge[0] != "tokens"]}
    assert "docs/workflow.svg has edge ['tokens', 'pretrain'], the workflow has not" in differences(
        drawn, fewer
    )
    more = {"rules": {**drawn["rules"], "printed": "report"}, "edges": drawn["edges"]}
    assert differences(drawn, more) == ["docs/workflow.svg lacks rule printed"]
    assert differences({}, drawn)


def test_every_rule_is_drawn_once_with_its_name():
    root = ElementTree.parse(FILE).getroot()
    graph = json.loads(root.find(f"{SVG}metadata").text)
    drawn = [node for node in root.iter(f"{SVG}g") if "data-rule" in node.attrib]
    assert sorted(node.attrib["data-rule"] for node in drawn) == sorted(graph["rules"])
    assert all(node.find(f"{SVG}text").text == node.attrib["data-rule"] for node in drawn)
    edges = [node.attrib["data-edge"].split() for node in root.iter(f"{SVG}path")]
    assert edges and all(edge in graph["edges"] for edge in edges)


def test_the_picture_can_be_heard_and_fits_both_schemes():
    root = ElementTree.parse(FILE).getroot()
    assert root.attrib["role"] == "img" and root.attrib["aria-labelledby"] == "title desc"
    assert "pretrain needs " in root.find(f"{SVG}desc").text
    assert "prefers-color-scheme:dark" in root.find(f"{SVG}style").text
    assert "http" not in FILE.read_text().replace("http://www.w3.org/2000/svg", "")


def test_no_boxes_overlap():
    root = ElementTree.parse(FILE).getroot()
    boxes = [node.find(f"{SVG}rect").attrib for node in root.iter(f"{SVG}g") if "data-rule" in node.attrib]
    for one, other in itertools.combinations(boxes, 2):
        apart = [abs(float(one[axis]) - float(other[axis])) for axis in ("x", "y")]
        assert apart[0] >= float(one["width"]) or apart[1] >= float(one["height"])


def test_edges_that_longer_paths_imply_are_left_out(layers):
    assert layers.reduced(DIAMOND) == [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e")]


def test_every_edge_leads_downwards_through_each_layer(layers):
    layout = layers.lay_out(list("abcde"), [*layers.reduced(DIAMOND), ("a", "e")])
    for (start, end), points in layout.route.items():
        assert points[0] == layout.place[start] and points[-1] == layout.place[end]
        depths = [layer for _, layer in points]
        assert depths == list(range(depths[0], depths[-1] + 1))


def test_the_order_of_rules_and_edges_changes_nothing(picture):
    graph = {"rules": dict.fromkeys("abcde", "data"), "edges": sorted(map(list, DIAMOND))}
    turned = {"rules": dict.fromkeys("edcba", "data"), "edges": graph["edges"][::-1]}
    one, other = (picture.drawing(each).split("</metadata>")[1] for each in (graph, turned))
    assert one == other and one.count("data-edge") == 5


def test_lines_that_can_be_uncrossed_are(layers):
    edges = [("a", "z"), ("b", "y"), ("c", "x")]
    layout = layers.lay_out(list("abcxyz"), edges)
    tops = sorted("abc", key=lambda node: layout.place[node][0])
    below = sorted("xyz", key=lambda node: layout.place[node][0])
    assert [dict(edges)[node] for node in tops] == below
