"""Pairs, images alone and passages in one step; and what a training on them is identified by."""

import json
import shutil

import pytest
import torch

from m3ae.config import Run, load_run
from m3ae.config.load import merge
from m3ae.config.models import RunSettings
from m3ae.data.passages import make_passages
from m3ae.data.stream.loader import TensorBatch
from m3ae.data.stream.mixture import Counts
from m3ae.data.stream.stream import Stream
from m3ae.files import sha256_of
from m3ae.records import read_record
from m3ae.train.architecture import architecture_of
from m3ae.train.build import build_model
from m3ae.train.loop import pretrain
from m3ae.train.machine import Machine
from m3ae.train.masked import MaskedObjective
from m3ae.train.objective import Normaliser
from m3ae.train.optimizer import make_optimizer
from m3ae.train.ranks import Ranks
from m3ae.train.spread import Spread
from m3ae.train.state import inputs_of
from m3ae.train.step import train_step
from small_project import MICRO, WORDS, make_config, make_micro
from test_workflow import copy_project, planned

PAIRS, IMAGES, PASSAGES, CAPTION_SLOTS, PASSAGE_SLOTS, VOCAB = 5, 3, 4, 20, 30, 40
PASSAGE_WORDS = range(30, 40)  # of the vocabulary: no caption has them
WEIGHT = 0.7


def settings_with(settings: RunSettings, **changes) -> Run:
    return Run("micro", RunSettings.model_validate(merge(settings.plain(), changes)))


@pytest.fixture
def run(in_project):
    """`tiny` with small encoders and a mixture of all three kinds."""
    size = {"width": 16, "depth": 1, "heads": 2}
    return settings_with(
        load_run("tiny").settings,
        data={
            "images": {"kind": "folder", "images": "pictures"},
            "texts": {"files": "corpus/*", "max_tokens": PASSAGE_SLOTS},
        },
        architecture={"sizes": {"b": size}, "decoder": size},
        pretrain={
            "mixture": {"pairs": 2.0, "images": 1.0, "texts": 1.0},
            "unpaired_text_loss_weight": WEIGHT,
        },
    )


def loss_of(model, batch, normalise, weight, parts=1):
    """The loss of a batch that is a whole step, and its terms by name."""
    objective = MaskedObjective(model, normalise, weight)
    counts = Counts(PAIRS, len(batch.image) - PAIRS, len(batch.passage))
    found = [objective(part, counts) for part in objective.split(batch, parts)]
    names = found[0].named
    return sum(part.loss for part in found), {name: sum(p.named[name] for p in found) for name in names}


def made_words(rows, slots, low, high):
    """Words of different lengths, at least one in each row, and where there is none."""
    padding = torch.arange(slots)[None] >= torch.randint(1, slots + 1, (rows, 1))
    return torch.randint(low, high, (rows, slots)).masked_fill(padding, 0), padding


def made_batch(run, scope):
    """A batch of all three kinds; orders for each sample, or a single one for all."""
    size, patches = run.settings.data.image.size_px, architecture_of(run, "m3ae-b100", VOCAB).num_patches
    text, padding = made_words(PAIRS + IMAGES, CAPTION_SLOTS, 1, 30)
    text[PAIRS:], padding[PAIRS:] = 0, True
    passage_text, passage_padding = made_words(PASSAGES, PASSAGE_SLOTS, 30, VOCAB)
    orders = [
        torch.rand(1 if scope == "batch" else rows, tokens).argsort(dim=1)
        for rows, tokens in (
            (PAIRS + IMAGES, patches),
            (PAIRS + IMAGES, CAPTION_SLOTS),
            (PASSAGES, PASSAGE_SLOTS),
        )
    ]
    return TensorBatch(
        sample=torch.arange(PAIRS + IMAGES),
        image=torch.randint(0, 256, (PAIRS + IMAGES, 3, size, size), dtype=torch.uint8),
        text=text,
        padding=padding,
        image_order=orders[0],
        text_order=orders[1],
        passage=torch.arange(PASSAGES),
        passage_text=passage_text,
        passage_padding=passage_padding,
        passage_order=orders[2],
    )


def by_hand(model, batch, normalise):
    """The loss of the three kinds from three separate forward passes; images alone get no text at all."""
    scope = len(batch.text_order) == 1
    image, order = normalise(batch.image), batch.image_order

    def some(orders, rows):
        return orders if scope else orders[rows]

    first, last = slice(0, PAIRS), slice(PAIRS, None)
    pairs = model(
        image[first],
        batch.text[first],
        batch.padding[first],
        some(order, first),
        some(batch.text_order, first),
    )
    alone = model(image[last], image_order=some(order, last))
    passages = model(text=batch.passage_text, padding=batch.passage_padding, text_order=batch.passage_order)
    rows = PAIRS + IMAGES
    image_loss = (PAIRS * pairs.image_loss + IMAGES * alone.image_loss) / rows
    text_loss = (PAIRS * pairs.text_loss + IMAGES * 0) / rows
    loss = image_loss + 0.5 * text_loss + WEIGHT * passages.text_loss
    parts = {"image_loss": image_loss, "text_loss": text_loss, "unpaired_text_loss": passages.text_loss}
    return loss, parts


