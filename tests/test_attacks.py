"""Attacks against closed forms: of a linear classifier the nearest wrong image is known exactly."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from m3ae.errors import UserError
from m3ae.evaluate.attack import robust
from m3ae.evaluate.attack.apgd import Judge, apgd, checkpoints
from m3ae.evaluate.attack.autoattack import STANDARD, apgd_targeted, autoattack
from m3ae.evaluate.attack.fab import fab, to_plane
from m3ae.evaluate.attack.gradient import fgsm, pgd
from m3ae.evaluate.attack.losses import dlr, margin, targeted_dlr
from m3ae.evaluate.attack.norms import project, random_start, size
from m3ae.evaluate.attack.robust import attack_of, robust_correct
from m3ae.evaluate.attack.square import pattern, share_of_pixels, square
from m3ae.evaluate.attack.victim import Victim, check_victim, is_right
from m3ae.evaluate.scores import Classifier

ATTACKS = {"fgsm": fgsm, "pgd": pgd, **STANDARD, "autoattack": autoattack}
SIDE, CLASSES = 6, 5


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def linear():
    """A linear classifier of grey images: a change of 0.2 never meets the box."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, CLASSES)).eval().requires_grad_(False)
    images = 0.5 + 0.1 * (torch.rand(12, 3, SIDE, SIDE) - 0.5)
    return model, images, model(images).argmax(dim=1)


@pytest.fixture
def curved():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 24), nn.GELU(), nn.Linear(24, CLASSES))
    model = model.eval().requires_grad_(False)
    images = torch.rand(10, 3, SIDE, SIDE)
    return model, images, model(images).argmax(dim=1)


def distances(model, images, labels, norm):
    """How far each image is from the nearest plane to another class, in closed form."""
    weight = model[1].weight.double()
    logits = F.linear(images.flatten(1).double(), weight, model[1].bias.double())
    found = []
    for row, label in zip(logits, labels, strict=True):
        gaps = (row[label] - row).clone()
        normals = weight[label] - weight
        duals = normals.abs().sum(dim=1) if norm == "linf" else normals.norm(dim=1)
        others = [i for i in range(CLASSES) if i != label]
        found.append((gaps[others] / duals[others]).min())
    return torch.stack(found)


# ---- balls and losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_projection_is_into_ball_and_box_and_moves_nothing_inside(norm):
    clean = torch.rand(20, 3, 4, 4)
    far = project(clean + torch.randn(clean.shape), clean, 0.3, norm)
    assert (size(far - clean, norm) <= 0.3 + 1e-6).all()
    assert far.min() >= 0
    assert far.max() <= 1
    torch.testing.assert_close(project(far, clean, 0.3, norm), far)
    for _ in range(3):  # without the box: the nearest point of the ball, by hand
        change = torch.randn(3, 4, 4)
        middle = torch.full((3, 4, 4), 0.5)
        got = project((middle + change)[None], middle[None], 0.1, norm)[0] - middle
        expected = change.clamp(-0.1, 0.1) if norm == "linf" else change * min(1, 0.1 / float(change.norm()))
        torch.testing.assert_close(got, expected)


def test_losses_are_the_papers_formulas():
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 6), torch.randint(0, 6, (8,))
    targets = (labels + 1) % 6
    for i in range(8):
        z, y, t = logits[i], labels[i], targets[i]
        p = sorted(z.tolist(), reverse=True)
        other = max(float(z[j]) for j in range(6) if j != y)
        assert margin(logits, labels)[i] == pytest.approx(float(z[y]) - other, abs=1e-6)
        assert dlr(logits, labels)[i] == pytest.approx(-(float(z[y]) - other) / (p[0] - p[2]), rel=1e-5)
        expected = -(float(z[y]) - float(z[t])) / (p[0] - (p[2] + p[3]) / 2)
        assert targeted_dlr(targets)(logits, labels)[i] == pytest.approx(expected, rel=1e-5)


