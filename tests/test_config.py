"""Configuration: the three runs are valid, the schema is in step, and every mistake is one clear line."""

import json
import re

import jsonschema
import pytest
import yaml

from forked import snakemake
from m3ae.config import load_run
from m3ae.config.schema import SCHEMA, schema_text
from m3ae.errors import UserError
from small_project import CHECKOUT, make_config
from test_workflow import copy_project

RUNS = ["tiny", "photos", "paper"]


@pytest.mark.parametrize("name", RUNS)
def test_the_committed_runs_are_valid_and_state_their_batch(in_project, name):
    run = load_run(name)
    assert (
        run.settings.batch_size
        == yaml.safe_load((in_project / f"config/{name}.yaml").read_text())["batch_size"]
    )
    schema = json.loads(schema_text())
    jsonschema.validate(yaml.safe_load((in_project / f"config/{name}.yaml").read_text()), schema)


def test_the_committed_schema_is_the_models(in_project):
    assert (in_project / SCHEMA).read_text() == schema_text(), "run: m3ae config schema > config/schema.json"


def test_every_setting_has_a_description():
    schema = json.loads(schema_text())
    for name, definition in schema["$defs"].items():
        for key, field in definition.get("properties", {}).items():
            assert field.get("description") or key in ("kind", "source") or "$ref" in str(field), (
                f"{name}.{key}"
            )


def test_paper_is_complete_and_every_value_has_a_source():
    lines = (CHECKOUT / "config/paper.yaml").read_text().splitlines()
    assert "extends" not in yaml.safe_load("\n".join(lines))
    sourced = re.compile(r"#.*(\[(P|A|C|ours)\]|Figure|https?:)|^\S.*#.*\[")
    unsourced, inherited = [], ""
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        if indent == 0:
            inherited = line
        if ": " in line.split("#")[0] and not sourced.search(line) and not sourced.search(inherited):
            unsourced.append(line)
    named = [
        line for line in unsourced if not line.strip().startswith(("title", "s:", "b:", "l:", "h:", "kind:"))
    ]
    assert named == []


