"""``m3ae export-crate``: an RO-Crate that readers and validators accept, and that holds nothing of others."""

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import arcp
import pytest
import yaml
from click.testing import CliRunner
from rocrate.rocrate import ROCrate

import made_records as made
from linked_records import MODELS, sha256, with_inputs, write_linked
from m3ae.cli.main import main
from m3ae.files import sha256_of
from m3ae.provenance.crate.build import address_of
from m3ae.provenance.crate.citation import read_citation
from m3ae.records import read_record
from m3ae.report.figures import make_figure
from small_project import CHECKOUT

M3AE, MAE = MODELS
ENCODER = Path(f"results/tiny/{M3AE}/encoder.safetensors")
METADATA = "ro-crate-metadata.json"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A finished run of two models in the current folder, and its crate in `crate`."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = made.make_project(folder)
        shutil.copytree(CHECKOUT / "workflow/rules", "workflow/rules")
        for name in ("Snakefile", "CITATION.cff", "LICENSE", "README.md", "constraints.txt"):
            shutil.copy(CHECKOUT / name, name)
        records = write_linked(run)
        for figure in ("figure3", "figure6"):
            make_figure(run, figure)
        for name in ("figure2.png", "figure7.svg", "figure8.csv", "index.html", "report.ipynb"):
            (run.paths.reports / name).write_text("NOT OURS TO PUBLISH")
        result = export("crate")
        assert result.exit_code == 0, result.output
        yield records


def export(*arguments):
    return CliRunner().invoke(main, ["export-crate", "--run", "tiny", *map(str, arguments)])


def graph(folder="crate"):
    entities = json.loads(Path(folder, METADATA).read_text())["@graph"]
    return {entity["@id"]: entity for entity in entities}


def ids(value):
    """The identifiers that a property points at."""
    return [entry["@id"] for entry in (value if isinstance(value, list) else [value])]


def references(value):
    """Every identifier below a property."""
    if isinstance(value, dict):
        yield from [value["@id"]] if set(value) == {"@id"} else []
        value = [part for key, part in value.items() if key != "@id"]
    for part in value if isinstance(value, list) else []:
        yield from references(part)


def test_its_own_reader_finds_every_file_with_the_stated_bytes(project):
    crate = ROCrate("crate")
    for entity in crate.data_entities:
        path = Path("crate", entity.id)
        assert sha256_of(path) == entity["sha256"]
        assert path.read_bytes() == Path(entity.id).read_bytes()
    names = {entity.id for entity in crate.data_entities}
    assert {path.as_posix() for path in project.values()} <= names
    assert {"Snakefile", "workflow/rules/pretrain.smk", "constraints.txt", "config/tiny.yaml"} <= names
    assert {"config/paper.yaml", "reports/tiny/figure3.csv", "reports/tiny/figure6.svg"} <= names


def test_the_root_says_what_it_is_and_whose(project):
    entities = graph()
    root = entities["./"]
    stated = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert ids(root["mainEntity"]) == ["Snakefile"]
    assert entities["Snakefile"]["@type"] == ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    assert ids(root["license"]) == [f"https://spdx.org/licenses/{stated['license']}"]
    assert [entities[i]["name"] for i in ids(root["author"])] == [a["name"] for a in stated["authors"]]
    assert [entities[i]["name"] for i in ids(root["citation"])] == [r["title"] for r in stated["references"]]
    assert {i.split("/")[-2] for i in ids(root["conformsTo"])} == {"process", "workflow", "workflow-ro-crate"}


def test_nothing_is_named_that_is_not_described(project):
    entities = graph()
    outside = ("https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0")
    missing = {i for i in references(list(entities.values())) if i not in entities} - set(outside)
    assert not missing


def test_every_record_is_the_result_of_one_action_and_what_it_read_is_its_object(project):
    entities = graph()
    stages = [e for i, e in entities.items() if i.startswith("#stage/")]
    assert len(stages) == 10
    for path in project.values():
        (action,) = [e for e in stages if path.as_posix() in ids(e["result"])]
        record = read_record(path)
        objects = [entities[i] for i in ids(action["object"])]
        assert {o["sha256"] for o in objects if "sha256" in o} == set(record.inputs.values())
        (settings,) = [o["value"] for o in objects if o["@type"] == "PropertyValue"]
        assert json.loads(settings) == record.settings
        instrument = entities[ids(action["instrument"])[0]]
        assert record.provenance["commit"] in instrument["softwareVersion"]
        libraries = {entities[i]["name"] for i in ids(instrument["softwareRequirements"])}
        assert libraries == set(record.provenance["versions"])
        assert (action["startTime"], action["endTime"]) == (
            "1999-12-31T23:59:48+00:00",
            "2000-01-01T00:00:00+00:00",
        )