def test_two_classes_are_too_few_for_dlr():
    with pytest.raises(UserError, match=r"needs 3 classes, the task has 2"):
        dlr(torch.randn(4, 2), torch.zeros(4, dtype=torch.long))


# ---- attacks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "autoattack"])  # it is its parts
def test_no_attack_leaves_ball_or_box_and_none_breaks_what_is_out_of_reach(linear, name, norm):
    model, images, labels = linear
    radius = float(distances(model, images, labels, norm).median())
    options = {"square": {"queries": 60}, "fab": {"steps": 20}}.get(name, {})
    found = ATTACKS[name](model, images, labels, radius, norm, draws(), **options)
    assert (size(found - images, norm) <= radius * (1 + 1e-5)).all()
    assert found.min() >= 0
    assert found.max() <= 1
    reachable = distances(model, images, labels, norm) < radius * (1 + 1e-4)
    assert is_right(model, found, labels)[~reachable].all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_targeted_attack_breaks_what_is_in_reach_of_a_linear_classifier(linear, norm):
    model, images, labels = linear
    nearest = distances(model, images, labels, norm)
    for image, label, distance in zip(images[:4], labels[:4], nearest[:4], strict=True):
        found = apgd_targeted(model, image[None], label[None], float(distance) * 1.03, norm, draws())
        assert not is_right(model, found, label[None]).any()