@pytest.mark.parametrize("scope", ["sample", "batch"])
def test_a_step_of_all_three_kinds_is_the_sum_of_three_forward_passes(run, scope):
    model, normalise = build_model(run, "m3ae-b100", VOCAB), Normaliser(run.settings.data.image)
    batch = made_batch(run, scope)
    loss, terms = by_hand(model, batch, normalise)
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    got, losses = loss_of(model, batch, normalise, WEIGHT)
    torch.testing.assert_close(got, loss, rtol=0, atol=1e-6)
    assert losses.keys() == terms.keys()
    for name, value in terms.items():
        torch.testing.assert_close(losses[name], value, rtol=0, atol=1e-6)
    optimizer = make_optimizer(model, run.settings.pretrain)
    spread = Spread(MaskedObjective(model, normalise, WEIGHT), Ranks(), Machine())
    parts, counts = spread.objective.split(batch, 3), Counts(PAIRS, IMAGES, PASSAGES)
    result = train_step(spread, optimizer, parts, counts, 1e-3, "fp32")
    torch.testing.assert_close(result.grad_norm, norm, rtol=1e-5, atol=0)
    for name, value in terms.items():
        torch.testing.assert_close(result.losses[name], value.detach(), rtol=0, atol=1e-6)


def test_gradients_reach_the_words_of_passages_and_of_captions(run):
    model, normalise = build_model(run, "m3ae-b100", VOCAB), Normaliser(run.settings.data.image)
    batch = made_batch(run, "sample")
    loss_of(model, batch, normalise, WEIGHT)[0].backward()
    grad = model.word_embedding.weight.grad.abs().sum(dim=1)
    visible = batch.passage_order[:, : int(PASSAGE_SLOTS * 0.25)]
    seen = batch.passage_text.take_along_dim(visible, 1)[~batch.passage_padding.take_along_dim(visible, 1)]
    assert len(seen) > 0
    assert grad[seen].min() > 0
    assert grad[1:30].max() > 0


def test_an_image_that_never_had_a_caption_counts_as_one_that_lost_it(run):
    """The authors' rule for dropped captions: 0 in the mean. Text weighs less, the more images are alone."""
    model, normalise = build_model(run, "m3ae-b100", VOCAB), Normaliser(run.settings.data.image)
    batch = made_batch(run, "sample")
    pairs = batch._replace(
        **{
            name: getattr(batch, name)[:PAIRS]
            for name in ("image", "text", "padding", "image_order", "text_order")
        }
    )
    whole, alone = (loss_of(model, b, normalise, WEIGHT)[1]["text_loss"] for b in (batch, pairs))
    torch.testing.assert_close(whole, alone * PAIRS / (PAIRS + IMAGES), rtol=0, atol=1e-6)


def test_nothing_is_computed_for_passages_that_are_absent_or_have_no_weight(run):
    model, normalise = build_model(run, "m3ae-b100", VOCAB), Normaliser(run.settings.data.image)
    batch = made_batch(run, "sample")
    none = batch._replace(
        passage=batch.passage[:0],
        **{
            f"passage_{name}": getattr(batch, f"passage_{name}")[:0, :0]
            for name in ("text", "padding", "order")
        },
    )
    without, losses = loss_of(model, none, normalise, WEIGHT)
    assert set(losses) == {"image_loss", "text_loss"}
    weightless, losses = loss_of(model, batch, normalise, 0.0)
    assert set(losses) == {"image_loss", "text_loss"}
    assert weightless == without


def test_an_mae_is_given_the_images_alone(run):
    model, normalise = build_model(run, "mae-b100", VOCAB), Normaliser(run.settings.data.image)
    batch = made_batch(run, "sample")
    loss, losses = loss_of(model, batch, normalise, WEIGHT)
    assert set(losses) == {"image_loss"}
    torch.testing.assert_close(loss, model(normalise(batch.image), image_order=batch.image_order).image_loss)


def test_a_model_has_slots_for_the_longest_text_of_its_mixture(run):
    def slots(**mixture):
        changed = settings_with(run.settings, pretrain={"mixture": mixture})
        return architecture_of(changed, "m3ae-b100", VOCAB).max_tokens

    assert (CAPTION_SLOTS, PASSAGE_SLOTS) == (20, 30)
    assert slots() == 30
    assert slots(texts=0.0) == 20
    short = settings_with(run.settings, data={"texts": {"files": "corpus/*", "max_tokens": 7}})
    assert architecture_of(short, "m3ae-b100", VOCAB).max_tokens == 20


