"""The supervised baseline: a stream without memory, timm's augmentation, and that it learns."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from m3ae.config import load_run
from m3ae.data.stream.labelled import LabelledStream
from m3ae.data.stream.labelled_view import erased, rand_augmented, seeded
from m3ae.data.stream.loader import LabelledTensors, labelled_tensors_of, load_steps
from m3ae.data.stream.mixing import Mix, cut_box, draw_mix, share_outside
from m3ae.data.stream.mixture import Counts
from m3ae.model.architecture import Architecture
from m3ae.model.classifier import Classifier
from m3ae.model.weights import load_encoder
from m3ae.model.whole import load_whole
from m3ae.records import read_record
from m3ae.torchvision_ops import make_importable
from m3ae.train.build import build_model
from m3ae.train.classification import ClassificationObjective
from m3ae.train.machine import Machine
from m3ae.train.objective import Normaliser
from m3ae.train.optimizer import make_optimizer
from small_project import make_config
from test_engine import assert_same_losses, trained

NAME = "supervised-b"
FULL = {"rand_augment": "rand-m9-mstd0.5-inc1", "erase": 0.5, "mixup": 0.8, "cutmix": 1.0}


class Pictures:
    """Forty pictures of four classes, told apart by their colour; stands for an evaluation set."""

    colours = np.array([[250, 20, 20], [20, 250, 20], [20, 20, 250], [240, 240, 20]], np.uint8)

    def __init__(self, *_):
        self.dataset = SimpleNamespace(num_classes=lambda label: 8)

    def __len__(self):
        return 40

    def labels(self, name):
        return np.arange(40) % 4

    def image(self, row):
        noise = np.random.default_rng(row).integers(0, 40, (50, 60, 3), dtype=np.uint8)
        return Image.fromarray((self.colours[row % 4] - 20) + noise // 2)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Steps of 10 images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("m3ae.data.stream.labelled.EvalImages", Pictures)
    return made(tmp_path)


def made(folder, epochs=6.0, **supervised):
    models = {NAME: {"epochs": epochs}}
    settings = {"image": {"flip": True}, **supervised}
    make_config(folder, batch_size=10, rows=[NAME], models=models, supervised=settings)
    run = load_run("micro")
    listing = run.paths.evalset(run.settings.probe.tasks[0].dataset)
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("{}")
    return run


def same(batch, other):
    return all(np.array_equal(a, b) for a, b in zip(batch, other, strict=True))


def test_a_step_is_the_ranks_rows_one_after_the_other(run, tmp_path):
    run = made(tmp_path, **FULL)
    stream = LabelledStream(run, NAME)
    for step in range(4):
        whole = stream.step(step, 10)
        parts = [stream.step(step, 10, rank, 3) for rank in range(3)]
        joined = [np.concatenate(field) for field in zip(*parts, strict=True)]
        assert same(whole, joined)


def test_neither_workers_nor_what_was_drawn_before_change_a_byte(run, tmp_path):
    run = made(tmp_path, **FULL)
    stream = LabelledStream(run, NAME)
    expected = [labelled_tensors_of(stream.step(step, 10)) for step in range(4)]
    random.seed(5)
    np.random.seed(5)
    for workers in (0, 2):
        found = list(load_steps(LabelledStream(run, NAME), 10, 0, 4, workers))
        assert all(isinstance(batch, LabelledTensors) for batch in found)
        assert all(
            torch.equal(a, b) for f, e in zip(found, expected, strict=True) for a, b in zip(f, e, strict=True)
        )


def test_augmentation_is_a_function_of_its_key():
    view = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    rule = "rand-m9-mstd0.5-inc1"
    first, again, other = (rand_augmented(view, rule, (9, 9, 9), key) for key in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_global_generators_are_put_back():
    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.rand()
    random.seed(3)
    np.random.seed(3)
    states = random.getstate(), np.random.get_state()[1].tolist()
    with seeded(7):
        drawn = random.random(), np.random.rand()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert drawn != expected


def test_every_image_comes_once_in_a_pass(run):
    stream = LabelledStream(run, NAME)
    assert sorted(stream.batch(0, 40).sample) == list(range(40))
    assert not same(stream.batch(0, 40), stream.batch(40, 80))


def test_labels_belong_to_their_images(run):
    batch = LabelledStream(run, NAME).step(0, 40)
    assert np.array_equal(batch.label, batch.sample % 4)
    assert np.array_equal(batch.partner, batch.label)
    assert (batch.share == 1).all()
    seen = batch.image.mean(axis=(2, 3))
    nearest = np.abs(seen[:, None] - Pictures.colours[None]).sum(axis=2).argmin(axis=1)
    assert np.array_equal(nearest, batch.label)


def test_mixing_is_timms(run, tmp_path):
    """The same share and box applied by timm's own functions give the same images and targets."""
    make_importable()
    from timm.data.mixup import mixup_target

    rng = np.random.default_rng(0)
    views = rng.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    blended = Mix(0.3).of(views, views[::-1])
    assert np.abs(blended - (0.3 * views + 0.7 * views[::-1])).max() <= 0.501
    box = cut_box(32, 0.4, rng)
    cut = Mix(share_outside(box, 32), box).of(views, views[::-1])
    top, bottom, left, right = box
    expected = views.copy()
    expected[:, :, top:bottom, left:right] = views[::-1][:, :, top:bottom, left:right]
    assert np.array_equal(cut, expected)

    share, labels, logits = share_outside(box, 32), torch.arange(6) % 4, torch.randn(6, 4)
    target = mixup_target(labels, 4, share, smoothing=0.1)
    expected_loss = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean().item()
    assert loss_of(logits, labels, labels.flip(0), share) == pytest.approx(expected_loss, rel=1e-6)


