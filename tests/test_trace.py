"""``m3ae trace``: back to data, code, settings and environment, forward to the cells, from records alone."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import made_records as made
from linked_records import MODELS, sha256, with_inputs, write_linked
from m3ae.cli.main import main
from m3ae.files import sha256_of
from m3ae.records import read_record
from m3ae.report.figures import make_figure

M3AE, MAE = MODELS
ENCODER = Path(f"results/tiny/{M3AE}/encoder.safetensors")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A finished run of two models in the current folder, tables and all, without any artifact."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = made.make_project(folder)
        records = write_linked(run)
        for figure in ("figure3", "figure6"):
            make_figure(run, figure)
        yield records


@pytest.fixture
def copied(project, tmp_path, monkeypatch):
    """The same in a folder of its own, to break."""
    shutil.copytree(Path.cwd(), tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return project


def trace(*arguments):
    return CliRunner().invoke(main, ["trace", *map(str, arguments)])


def plain(*arguments):
    return json.loads(trace(*arguments, "--json").output)


def test_back_from_a_result_to_every_input(project):
    found = plain(project[f"{M3AE}/ood"])
    stages = {found["records"][path]["stage"] for path in found["back"]["records"]}
    assert stages == {"ood", "probe", "features", "pretrain"}
    assert {found["records"][path]["model"] for path in found["back"]["records"]} == {M3AE}
    files = {f"{M3AE} weights", f"{M3AE} features", f"{M3AE} probe", "train", "words", "scenes", "textures"}
    assert set(found["back"]["files"]) == set(map(sha256, files))
    places = {place for sha in found["back"]["files"] for place in found["files"][sha]["places"]}
    assert {
        ENCODER.as_posix(),
        "data/tiny/shards/train/manifest.json",
        "data/tiny/tokens/train.arrow",
    } <= places
    assert "data/tiny/evalsets/toy-scenes.json" in places


def test_a_record_has_its_code_settings_and_environment(project):
    path = project[f"{M3AE}/pretrain"]
    facts = plain(path)["records"][path.as_posix()]
    record = read_record(path)
    assert facts["settings"] == record.settings
    assert facts["provenance"] == record.provenance
    assert facts["sha256"] == json.loads(path.read_text())["sha256"]


def test_forward_from_the_data_to_every_cell(project):
    found = plain(sha256("train")[:12])
    assert {found["records"][path]["model"] for path in found["forward"]["records"]} == {M3AE, MAE}
    assert len(found["forward"]["records"]) == 10
    cells = {(cell["model"], cell["metric"]) for cell in found["forward"]["cells"]}
    assert {(model, metric) for model in MODELS for metric in ("mahalanobis_auroc", "msp_auroc")} <= cells
    ours = {cell["ours"] for cell in found["forward"]["cells"] if cell["panel"] == "method"}
    assert {float(value) for value in ours} == {62.0, 44.0}


def test_forward_from_weights_reaches_their_own_model_alone(project):
    found = plain(ENCODER)  # it is not here: its place is enough
    assert {found["records"][path]["stage"] for path in found["forward"]["records"]} == {
        "features",
        "probe",
        "ood",
        "heldout",
    }
    assert {cell["model"] for cell in found["forward"]["cells"]} == {M3AE}


def test_a_table_its_chart_and_its_page_are_traced_to_their_records(project):
    found = [plain(f"reports/tiny/figure3{end}") for end in (".csv", ".svg", ".html")]
    probes = {project[f"{model}/probe"].as_posix() for model in MODELS}
    assert all(probes <= set(one["back"]["records"]) for one in found)
    assert not any("ood" in path for path in found[0]["back"]["records"])


def test_a_copy_is_known_by_its_bytes(copied, tmp_path):
    copy = tmp_path / "renamed.bin"
    copy.write_bytes(b"weights")
    for stage in ("features", "probe", "ood", "heldout"):
        path = copied[f"{M3AE}/{stage}"]
        with_inputs(path, {**read_record(path).inputs, "weights": sha256_of(copy)})
    with_inputs(copied[f"{M3AE}/pretrain"], {}, weights_sha256=sha256_of(copy))
    assert plain(copy)["files"][sha256_of(copy)]["made_by"] == [copied[f"{M3AE}/pretrain"].as_posix()]
    shutil.copy(copy, ENCODER)
    assert plain(ENCODER)["files"][sha256_of(copy)]["places"][ENCODER.as_posix()] == "here"


def test_weights_that_were_trained_anew_break_the_chain_and_are_told(copied):
    with_inputs(copied[f"{M3AE}/pretrain"], {}, weights_sha256=sha256("others"))
    path = copied[f"{M3AE}/probe"]
    assert plain(path)["records"][path.as_posix()]["broken"] == ["weights"]
    assert "no stage of this project states that it made these bytes" in trace(path).output


def test_a_file_with_other_bytes_is_told(copied):
    ENCODER.write_bytes(b"something else")
    assert (
        f"{ENCODER} (here with other bytes, {sha256_of(ENCODER)[:12]})"
        in trace(copied[f"{M3AE}/probe"]).output
    )
    result = trace(ENCODER)
    assert result.exit_code == 1
    assert "expected the bytes that its records name" in result.stderr


def test_the_tree_shows_each_branch_once(project):
    lines = trace(project[f"{M3AE}/ood"]).output.splitlines()
    back = lines[lines.index("made from") : lines.index("used by")]
    weights = [line for line in back if "weights: " in line]
    assert len(weights) == 3  # the OOD scores, the probe and the features read them
    assert sum(line.endswith("(above)") for line in weights) == 2
    assert sum(f"{M3AE}/pretrain.json: pretrain" in line for line in back) == 1
    assert any("code: commit c0ffeec0ffee, 2000-01-01T00:00:00Z" in line for line in back)
    assert any("environment: python 3.11, torch 2.13, A processor" in line for line in back)
    assert "figure6: Mahalanobis, mahalanobis_auroc = " in "\n".join(lines[lines.index("used by") :])


def test_a_cell_of_a_table_without_panels_or_metrics_is_named_by_model_and_stage(copied):
    """As those of Figure 9 and of the compute table."""
    path = copied[f"{M3AE}/probe"]
    tables = Path("reports/tiny")
    (tables / "compute.csv").write_text(f"model,stage,wall_s,record\n{M3AE},probe,77.7,{path}\n")
    (tables / "figure9.csv").write_text(f"model,metric,ours,record\n{M3AE},knn_accuracy,34.0,{path}\n")
    lines = trace(path).output
    assert f"compute: {M3AE}, probe (reports/tiny/compute.csv)" in lines
    assert f"figure9: {M3AE}, knn_accuracy = 34.0 (reports/tiny/figure9.csv)" in lines
    cells = plain(path)["forward"]["cells"]
    assert [cell["stage"] for cell in cells if cell["table"].endswith("compute.csv")] == ["probe"]


def state(path, **stated):
    """Let a record say which files its stage made."""
    record = read_record(path)
    record.model_copy(update={"provenance": {**record.provenance, **stated}}).write(path)


def test_a_hash_that_a_record_states_comes_before_a_guess(copied):
    """The features were made again from the same inputs; the probe is of those that were there before."""
    features, probe = copied[f"{M3AE}/features"], copied[f"{M3AE}/probe"]
    assert plain(probe)["records"][probe.as_posix()]["broken"] == []  # a guess: nothing is stated
    state(features, features_sha256=sha256("others"))
    found = plain(probe)
    assert found["records"][probe.as_posix()]["broken"] == ["features"]
    assert features.as_posix() not in found["back"]["records"]
    state(features, features_sha256=sha256(f"{M3AE} features"))
    assert plain(probe)["files"][sha256(f"{M3AE} features")]["made_by"] == [features.as_posix()]


def test_features_of_pairs_are_known_by_those_who_state_them(copied):
    heldout = copied[f"{M3AE}/heldout"]  # any record: `concepts` and `captions` state it
    state(heldout, pairs_sha256=sha256("pairs"))
    place = f"results/tiny/{M3AE}/pairs.safetensors"
    found = plain(place)
    assert found["files"][sha256("pairs")]["places"] == {place: "not here"}
    assert found["back"]["records"][0] == found["forward"]["records"][0] == heldout.as_posix()
    assert place in trace(heldout).output


def test_settings_are_listed_on_demand(project):
    path = project[f"{M3AE}/pretrain"]
    said = trace(path, "--settings").output
    for name, value in read_record(path).settings.items():
        assert f"{name} = {json.dumps(value)}" in said
        assert f"{name} = " not in trace(path).output


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("nothing.bin", "no record of this project knows it"),
        ("0123456789ab", "no record names a SHA-256 that begins so"),
        ("reports/tiny/figure5.svg", "no record stands behind it"),
        ("results/tiny/m3ae-b100/nothing.json", "no record of this project knows it"),
    ],
)
def test_what_no_record_knows_is_one_line(project, asked, line):
    result = trace(asked)
    assert result.exit_code == 1
    assert line in result.stderr
    assert result.stderr.count("\n") == 1


def test_every_published_record_has_an_unbroken_chain(in_project):
    """What the repository publishes for `photos`, down to the data."""
    from m3ae.provenance.chain import Chain
    from m3ae.provenance.found import records_of

    records = dict(records_of("photos"))
    chain = Chain(records)
    broken = [
        (str(path), name)
        for path, record in records.items()
        for name in record.inputs
        if chain.is_broken(record, name)
    ]
    assert not broken
    assert all(chain.files[sha] for record in records.values() for sha in record.inputs.values())