def test_more_slots_change_nothing_for_captions(run):
    batch, normalise = made_batch(run, "sample"), Normaliser(run.settings.data.image)
    without = settings_with(run.settings, pretrain={"mixture": {"texts": 0.0}})
    losses = [
        loss_of(build_model(r, "m3ae-b100", VOCAB), batch._replace(passage=batch.passage[:0]), normalise, 1.0)
        for r in (run, without)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "change",
    [
        {"pretrain": {"mixture": {"images": 0.5}}},
        {"pretrain": {"mixture": {"texts": 0.5}}},
        {"pretrain": {"unpaired_text_loss_weight": 0.1}},
        {"pretrain": {"random_drop_text": 0.1}},
        {"data": {"texts": {"files": "corpus/*", "max_tokens": 8}}},
    ],
)
def test_what_is_mixed_in_is_part_of_the_identity_of_a_training(run, change):
    assert settings_with(run.settings, **change).stage("pretrain", "m3ae-b100") != run.stage(
        "pretrain", "m3ae-b100"
    )


def test_texts_that_are_not_mixed_in_are_no_part_of_it(run):
    alone = settings_with(run.settings, pretrain={"mixture": {"texts": 0.0}})
    other = settings_with(alone.settings, data={"texts": {"files": "other/*", "max_tokens": 8}})
    assert alone.stage("pretrain", "m3ae-b100") == other.stage("pretrain", "m3ae-b100")


@pytest.fixture
def micro(tmp_path, monkeypatch):
    """The run `micro` with images alone and passages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("M3AE_DATA_ROOT", str(tmp_path / "originals"))
    (tmp_path / "originals/corpus").mkdir(parents=True)
    text = "\n\n".join(" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS)))
    (tmp_path / "originals/corpus/text.txt").write_text(text * 6)
    run = make_micro(
        tmp_path,
        data={
            "images": {"kind": "folder", "images": "pictures"},
            "texts": {"files": "corpus/*", "max_tokens": PASSAGE_SLOTS},
        },
        pretrain={
            "log_steps": 5,
            "checkpoint_minutes": 1e-4,
            "mixture": {"pairs": 2.0, "images": 1.0, "texts": 1.0},
            "unpaired_text_loss_weight": WEIGHT,
        },
    )
    shutil.copytree(run.paths.shards("heldout"), run.paths.shards("images"))
    make_passages(run)
    return run


def test_a_run_with_all_three_kinds_trains_from_end_to_end(micro):
    pretrain(micro, "m3ae-b100")
    lines = [json.loads(line) for line in micro.paths.step_log("m3ae-b100").read_text().splitlines()]
    for name in ("image_loss", "text_loss", "unpaired_text_loss"):
        assert lines[-1][name] < lines[0][name]
    record = read_record(micro.paths.record("m3ae-b100", "pretrain"))
    assert record.inputs == {
        "train_manifest": sha256_of(micro.paths.manifest("train")),
        "train_tokens": sha256_of(micro.paths.tokens("train")),
        "images_manifest": sha256_of(micro.paths.manifest("images")),
        "texts": sha256_of(micro.paths.tokens("texts")),
    }
    assert record.settings["texts_max_tokens"] == PASSAGE_SLOTS
    batch = Stream(micro, "m3ae-b100").step(0, 8)
    assert (len(batch.image), len(batch.passage_text)) == (6, 2)
    assert batch.padding[4:].all()
    assert not batch.padding[:4].all(axis=1).any()


def test_an_mae_of_the_same_run_says_that_it_leaves_the_passages_out(micro, capsys):
    pretrain(micro, "mae-b100")
    assert capsys.readouterr().err.count("mae-b100: an MAE reads images alone") == 1
    assert set(read_record(micro.paths.record("mae-b100", "pretrain")).inputs) == {
        "train_manifest",
        "images_manifest",
    }


def test_only_what_is_used_is_an_input(micro):
    alone = settings_with(micro.settings, pretrain={"mixture": {"images": 0.0, "texts": 0.0}})
    assert set(inputs_of(alone, "m3ae-b100")) == {"train_manifest", "train_tokens"}
    assert set(inputs_of(alone, "mae-b100")) == {"train_manifest"}


@pytest.mark.slow
@pytest.mark.parametrize(("images", "texts"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_the_workflow_plans_what_is_mixed_in(tmp_path, images, texts):
    copy_project(tmp_path)
    mixture = {"pairs": 2.0, "images": images, "texts": texts}
    data = {
        "images": {"kind": "folder", "images": "pictures"},
        "texts": {"files": "corpus/*", "max_tokens": PASSAGE_SLOTS},
    }
    recipe = {"mixture": mixture, "unpaired_text_loss_weight": WEIGHT}
    make_config(tmp_path, data=data, pretrain={**MICRO["pretrain"], **recipe}, rows=["m3ae-b100"])
    rules = planned(tmp_path, "results/micro/m3ae-b100/pretrain.json", "--config", "run=micro")
    assert rules["pretrain"] == 1
    assert rules.get("texts", 0) == (texts > 0)
    assert rules["clean"] == 2 + (images > 0)