@pytest.fixture
def two_classes():
    """Of two classes the cross-entropy's gradient points at the other one; and how far that is, per norm."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval().requires_grad_(False)
    images = 0.5 + 0.01 * torch.randn(12, 3, 2, 2)
    logits = model(images)
    normal = model[1].weight[0] - model[1].weight[1]
    duals = {"linf": normal.abs().sum(), "l2": normal.norm()}
    gap = (logits[:, 0] - logits[:, 1]).abs()
    return model, images, logits.argmax(dim=1), {norm: gap / dual for norm, dual in duals.items()}


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd"])
def test_of_two_classes_exactly_what_is_in_reach_is_broken(two_classes, name, norm):
    model, images, labels, exact = two_classes
    for image, label, distance in zip(images[:5], labels[:5], exact[norm][:5], strict=True):
        for factor, stays in ((0.99, True), (1.02, False)):
            found = ATTACKS[name](model, image[None], label[None], float(distance) * factor, norm, draws())
            assert bool(is_right(model, found, label[None])) is stays


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fab_finds_the_smallest_change(linear, norm):
    model, images, labels = linear
    found = fab(model, images, labels, 10.0, norm, draws())
    expected = distances(model, images, labels, norm).float()
    torch.testing.assert_close(size(found - images, norm), expected, rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_nearest_point_of_a_plane_in_a_box_is_found(norm):
    torch.manual_seed(0)
    x = torch.rand(1, 1, 1, 3)
    normal = torch.randn(1, 1, 1, 3)
    gap = torch.tensor([-0.1])
    got = to_plane(x, x, gap, normal, norm)
    grid = torch.stack(torch.meshgrid(*[torch.linspace(0, 1, 101)] * 3, indexing="ij"), -1).reshape(
        -1, 1, 1, 3
    )
    beyond = grid[(gap + ((grid - x) * normal).flatten(1).sum(dim=1)) >= 0]
    assert len(beyond)
    best = size(beyond - x, norm).min()
    assert gap + ((got - x) * normal).sum() == pytest.approx(0, abs=1e-4)
    assert float(size(got - x, norm)) == pytest.approx(float(best), abs=0.015)


def test_apgd_judges_where_the_paper_says():
    assert checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]


def test_the_step_is_halved_where_the_loss_rises_too_seldom_or_stands_still():
    judge = Judge(torch.zeros(3))
    for step in range(4):  # rises always; half of the time; never
        before = torch.tensor([step, step % 2, 1.0])
        judge.note(before, torch.tensor([step + 1.0, (step + 1) % 2, 0.5]))
    best = torch.tensor([4.0, 1.0, 0.0])
    assert judge.halve(best, 4).tolist() == [False, True, True]
    for _ in range(4):  # risen each time, yet no better than the best before
        judge.note(torch.zeros(3), torch.ones(3))
    assert judge.halve(best, 4).tolist() == [
        True,
        False,
        False,
    ]  # halved before: not twice for standing still


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_lowers_the_margin_and_never_raises_it(curved, norm):
    model, images, labels = curved
    start = margin(model(images), labels)
    radius = 0.1 if norm == "linf" else 0.7
    few, many = (
        margin(model(square(model, images, labels, radius, norm, draws(), queries=n)), labels)
        for n in (2, 200)
    )
    assert (many <= few + 1e-6).all()
    assert (many < start).all()


def test_squares_shrink_as_published():
    shares = [share_of_pixels(query, 10_000) for query in (1, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)]
    np.testing.assert_allclose(shares, [0.8 / 2**k for k in range(10)])
    assert share_of_pixels(26, 5000) == 0.2  # scaled with the number of queries
    square_of = pattern(7, draws())
    assert float(square_of.norm()) == pytest.approx(1)


def test_a_curved_model_falls_more_to_stronger_attacks(curved, monkeypatch):
    model, images, labels = curved
    monkeypatch.setitem(STANDARD, "square", partial(square, queries=50))
    for norm, radius in (("linf", 0.02), ("l2", 0.15)):
        left = {
            name: int(is_right(model, attack(model, images, labels, radius, norm, draws()), labels).sum())
            for name, attack in {
                "fgsm": fgsm,
                "apgd": apgd,
                "apgdt": apgd_targeted,
                "fab": partial(fab, steps=20),
            }.items()
        }
        everything = int(
            is_right(model, autoattack(model, images, labels, radius, norm, draws()), labels).sum()
        )
        assert everything <= min(left.values())
        assert left["apgd"] <= left["fgsm"]


# ---- what is attacked --------------------------------------------------------------------------------------


def classifier(width, classes, seed=0):
    rng = np.random.default_rng(seed)
    return Classifier(
        rng.normal(size=width).astype(np.float32),
        rng.uniform(0.5, 2, size=width).astype(np.float32),
        rng.normal(size=(classes, width)).astype(np.float32),
        rng.normal(size=classes).astype(np.float32),
    )


def test_normalisation_inside_is_normalisation_outside():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(27, 7))
    probe = classifier(7, 4)
    victim = Victim(encoder, probe, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    images = torch.rand(5, 3, 3, 3)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    outside = encoder((images - mean[:, None, None]) / std[:, None, None]).detach().numpy()
    np.testing.assert_allclose(victim(images).numpy(), probe.logits(outside), atol=1e-4)
    assert not any(parameter.requires_grad for parameter in victim.parameters())
    assert not victim.training


def test_a_temperature_changes_no_answer_and_wakes_a_saturated_gradient():
    torch.manual_seed(0)
    probe = classifier(7, 4)
    loud = probe._replace(weight=probe.weight * 1000)
    victim = Victim(nn.Sequential(nn.Flatten(), nn.Linear(27, 7)), loud, [0.5] * 3, [0.2] * 3)
    images = torch.rand(16, 3, 3, 3)
    labels = victim(images).argmax(dim=1)
    clean = torch.ones(16, dtype=torch.bool)
    with pytest.raises(UserError, match=r"gradient is 0 for 1\d of 16 images"):
        check_victim(victim, images, labels, clean)
    victim.calibrate(images)
    assert torch.equal(victim(images).argmax(dim=1), labels)
    check_victim(victim, images, labels, clean)
    gaps = victim(images).topk(2, dim=1).values
    assert float((gaps[:, 0] - gaps[:, 1]).median()) == pytest.approx(1, abs=1e-4)


class Noisy(nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :CLASSES] + torch.rand(len(images), CLASSES)


class Blind(nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :CLASSES].round()


def test_an_attack_that_would_mean_nothing_is_refused(linear):
    model, images, labels = linear
    clean = torch.ones(len(images), dtype=torch.bool)
    check_victim(model, images, labels, clean)
    with pytest.raises(UserError, match=r"expected images in \[0, 1\], got .* to 1[0-9][0-9]"):
        check_victim(model, images * 255, labels, clean)
    with pytest.raises(UserError, match=r"found one in training; call eval"):
        check_victim(nn.Sequential(model, nn.Dropout()), images, labels, clean)
    with pytest.raises(UserError, match=r"the same logits twice"):
        check_victim(Noisy().eval(), images, labels, clean)
    with pytest.raises(UserError, match=r"not the one that was probed"):
        check_victim(model, images, labels, ~clean)
    blind = Blind().eval()
    with pytest.raises(UserError, match=r"gradients are masked"):
        check_victim(blind, images, labels, is_right(blind, images, labels))


# ---- accuracy at growing radii -----------------------------------------------------------------------------


def attack_all(curved, store, attack="pgd5", **changes):
    model, images, labels = curved
    options = {"seed": 1, "batch_size": 4, "store": store, "key": "k"} | changes
    return robust_correct(model, images, labels, attack, "linf", [0.005, 0.01, 0.03], **options)


def test_accuracy_falls_with_the_radius_and_starts_at_the_clean_one(curved, tmp_path):
    model, images, labels = curved
    labels = labels.clone()
    labels[0] = (labels[0] + 1) % CLASSES  # wrong without any attack
    right = attack_all((model, images, labels), tmp_path)
    assert right.shape == (3, 10)
    assert not right[:, 0].any()
    assert (right[:-1] >= right[1:]).all()
    assert 0 < right[-1].sum() + 1 <= right[0].sum() + 1


def test_a_killed_run_goes_on_after_its_last_batch_and_ends_the_same(curved, tmp_path, monkeypatch):
    expected = attack_all(curved, tmp_path / "whole")
    calls = []

    def killed_after(limit):
        def attack(*arguments):
            calls.append(1)
            if len(calls) > limit:
                raise KeyboardInterrupt
            return pgd(*arguments, steps=5)

        return lambda _: attack

    monkeypatch.setattr(robust, "attack_of", killed_after(4))
    with pytest.raises(KeyboardInterrupt):
        attack_all(curved, tmp_path / "parts")
    calls.clear()
    monkeypatch.setattr(robust, "attack_of", killed_after(100))
    np.testing.assert_array_equal(attack_all(curved, tmp_path / "parts"), expected)
    assert len(calls) <= 5  # of nine attacks, four were done
    calls.clear()
    np.testing.assert_array_equal(attack_all(curved, tmp_path / "parts"), expected)
    assert not calls
    attack_all(curved, tmp_path / "parts", key="another model")
    assert calls


def test_names_of_attacks(curved, tmp_path):
    assert attack_of("pgd7").keywords == {"steps": 7}
    with pytest.raises(UserError, match=r"attack 'pgd': expected pgdN \(N steps\), fgsm"):
        attack_of("pgd")
    with pytest.raises(UserError, match=r"expected rising radii"):
        robust_correct(*curved, "fgsm", "l2", [0.2, 0.1], seed=0, batch_size=4, store=tmp_path, key="k")


def test_a_start_lies_on_the_ball_and_depends_on_its_seed_alone():
    clean = torch.full((4, 3, 5, 5), 0.5)
    for norm in ("linf", "l2"):
        found = random_start(clean, 0.1, norm, draws(3))
        torch.testing.assert_close(size(found - clean, norm), torch.full((4,), 0.1))
        assert torch.equal(found, random_start(clean, 0.1, norm, draws(3)))
