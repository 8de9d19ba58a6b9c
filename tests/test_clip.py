"""CLIP: its loss, its towers, any number of ranks, and that it learns."""

import math
import signal

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from m3ae.config import Run
from m3ae.config.load import merge
from m3ae.config.models import RunSettings
from m3ae.data.stream.mixture import Counts
from m3ae.errors import Again, UserError
from m3ae.evaluate.features import extract_features
from m3ae.model import blocks
from m3ae.model.architecture import Architecture, TextArchitecture
from m3ae.model.clip import CLIP
from m3ae.model.contrastive import contrastive_errors
from m3ae.model.cost import clip_flops
from m3ae.model.weights import load_encoder
from m3ae.model.whole import load_clip
from m3ae.records import read_record
from m3ae.train.build import build_model
from m3ae.train.checkpoint import last_good, save_checkpoint
from m3ae.train.loop import Training, pretrain
from m3ae.train.machine import Machine
from m3ae.train.method import objective_of, open_stream
from m3ae.train.optimizer import make_optimizer
from m3ae.train.ranks import Ranks
from m3ae.train.signals import StopRequest
from m3ae.train.state import inputs_of, state_folder
from made_shards import make_stream_project
from small_project import make_micro
from test_engine import assert_same_losses, trained

NAME = "clip-b"
IMAGE = Architecture(
    width=32, depth=2, num_heads=2, decoder_width=0, decoder_depth=0, decoder_num_heads=0, image_px=32,
    patch_px=8, vocab_size=0, type_embedding=False,
)  # fmt: skip
TEXT = TextArchitecture(width=16, depth=2, num_heads=2, vocab_size=50, max_tokens=10, embedding_dim=8)


@pytest.fixture
def clip_run(stream_project):
    """Steps of 12 pairs."""
    run = make_stream_project(stream_project, {"pairs": 1.0, "images": 0.0, "texts": 0.0}, log_steps=1)
    changes = {
        "batch_size": 12,
        "rows": [NAME],
        "models": {NAME: {"method": "clip", "size": "b", "epochs": 2.0}},
        "clip": {"text": {"width": 16, "depth": 1, "heads": 2}, "image": {"size_px": 48}},
    }
    return changed(run, changes)


def changed(run, changes):
    """The run with other settings."""
    return Run(run.name, RunSettings.model_validate(merge(run.settings.plain(), changes)))


def small_clip():
    torch.manual_seed(0)
    return CLIP(IMAGE, TEXT).eval()


def captions(rows=6, words=7):
    text = torch.randint(1, 50, (rows, words))
    padding = torch.arange(words) >= torch.randint(2, words + 1, (rows, 1))
    return text.masked_fill(padding, 0), padding


def test_the_loss_is_the_mean_of_two_cross_entropies():
    torch.manual_seed(1)
    images, texts = (F.normalize(torch.randn(6, 8, dtype=torch.float64), dim=1) for _ in range(2))
    logits = 14.0 * images @ texts.T
    diagonal = torch.arange(6)
    expected = (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2
    errors = contrastive_errors(images, texts, torch.ones(6, dtype=torch.bool), torch.tensor(14.0))
    assert errors.mean().item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_pair_without_caption_is_left_out_on_both_sides():
    torch.manual_seed(1)
    images, texts = (F.normalize(torch.randn(6, 8), dim=1).requires_grad_() for _ in range(2))
    has_text = torch.tensor([True, True, False, True, True, False])
    errors = contrastive_errors(images, texts, has_text, torch.tensor(14.0))
    kept = has_text.nonzero().flatten()
    alone = contrastive_errors(images[kept], texts[kept], has_text[kept], torch.tensor(14.0))
    assert torch.equal(errors[~has_text], torch.zeros(2))
    torch.testing.assert_close(errors[kept], alone)
    errors.sum().backward()
    assert images.grad.isfinite().all()
    assert not images.grad[~has_text].any()


def test_padding_changes_no_embedding():
    model, (text, padding) = small_clip(), captions()
    longer = F.pad(text, (0, 3), value=7), F.pad(padding, (0, 3), value=True)
    torch.testing.assert_close(model.embed_text(*longer), model.embed_text(text, padding))


def test_other_words_are_another_caption_from_the_first_step_on():
    """Beside positions larger than words, all captions of one length began as one (cosine 0.9998)."""
    model = small_clip()
    texts = model.embed_text(torch.randint(1, 50, (20, 7)), torch.zeros(20, 7, dtype=torch.bool))
    others = ~torch.eye(20, dtype=torch.bool)
    assert (texts @ texts.T)[others].mean() < 0.9


def test_the_order_of_words_is_seen():
    model, text = small_clip(), torch.randint(1, 50, (1, 7))
    seen = torch.zeros(1, 7, dtype=torch.bool)
    model.text_tower.positions.data.normal_()
    assert not torch.allclose(model.embed_text(text, seen), model.embed_text(text.flip(1), seen), atol=1e-3)


def test_embeddings_are_unit_vectors():
    model = small_clip()
    images, texts = model.embed_image(torch.randn(5, 3, 32, 32)), model.embed_text(*captions(5))
    for vectors in (images, texts):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))