MISTAKES = {
    "an unknown key": (
        {"pretrain": {"base_lrr": 1.0}},
        r"^config/micro\.yaml: pretrain\.base_lrr: unknown key; expected one of .*; did you mean 'base_lr'\?",
    ),
    "an unknown section": (
        {"pretrian": {}},
        r"^config/micro\.yaml: pretrian: unknown key; .*did you mean 'pretrain'\?",
    ),
    "a number that YAML reads as text": (
        {"pretrain": {"base_lr": "2e-4"}},
        r"^config/micro\.yaml: pretrain\.base_lr: .*'2e-4' \(str\); YAML reads it as text, write 2\.0e-4",
    ),
    "a whole number in quotes": (
        {"batch_size": "64"},
        r"^config/micro\.yaml: batch_size: .*integer, got '64' \(str\); YAML reads it as text, write 64$",
    ),
    "a whole number with an exponent": (
        {"batch_size": "1e3"},
        r"batch_size: .*integer, got '1e3' \(str\); YAML reads it as text, write 1000$",
    ),
    "a text that is no whole number": (
        {"batch_size": "2.5"},
        r"batch_size: .*integer, got '2\.5' \(str\)$",
    ),
    "a wrong type": (
        {"batch_size": "many"},
        r"^config/micro\.yaml: batch_size: .*integer, got 'many' \(str\)$",
    ),
    "a share beyond 1": (
        {"pretrain": {"image_mask_ratio": 1.5}},
        r"^config/micro\.yaml: pretrain\.image_mask_ratio: expected less than 1, got 1\.5",
    ),
    "no patch that is hidden": (
        {"pretrain": {"image_mask_ratio": 0.0}},
        r"^config/micro\.yaml: pretrain\.image_mask_ratio: .*greater than 0, got 0\.0",
    ),
    "no patch that is seen": (
        {"pretrain": {"image_mask_ratio": 1.0}},
        r"^config/micro\.yaml: pretrain\.image_mask_ratio: .*less than 1, got 1\.0",
    ),
    "no patch that is seen, by their number": (
        {"pretrain": {"image_mask_ratio": 0.99}},
        r"pretrain\.image_mask_ratio: .* some of 16 patches and leaves some, got 0\.99, which hides 16 \(\w+",
    ),
    "no word that is hidden": (
        {"pretrain": {"text_mask_ratio": 0.0}},
        r"^config/micro\.yaml: pretrain\.text_mask_ratio: .*greater than 0, got 0\.0",
    ),
    "no word that is hidden, of a row": (
        {"models": {"m3ae-b100": {"text_mask_ratio": 0.0}}},
        r"^config/micro\.yaml: models\.m3ae-b100\.text_mask_ratio: .*greater than 0, got 0\.0",
    ),
    "no word that is hidden, by their number": (
        {"models": {"m3ae-b100": {"text_mask_ratio": 1e-17}}},
        r"models\.m3ae-b100\.text_mask_ratio: .*hides some of \d+ word slots, got 1e-17, which hides 0",
    ),
    "a CLIP without pairs": (
        {"models": {"clip-b": {"paired_share": 0.0}}},
        r"models\.clip-b\.paired_share: expected more than 0 for a CLIP, .* got 0\.0; raise it",
    ),
    "a CLIP whose captions are all dropped": (
        {"rows": ["clip-b"], "pretrain": {"random_drop_text": 1.0}},
        r"pretrain\.random_drop_text: expected less than 1 for a CLIP, .* got 1\.0 \(clip-b\)",
    ),
    "a temperature below the least": (
        {"clip": {"temperature": 0.009}},
        r"^config/micro\.yaml: clip\.temperature: expected 1 / temperature .* = 100\.0, got .* 0\.009",
    ),
    "a temperature above the largest": (
        {"clip": {"temperature": 2.0}},
        r"^config/micro\.yaml: clip\.temperature: expected 1 / temperature from 1 .* got temperature 2\.0",
    ),
    "less than a step": (
        {"models": {"m3ae-b100": {"epochs": 0.001}}},
        r"models\.m3ae-b100\.epochs: expected 0 \(untrained\), or at least one .*, got 0\.001 epochs",
    ),
    "a row without a model": (
        {"rows": ["m3ae-b10"]},
        r"rows: expected one of models \(.*m3ae-b100.*\), got 'm3ae-b10'; did you mean 'm3ae-b100'\?",
    ),
    "a row that stands twice": (
        {"rows": ["m3ae-b100", "mae-b100", "m3ae-b100"]},
        r"rows: expected each row once, got 'm3ae-b100' twice",
    ),
    "a row without its size": (
        {"models": {"m3ae-b3": {"method": "m3ae", "epochs": 3}}},
        r"models\.m3ae-b3\.size: missing",
    ),
    "a row that is a word": (
        {"models": {"m3ae-b3": "m3ae"}},
        r"models\.m3ae-b3: expected keys with values \(epochs, method, .*\), got 'm3ae' \(str\)",
    ),
    "a row of no size": (
        {"models": {"m3ae-xl3": {"method": "m3ae", "size": "xl", "epochs": 3}}},
        r"models\.m3ae-xl3\.size: expected one of architecture\.sizes \(s, b, l, h\), got 'xl'",
    ),
    "a row without end": (
        {"models": {"m3ae-b3": {"method": "m3ae", "size": "b", "epochs": float("inf")}}},
        r"models\.m3ae-b3\.epochs: expected a finite number",
    ),
    "a text mask ratio of a model that reads no text": (
        {"models": {"mae-b100": {"text_mask_ratio": 0.5}}},
        r"models\.mae-b100\.text_mask_ratio: expected none, .* of method mae \(of m3ae alone\), got 0\.5",
    ),
    "a share of captions for labels": (
        {"models": {"supervised-b": {"paired_share": 0.5}}},
        r"models\.supervised-b\.paired_share: expected none, .*\(of m3ae and clip alone\), got 0\.5",
    ),
    "texts for CLIP": (
        {"models": {"clip-b": {"texts": 0.5}}},
        r"models\.clip-b\.texts: expected none, .* got 0\.5",
    ),
    "a name that leads out of the folder": (
        {"models": {"../mae": {"method": "mae", "size": "b", "epochs": 3}}},
        r"models: expected names of letters, .* got '\.\./mae'; rename the row",
    ),
    "a name of a repeat": (
        {"models": {"mae-b100-seed43": {"method": "mae", "size": "b", "epochs": 3}}},
        r"models: expected names .* without '-seed', .* got 'mae-b100-seed43'",
    ),
    "a further seed that is the first": (
        {"repeats": {"mae-b100": [43, 42]}},
        r"repeats\.mae-b100: expected seeds other than the row's own \(42\), each once, got 42 twice",
    ),
    "a further seed of no row": (
        {"repeats": {"mae-b10": [43]}},
        r"repeats: expected one of models .*did you mean 'mae-b100'\?",
    ),
    "a further seed of weights that are taken": (
        {"supervised": {"weights": "deit_base_patch16_224"}, "repeats": {"supervised-b": [43]}},
        r"repeats\.supervised-b: expected a row that is trained, .*taken \(deit_base_patch16_224\)",
    ),
    "a head on augmented images of no task": (
        {"extended": {"augmented": {"tasks": ["digits"]}}},
        r"extended\.augmented\.tasks: expected one of probe\.tasks \(.*digit.*\), got 'digits'",
    ),
    "a patch that does not fit": (
        {"architecture": {"patch_px": 7}},
        r"patch_px: expected a divisor of .* = 48, got 7",
    ),
    "heads that do not divide the width": (
        {"architecture": {"decoder": {"heads": 3}}},
        r"decoder has width 64 and 3 heads",
    ),
    "a base that does not exist": (
        {"extends": "tinny"},
        r"^run 'tinny': expected a file .*did you mean 'tiny'\?",
    ),
    "a circle": ({"extends": "micro"}, r"extends: the chain of runs comes back to 'micro'"),
    "a network that is none": (
        {"data": {"download": {"allow_networks": ["127.0.0.1/32", "intranet"]}}},
        r"data\.download\.allow_networks\.1: .*expected networks such as 10\.1\.0\.0/16, got 'intranet'",
    ),
    "a field of another source": (
        {"data": {"source": {"kind": "toy", "url": "x"}}},
        r"data\.source\.url: unknown key; expected one of",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_file_key_and_expectation(tmp_path, monkeypatch, name):
    changes, pattern = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path, **changes)
    with pytest.raises(UserError, match=pattern) as caught:
        load_run("micro")
    assert "\n" not in str(caught.value)


def test_the_file_that_is_named_is_the_one_that_sets_the_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    path = tmp_path / "config/tiny.yaml"
    path.write_text(path.read_text().replace("flip: false", "flip: maybe"))
    with pytest.raises(UserError, match=r"^config/tiny\.yaml: data\.image\.flip: .*'maybe'"):
        load_run("micro")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("a: [1", r"line \d: not valid YAML"),
        ("seed: 1\nseed: 2", "key 'seed' is written twice"),
        ("- a list", "expected a mapping of settings, got list"),
    ],
)
def test_broken_yaml_names_the_line(tmp_path, monkeypatch, text, pattern):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    (tmp_path / "config/micro.yaml").write_text(text)
    with pytest.raises(UserError, match=pattern):
        load_run("micro")