def loss_of(logits, labels, partners, share):
    """The objective's loss where the model gives ``logits``."""
    run = SimpleNamespace(mean=[0.5] * 3, std=[0.25] * 3)
    a = Architecture(width=8, depth=1, num_heads=1, decoder_width=0, vocab_size=0, type_embedding=False)
    objective = ClassificationObjective(Classifier(a, 4), Normaliser(run), 0.1)
    objective.model.forward = lambda image: logits
    shares = torch.full((6,), share)
    batch = LabelledTensors(labels, torch.zeros(6, 3, 8, 8, dtype=torch.uint8), labels, partners, shares)
    return objective(objective.split(batch)[0], Counts(6, 0, 0)).loss.item()


def test_the_share_of_cutmix_is_what_is_left(run, tmp_path):
    settings = made(tmp_path, **FULL).settings_of(NAME)
    mixes = [draw_mix(settings, first) for first in range(0, 4000, 10)]
    cut = [mix for mix in mixes if mix.box is not None]
    assert 0.4 < len(cut) / len(mixes) < 0.6
    for mix in cut:
        mask = np.ones((48, 48))
        mask[mix.box[0] : mix.box[1], mix.box[2] : mix.box[3]] = 0
        assert mix.share == pytest.approx(mask.mean())
    assert np.mean([mix.share for mix in mixes if mix.box is None]) == pytest.approx(0.5, abs=0.05)


def test_weight_decay_hits_what_timms_does_and_layer_norm_scales(run):
    make_importable()
    from timm.optim import param_groups_weight_decay

    model, recipe = build_model(run, NAME, 0), run.settings_of(NAME).pretrain
    groups = (
        param_groups_weight_decay(model, recipe.weight_decay)[1],
        make_optimizer(model, recipe).param_groups[0],
    )
    decayed = [{id(parameter) for parameter in group["params"]} for group in groups]
    theirs, ours = ({name for name, p in model.named_parameters() if id(p) in ids} for ids in decayed)
    scales = {name for name, _ in model.named_parameters() if "norm" in name and name.endswith("weight")}
    assert ours == theirs | scales
    assert not theirs & scales


def test_erasing_fills_one_rectangle():
    view = np.zeros((3, 32, 32), np.uint8)
    rng = np.random.default_rng(0)
    found = [erased(view, 1.0, [0.5] * 3, [0.25] * 3, rng) for _ in range(50)]
    areas = [(image.any(axis=0)).mean() for image in found]
    assert 0.01 < min(areas) < max(areas) < 0.36
    assert np.mean([image[image > 0].mean() for image in found]) == pytest.approx(127.5, abs=6)
    assert not erased(view, 0.0, [0.5] * 3, [0.25] * 3, rng).any()
    assert not view.any()


@pytest.mark.slow
def test_ranks_and_parts_change_no_loss(run, tmp_path):
    run = made(tmp_path, epochs=1.5, **FULL)
    alone = trained(run, NAME)
    assert_same_losses(trained(run, NAME, Machine(device_batch=4)), alone)
    assert_same_losses(trained(run, NAME, world=2, folder=tmp_path), alone)


def test_it_learns_and_its_file_is_an_encoder_and_a_classifier(tmp_path, run):
    lines = trained(run, NAME)
    assert lines[-1]["classification_loss"] < lines[0]["classification_loss"]
    assert lines[-1]["train_accuracy"] > 0.5
    path = run.paths.encoder(NAME)
    whole, image = load_whole(path), torch.randn(2, 3, 48, 48)
    torch.testing.assert_close(load_encoder(path).encode(image), whole.image_tower.encode(image))
    assert whole(image).shape == (2, whole.head.out_features)
    assert "weights_sha256" in read_record(run.paths.record(NAME, "pretrain")).details