def test_the_scale_is_brought_back_between_its_limits():
    model = small_clip()
    assert model.scale().item() == pytest.approx(1 / 0.07, rel=1e-5)
    for value, expected in ((9.0, 100.0), (-3.0, 1.0)):
        model.log_scale.data.fill_(value)
        assert model.scale().item() == pytest.approx(expected, rel=1e-5)
    model.log_scale.data.fill_(9.0)
    model.scale().backward()
    assert model.log_scale.grad.item() == pytest.approx(100, rel=1e-5)  # at the limit it can still go back


def test_weight_decay_is_another_than_slips_where_fidelity_says(clip_run):
    """SLIP's main.py: one dimension, or "bias", "ln" or "bn" in the name, and nothing decays."""
    model = small_clip()
    optimizer = make_optimizer(model, clip_run.settings_of(NAME).pretrain)
    ours = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    assert optimizer.param_groups[0]["weight_decay"] > optimizer.param_groups[1]["weight_decay"] == 0
    named = dict(model.named_parameters())
    slips = {name for name, p in named.items() if p.ndim >= 2 and "bias" not in name}
    decayed = {name for name, p in named.items() if id(p) in ours}
    assert slips - decayed == {"text_tower.word_embedding.weight", "text_tower.positions"}
    assert decayed - slips == {name for name in named if "norm" in name and name.endswith("weight")}
    assert named["image_tower.cls_token"].ndim == 1  # SLIP's is (1, 1, width), and decays