def test_what_a_stage_made_is_what_the_next_one_read(project):
    entities = graph()
    weights = address_of(sha256(f"{M3AE} weights"))
    assert weights in ids(entities[f"#stage/{M3AE}/pretrain"]["result"])
    for stage in ("features", "probe", "ood", "heldout"):
        assert weights in ids(entities[f"#stage/{M3AE}/{stage}"]["object"])
    assert weights not in ids(entities["#run"]["object"])  # made within the run
    assert address_of(sha256("train")) in ids(entities["#run"]["object"])
    assert project[f"{M3AE}/probe"].as_posix() in ids(entities["#table/figure3"]["object"])


def test_bytes_outside_have_the_address_that_arcp_gives():
    import hashlib

    assert address_of(hashlib.sha256(b"some bytes").hexdigest()) == arcp.arcp_hash(b"some bytes")


def test_no_picture_page_or_caption_goes_in(project):
    names = {path.name for path in Path("crate").rglob("*") if path.is_file()}
    assert not {name for name in names if name.endswith((".png", ".html", ".ipynb", ".jpg"))}
    assert not {"figure7.svg", "figure8.csv"} & names
    assert not any(path.is_file() and "NOT OURS" in path.read_text() for path in Path("crate").rglob("*"))


def test_the_same_run_gives_the_same_metadata(project):
    assert export("again").exit_code == 0
    assert Path("again", METADATA).read_bytes() == Path("crate", METADATA).read_bytes()


def test_artifacts_go_in_on_demand_where_their_bytes_are_the_records(project):
    path, before = project[f"{M3AE}/pretrain"], project[f"{M3AE}/pretrain"].read_bytes()
    ENCODER.write_bytes(b"weights")
    try:
        assert export("other-bytes", "--artifacts").exit_code == 0
        with_inputs(path, {}, weights_sha256=sha256_of(ENCODER))
        assert export("with", "--artifacts", "--agent", "Jane Doe").exit_code == 0
    finally:
        path.write_bytes(before)
        ENCODER.unlink()
    assert ENCODER.as_posix() not in graph("other-bytes")
    found = graph("with")
    assert ENCODER.as_posix() in ids(found[f"#stage/{M3AE}/pretrain"]["result"])
    assert Path("with", ENCODER).read_bytes() == b"weights"
    assert found[ids(found["#run"]["agent"])[0]] == {
        "@id": "#jane-doe",
        "@type": "Person",
        "name": "Jane Doe",
    }


def test_an_archive_holds_the_same(project):
    assert export("crate.zip").exit_code == 0
    with zipfile.ZipFile("crate.zip") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    folder = {
        p.relative_to("crate").as_posix(): p.read_bytes() for p in Path("crate").rglob("*") if p.is_file()
    }
    assert held == folder


def test_people_of_a_citation_have_their_identifiers(tmp_path):
    path = tmp_path / "CITATION.cff"
    path.write_text(
        "title: T\nversion: 1\nlicense: MIT\nauthors:\n"
        "  - {given-names: Jane, family-names: Doe, orcid: 'https://orcid.org/0000-0002-1825-0097'}\n"
    )
    assert read_citation(path).authors == [
        {"@id": "https://orcid.org/0000-0002-1825-0097", "@type": "Person", "name": "Jane Doe"}
    ]


@pytest.mark.parametrize(
    ("run", "out", "line"),
    [("tiny", "crate", "crate: is there already"), ("photos", "new", "results/photos: no records there")],
)
def test_mistakes_are_one_line(project, run, out, line):
    result = CliRunner().invoke(main, ["export-crate", "--run", run, out])
    assert result.exit_code == 1
    assert line in result.stderr
    assert result.stderr.count("\n") == 1


VALIDATE = """
import sys
import requests
from rocrate_validator import services

def request(self, method, url, *arguments, **options):
    assert url.startswith("https://w3id.org/ro/crate/1.1"), url
    answer = requests.Response()
    answer.status_code, answer._content, answer.url = 200, open(sys.argv[2], "rb").read(), url
    answer.headers["Content-Type"] = "application/ld+json"
    return answer

requests.Session.request = request
settings = {"rocrate_uri": sys.argv[1], "profile_identifier": "workflow-run-crate-0.5",
            "requirement_severity": "REQUIRED", "no_cache": True}
found = services.validate(settings)
print(*{issue.message for issue in found.get_issues()}, sep="\\n")
sys.exit(found.has_issues())
"""


def test_the_validator_finds_all_that_is_required(project, tmp_path):
    """Without a network: the context is the one that the library brings, with the terms of 1.1."""
    program = shutil.which("rocrate-validator")
    if not program:
        pytest.skip("rocrate-validator is not installed: pip install roc-validator")
    import rocrate

    context = json.loads(Path(rocrate.__file__).with_name("data").joinpath("ro-crate.jsonld").read_text())
    for term in ("ComputationalWorkflow", "FormalParameter", "input", "output"):
        place = "ComputationalWorkflow#" if term in ("input", "output") else ""
        context["@context"][term] = f"https://bioschemas.org/{place}{term}"
    (tmp_path / "context.jsonld").write_text(json.dumps(context))
    command = [Path(program).with_name("python"), "-c", VALIDATE, "crate", tmp_path / "context.jsonld"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