def test_an_identity_does_not_depend_on_the_order_of_keys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    before = json.dumps(load_run("micro").stage("pretrain", "m3ae-b100"))
    path = tmp_path / "config/micro.yaml"
    settings = yaml.safe_load(path.read_text())
    path.write_text("# a comment\n" + yaml.safe_dump(dict(reversed(settings.items())), sort_keys=False))
    assert json.dumps(load_run("micro").stage("pretrain", "m3ae-b100")) == before


def test_an_identity_holds_what_its_stage_depends_on_and_nothing_else(in_project):
    run = load_run("paper")
    pretrain = run.stage("pretrain", "m3ae-l50-text15")
    assert pretrain["recipe"]["text_mask_ratio"] == 0.15
    assert pretrain["encoder"] == {"depth": 24, "heads": 16, "width": 1024}
    assert "checkpoint_minutes" not in pretrain["recipe"]
    assert "probe" not in json.dumps(pretrain)
    assert run.stage("probe") == run.stage("probe", "m3ae-b100")


@pytest.mark.parametrize("name", [None, "", 7, 1e5, True, "../config/tiny", "a/b", ".tiny", "a b", "tiny\n"])
def test_a_run_whose_name_is_no_word_is_one_clear_line(in_project, name):
    with pytest.raises(UserError, match=r"^run .*: expected the name of a file in config/ .* such as tiny$"):
        load_run(name)


@pytest.mark.parametrize("given", ["run=", "run=7", "run=../config/tiny"])
def test_the_workflow_says_it_in_one_line_too(tmp_path, given):
    copy_project(tmp_path)
    code, text = snakemake(tmp_path, "-n", "--config", given)
    assert code == 1
    assert re.search(r"^run .*: expected the name of a file in config/", text, re.M), text
    assert "Traceback" not in text and "difflib" not in text


def test_a_run_may_have_dots_and_digits_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    (tmp_path / "config/2.lab_b-1.yaml").write_text("extends: micro\n")
    assert load_run("2.lab_b-1").settings == load_run("micro").settings