def test_flops_are_those_that_torch_counts(monkeypatch):
    monkeypatch.setattr(blocks, "attend", blocks.matrix_products)  # torch does not count the fused kernel
    model, (text, padding) = small_clip(), captions()
    image = torch.randn(6, 3, 32, 32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        images, texts = model.embed_image(image), model.embed_text(text, padding)
        images @ texts.T, texts @ images.T
    counted = counter.get_total_flops() / 6
    assert clip_flops(IMAGE, TEXT, text.shape[1], 6) / 3 == pytest.approx(counted, rel=1e-6)


@pytest.mark.slow
def test_two_ranks_take_the_steps_of_one(clip_run, tmp_path):
    alone = trained(clip_run, NAME)
    assert {"contrastive_loss", "scale"} <= set(alone[0])
    lines = trained(clip_run, NAME, world=2, folder=tmp_path)
    assert_same_losses(lines, alone)
    assert lines[-1]["grad_norm"] == pytest.approx(alone[-1]["grad_norm"], rel=1e-4)


@pytest.mark.slow
def test_ranks_that_hold_a_part_each_take_the_steps_of_one(clip_run, tmp_path):
    """With a scale that goes beyond its limit and comes back: what each rank keeps must have been limited."""
    run = at_the_limit(clip_run)
    alone = trained(run, NAME)
    scales = [line["scale"] for line in alone]
    assert 1.0 in scales[3:] and scales[-1] > 1.0001
    lines = trained(run, NAME, Machine(parallel="fsdp"), world=2, folder=tmp_path)
    assert_same_losses(lines, alone)
    assert [line["scale"] for line in lines] == pytest.approx(scales, rel=1e-6)
    assert read_record(run.paths.record(NAME, "pretrain")).provenance["ranks"] == 2


def at_the_limit(run):
    """The run with a scale that begins at 1, the least there is."""
    clip = {"temperature": 1.0, "base_lr": 0.005}
    return changed(run, {"clip": clip, "models": {NAME: {"epochs": 4.0}}})


@pytest.mark.slow
def test_a_state_whose_scale_is_a_scalar_is_gone_on_from_by_ranks_that_hold_a_part(clip_run, tmp_path):
    """As checkpoints were before the scale had a dimension."""
    run = at_the_limit(clip_run)
    alone = trained(run, NAME)
    stop, inputs = StopRequest(), inputs_of(run, NAME)
    stop.note(signal.SIGTERM, None)
    for _ in range(2):
        with pytest.raises(Again):
            Training(run, NAME, inputs, Machine(), Ranks()).run_steps(stop)
    found = last_good(state_folder(run, NAME, inputs))
    state = load_file(found.tensors)
    scalars = {name: value.reshape(()) for name, value in state.items() if name.endswith("log_scale")}
    save_checkpoint(found.tensors.parent, found.step, state | scalars, found.interval, before=0)
    assert len(scalars) == 4  # with both moments and the count
    assert_same_losses(trained(run, NAME, Machine(parallel="fsdp"), world=2, folder=tmp_path), alone)
    assert read_record(run.paths.record(NAME, "pretrain")).provenance["resumed_at_step"] == 2


def test_ranks_of_unequal_shares_are_refused(clip_run, tmp_path):
    run = changed(clip_run, {"batch_size": 11})
    with pytest.raises(AssertionError, match="expected a multiple of 2 ranks"):
        trained(run, NAME, world=2, folder=tmp_path)


def test_a_part_of_a_batch_is_refused(clip_run):
    with pytest.raises(UserError, match=r"--device-batch: expected the rank's whole share"):
        pretrain(clip_run, NAME, Machine(device_batch=4))


def test_its_file_is_an_encoder_and_a_whole_clip(clip_run):
    pretrain(clip_run, NAME)
    path = clip_run.paths.encoder(NAME)
    image = torch.randn(2, 3, 48, 48)
    encoder, whole = load_encoder(path), load_clip(path)
    torch.testing.assert_close(encoder.encode(image), whole.image_tower.encode(image))
    assert whole.embed_text(*captions(2)).shape == (2, clip_run.settings.clip.embedding_dim)
    assert whole.log_scale.item() != pytest.approx(-math.log(0.07), abs=1e-6)
    assert load_file(path)["beside.log_scale"].shape == ()  # as in the files of older trainings
    details = read_record(clip_run.paths.record(NAME, "pretrain")).details
    assert details["encoder_parameters"] < details["parameters"]


def test_it_learns(clip_run):
    """Far below what guessing among 12 gives, on the same dozen pairs."""
    stream = open_stream(clip_run, NAME)
    model = build_model(clip_run, NAME, stream.vocab_size)
    objective = objective_of(clip_run, NAME, model)
    optimizer = make_optimizer(model, clip_run.settings_of(NAME).pretrain)
    from m3ae.data.stream.loader import tensors_of

    (part,) = objective.split(tensors_of(stream.step(0, 12)))
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    for _ in range(80):
        loss = objective(part, Counts(12, 0, 0)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6 * math.log(12)


def test_features_take_its_encoder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_micro(tmp_path, rows=["clip-b"], models={"clip-b": {"epochs": 1.0}})
    pretrain(run, NAME)
    with pytest.raises(UserError, match=r"evalsets/.*no such file"):  # the encoder was accepted before
        extract_features(run, NAME)
