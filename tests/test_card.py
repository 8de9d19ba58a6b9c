"""The model card says what the records say, and "-" where they say nothing."""

import json

import pytest
import yaml

from m3ae.data.manifest import Manifest, Shard, Yield, write_manifest
from m3ae.errors import UserError
from m3ae.files import sha256_of
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import save_encoder
from m3ae.pretrained.card import card
from m3ae.pretrained.facts import facts_from_records
from m3ae.records import Metric, Record

SMALL = Architecture(
    width=32, depth=2, num_heads=2, decoder_width=16, decoder_depth=1, decoder_num_heads=2,
    image_px=16, patch_px=4, vocab_size=50, max_tokens=8,
)  # fmt: skip


def plain(kind=None, **more):
    return {**SMALL.plain(), "origin": {"kind": kind, "source": "model.pkl"} if kind else {}, **more}


def rows(text):
    """The cells of every row of every table."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]


def section(text, name):
    return text.split(f"## {name}\n\n")[1].split("\n\n## ")[0].strip()


def write(folder, stage, weights, subject=None, metrics=None, **more):
    facts = {"details": {}, "settings": {"statistics": {"confidence": 0.9}}, "inputs": {"weights": weights}}
    facts |= {"run": "tiny", "model": "m3ae-x", "metrics": metrics or {}, "seeds": [1], **more}
    Record(stage=stage, subject=subject, **facts).write(
        folder / f"{stage}{f'-{subject}' if subject else ''}.json"
    )


@pytest.fixture
def encoder(tmp_path):
    """A project with a trained model of run tiny: weights, manifest and records."""
    path = tmp_path / "results/tiny/m3ae-x/encoder.safetensors"
    save_encoder(M3AE(SMALL), path)
    sha256 = sha256_of(path)
    manifest = tmp_path / "data/tiny/shards/train/manifest.json"
    write_manifest(
        manifest,
        Manifest(
            format=2, split="train", count=70, shards=[Shard(name="0.tar", count=70, bytes=9, sha256="ab")],
            yield_=Yield(rows=110, images=100, received=80, kept=70, share=0.7),
            rejected={"not downloaded": 20, "too small": 10}, index_sha256="cd", captions_sha256="ef",
            inputs={}, settings={},
        ),
    )  # fmt: skip
    write(
        path.parent, "pretrain", sha256,
        details={"weights_sha256": sha256, "samples": 12345, "steps": 678, "final": {"image_loss": 0.4321}},
        settings={"recipe": {"base_lr": 0.00037, "betas": [0.9, 0.95]}, "batch_size": 17, "version": 1},
        inputs={"train_manifest": sha256_of(manifest)},
    )  # fmt: skip
    accuracy = Metric(value=54.81, low=52.65, high=56.95, n=2000, unit="%")
    write(path.parent, "probe", sha256, "cifar10", {"accuracy": accuracy})
    area = Metric(value=61.25, low=60.5, high=62.5, n=300, unit="%")
    write(path.parent, "ood", sha256, "cifar10-textures", {"msp_auroc": area})
    write(
        path.parent, "heldout", sha256, None, {"image_error": accuracy.model_copy(update={"unit": "error"})}
    )
    return path


def test_the_card_carries_recipe_outcome_yield_and_every_result(in_project, encoder):
    text = card(plain("ours"), 1234567, facts_from_records(encoder))
    cells = rows(text)
    for row in [
        ["parameters", "1,234,567"], ["width", "32"], ["patch_px", "4"], ["norm_pix_loss", "no"],
        ["recipe.base_lr", "0.00037"], ["recipe.betas", "0.9, 0.95"], ["batch_size", "17"],
        ["samples", "12345"], ["steps", "678"], ["final.image_loss", "0.4321"],
        ["samples", "70"], ["yield.images", "100"], ["yield.received", "80"], ["yield.share", "70.0%"],
        ["rejected.too small", "10"], ["rejected.not downloaded", "20"],
        ["cifar10", "accuracy", "54.81 [52.65, 56.95]", "%", "2000"],
        ["cifar10-textures", "msp_auroc", "61.25 [60.5, 62.5]", "%", "300"],
        ["heldout", "image_error", "54.81 [52.65, 56.95]", "error", "2000"],
    ]:  # fmt: skip
        assert row in cells
    assert "value [90 % interval]" in text  # as the records' settings say
    assert "**TOY SCALE: numbers of this run say nothing about the paper's**" in text
    assert "far below the paper's" in section(text, "Limits")
    assert "# m3ae-x\n" in text
    assert "AdamW" in section(text, "Recipe")
    assert str(encoder.parents[3]) not in text
    assert text == card(plain("ours"), 1234567, facts_from_records(encoder))


def test_published_records_make_a_card(in_project):
    """The numbers of results/photos, which are in the repository (the weights are not)."""
    from m3ae.pretrained.facts import CardFacts, measured

    folder = in_project / "results/photos/m3ae-b100"
    pretrain = json.loads((folder / "pretrain.json").read_text())
    records = measured(folder, pretrain["details"]["weights_sha256"])
    facts = CardFacts("photos", "m3ae-b100", "", pretrain["settings"], pretrain["details"], {}, records)
    text = card(plain("ours"), 1, facts)
    found = json.loads((folder / "probe-cifar10.json").read_text())["metrics"]["accuracy"]
    interval = "{value:.4g} [{low:.4g}, {high:.4g}]".format(**found)
    assert ["cifar10", "accuracy", interval, "%", "2000"] in rows(text)
    assert ["recipe.base_lr", str(pretrain["settings"]["recipe"]["base_lr"])] in rows(text)
    assert {record.stage for record in records} == {"probe", "ood", "heldout", "concepts"}


def test_a_record_of_other_weights_is_left_out(in_project, encoder):
    write(
        encoder.parent,
        "probe",
        "00" * 32,
        "cifar10",
        {"accuracy": Metric(value=99, low=98, high=99, n=1, unit="%")},
    )
    text = card(plain("ours"), 1, facts_from_records(encoder))
    assert not [row for row in rows(text) if row[0] == "cifar10"]


def test_other_weights_than_the_records_are_refused(in_project, encoder):
    save_encoder(M3AE(SMALL), encoder)
    with pytest.raises(UserError, match=r"not the weights that .*pretrain.json speaks of"):
        facts_from_records(encoder)


def test_other_shards_than_those_trained_on_are_not_counted(in_project, encoder):
    manifest = encoder.parents[3] / "data/tiny/shards/train/manifest.json"
    trained_on = sha256_of(manifest)
    manifest.write_text(manifest.read_text() + "\n")
    text = card(plain("ours"), 1, facts_from_records(encoder))
    assert ["sha256 of the manifest", trained_on] in rows(text)
    assert "yield" not in text


def test_weights_without_records_have_no_facts(tmp_path, encoder):
    save_encoder(M3AE(SMALL), tmp_path / "encoder.safetensors")
    assert facts_from_records(tmp_path / "encoder.safetensors") is None
    assert facts_from_records(encoder.with_name("features.safetensors")) is None


def test_a_run_without_its_configuration_is_called_small(monkeypatch, tmp_path, encoder):
    monkeypatch.chdir(tmp_path)
    assert "Run 'tiny': a small run" in card(plain("ours"), 1, facts_from_records(encoder))


@pytest.mark.parametrize(
    ("kind", "licence", "said"),
    [
        ("authors", "apache-2.0", "young-geng/m3ae_public); the weights have no statement of their own"),
        ("facebook", "cc-by-nc-4.0", "CC-BY-NC-4.0, the licence of facebookresearch/mae"),
        ("ours", "apache-2.0", "Apache-2.0"),
        (None, "unknown", "-"),
    ],
)
def test_the_licence_is_that_of_the_origin(kind, licence, said):
    text = card(plain(kind), 1)
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == licence
    assert front["library_name"] == "m3ae"
    assert front["tags"] == ["masked-autoencoder", "vision-language"]
    assert said in section(text, "Licence")


def test_what_is_not_known_is_a_dash():
    text = card(plain(), 1)
    for name in ("Where the weights came from", "Recipe", "Training data", "Results", "Licence"):
        assert section(text, name) == "-"
    assert "An encoder alone" in section(card(plain(decoder_width=0), 1), "Limits")
    assert "2111.06377" in card(plain("facebook", vocab_size=0), 1)


def test_what_a_file_says_about_itself_stays_in_its_cell():
    text = card(plain(origin={"kind": ["x"], "source": "a|b\n# Title <script>"}), 1)
    assert r"a\|b # Title &lt;script>" in text
    assert "\n# Title" not in text
