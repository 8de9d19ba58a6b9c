"""Attacks against closed forms: of a linear classifier the nearest wrong image is known exactly."""

from functools import partial
from itertools import product

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
from m3ae.evaluate.attack.losses import dlr, margin, targeted_dlr, targets_of
from m3ae.evaluate.attack.norms import project, random_start, size
from m3ae.evaluate.attack.robust import attack_of, robust_correct
from m3ae.evaluate.attack.square import energy_step, pattern, share_of_pixels, square
from m3ae.evaluate.attack.victim import Victim, check_victim, is_right
from m3ae.evaluate.scores import Classifier

ATTACKS = {"fgsm": fgsm, "pgd": pgd, **STANDARD, "autoattack": autoattack}
SIDE, CLASSES = 6, 5


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def answered(model, images):
    """The model with its logits centred on these images, so that it gives all sorts of answers to them."""
    model[-1].bias.data -= model(images).mean(dim=0).detach()
    model.eval().requires_grad_(False)
    labels = model(images).argmax(dim=1)
    assert len(labels.unique()) > 2
    return model, images, labels


@pytest.fixture
def linear():
    """A linear classifier of grey images: a change of 0.2 never meets the box."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, CLASSES))
    return answered(model, 0.5 + 0.1 * (torch.rand(12, 3, SIDE, SIDE) - 0.5))


@pytest.fixture
def curved():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 24), nn.GELU(), nn.Linear(24, CLASSES))
    return answered(model, torch.rand(10, 3, SIDE, SIDE))


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
    found = fab(model, images, labels, 10.0, norm, draws(), steps=15)
    expected = distances(model, images, labels, norm).float()
    torch.testing.assert_close(size(found - images, norm), expected, rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fab_breaks_what_is_in_reach_and_nothing_else(linear, norm):
    model, images, labels = linear
    nearest = distances(model, images, labels, norm)
    for image, label, distance in zip(images[:2], labels[:2], nearest[:2], strict=True):
        for factor, stays in ((0.99, True), (1.02, False)):
            radius = float(distance) * factor
            found = fab(model, image[None], label[None], radius, norm, draws(), steps=15)
            assert bool(is_right(model, found, label[None])) is stays


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_nearest_point_of_a_plane_in_a_box_is_found(norm):
    torch.manual_seed(0)
    x = torch.rand(1, 3, 1, 1)
    normal = torch.randn(1, 3, 1, 1)
    gap = torch.tensor([-0.1])
    got = to_plane(x, x, gap, normal, norm)
    axes = torch.meshgrid(*[torch.linspace(0, 1, 101)] * 3, indexing="ij")
    grid = torch.stack(axes, -1).reshape(-1, 3, 1, 1)
    beyond = grid[(gap + ((grid - x) * normal).flatten(1).sum(dim=1)) >= 0]
    assert len(beyond)
    best = size(beyond - x, norm).min()
    assert gap + ((got - x) * normal).sum() == pytest.approx(0, abs=1e-4)
    assert float(size(got - x, norm)) == pytest.approx(float(best), abs=0.015)


def naive_apgd(model, clean, loss_function, radius, norm, start, steps):
    """Algorithm 1 of Croce and Hein 2020 for one image, with all losses and step sizes kept in lists."""

    def onto(x):
        change = x - clean
        change = change.clamp(-radius, radius) if norm == "linf" else change * min(1, radius / change.norm())
        return (clean + change).clamp(0, 1)

    def loss_of(x):
        x = x.clone().requires_grad_(True)
        loss = loss_function(model(x[None]), None)[0]
        gradient = torch.autograd.grad(loss, x)[0]
        return loss.item(), gradient.sign() if norm == "linf" else gradient / gradient.norm()

    x, sizes, w, halved_before = [start], [2 * radius], checkpoints(steps), False
    f, rises, best_at_mark = [loss_of(start)[0]], [], loss_of(start)[0]
    best, best_x = f[0], start
    for k in range(steps):
        z = onto(x[k] + sizes[k] * loss_of(x[k])[1])
        x.append(z if k == 0 else onto(x[k] + 0.75 * (z - x[k]) + 0.25 * (x[k] - x[k - 1])))
        f.append(loss_of(x[-1])[0])
        rises.append(f[-1] > f[-2])
        if f[-1] > best:
            best, best_x = f[-1], x[-1]
        sizes.append(sizes[k])
        if k + 1 in w:
            since = k + 1 - w[w.index(k + 1) - 1]
            seldom, stuck = sum(rises[-since:]) < 0.75 * since, not halved_before and best == best_at_mark
            halved_before, best_at_mark = seldom or stuck, best
            if seldom or stuck:
                sizes[-1], x[-1], f[-1] = sizes[k] / 2, best_x, best
    return best_x, len(set(sizes))


class NeverFalls(nn.Module):
    """Class 0 wins everywhere, so that APGD returns the point with the largest loss."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return torch.cat([torch.full((len(images), 1), 99.0).to(images), self.model(images)], dim=1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_apgd_is_algorithm_1(curved, norm):
    model, images = NeverFalls(curved[0]).double(), curved[1][:6].double()
    radius, labels = {"linf": 0.3, "l2": 2.0}[norm], torch.zeros(6, dtype=torch.long)

    def hilly(logits, labels):
        return (9 * logits[:, 1:]).sin().sum(dim=1)

    start = random_start(images, radius, norm, draws(5))
    got = apgd(model, images, labels, radius, norm, draws(5), loss=hilly, steps=40)
    num_sizes = []
    for i in range(6):
        expected, num = naive_apgd(model, images[i], hilly, radius, norm, start[i], 40)
        torch.testing.assert_close(got[i], expected, rtol=0, atol=1e-9)
        num_sizes.append(num)
    assert len(set(num_sizes)) > 1  # halved here and not there


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
    first, last = (  # the same start; between them, other numbers of queries would have other squares
        margin(model(square(model, images, labels, radius, norm, draws(), queries=n)), labels)
        for n in (1, 200)
    )
    assert (last <= first + 1e-6).all()
    assert (last[first >= 0] < first[first >= 0] - 1e-3).all()
    assert (last < start).all()
    assert (first >= 0).sum() > 4


def test_squares_shrink_as_published():
    shares = [share_of_pixels(query, 10_000) for query in (1, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)]
    np.testing.assert_allclose(shares, [0.8 / 2**k for k in range(10)])
    assert share_of_pixels(26, 5000) == 0.2  # scaled with the number of queries
    square_of = pattern(7, draws())
    assert float(square_of.norm()) == pytest.approx(1)


def eta(side):
    """The published bump and its negative, by loops: rings about the middle of each half."""
    found = np.zeros((side, side))
    for first, height, sign in ((0, side // 2, 1), (side // 2, side - side // 2, -1)):
        for row, column, ring in product(range(height), range(side), range(side)):
            distance = max(abs(row - height // 2), abs(column - side // 2))
            if distance <= ring <= max(height // 2, side // 2):
                found[first + row, column] += sign / (ring + 1) ** 2
    return found / np.sqrt((found**2).sum())


def test_a_step_of_square_in_l2_is_the_papers_channel_by_channel():
    torch.manual_seed(0)
    clean, radius = torch.full((1, 3, 5, 5), 0.5), 0.4
    change = torch.randn(1, 3, 5, 5) * torch.tensor([1.0, 0.2, 0.05]).view(3, 1, 1)
    change *= 0.3 / change.norm()  # the ball has room left
    got = (energy_step(clean, clean + change, radius, 1.0, draws()) - clean)[0].numpy()  # squares of 5 pixels
    expected = []
    for turned, *flips in product((eta(5), eta(5).T), (-1, 1), (-1, 1), (-1, 1)):  # what is drawn
        new = np.zeros((3, 5, 5))
        for channel, flip in enumerate(flips):
            old = change[0, channel].numpy()
            mixed = flip * turned + old / np.sqrt((old**2).sum())
            room = np.sqrt((old**2).sum() + (radius**2 - float(change.norm()) ** 2) / 3)
            new[channel] = mixed / np.sqrt((mixed**2).sum()) * room
        expected.append(new)
    assert min(np.abs(got - new).max() for new in expected) < 1e-5
    assert np.sqrt((got**2).sum()) == pytest.approx(radius, rel=1e-5)


def test_targets_are_the_likeliest_wrong_classes_and_at_most_all_others(linear):
    model, images, labels = linear
    targets = torch.stack(targets_of(model, images, labels, 9), dim=1)
    assert targets.shape == (12, CLASSES - 1)
    for row, label, logits in zip(targets.tolist(), labels.tolist(), model(images).tolist(), strict=True):
        others = [c for c in range(CLASSES) if c != label]
        assert row == sorted(others, key=lambda c, logits=logits: -logits[c])


def test_each_part_of_autoattack_gets_what_is_still_right_and_keeps_what_it_breaks(linear, monkeypatch):
    model, images, labels = linear
    assert list(STANDARD) == ["apgd", "apgdt", "fab", "square"]
    other = torch.stack([images[labels != label][0] for label in labels])  # classified wrong under this label
    seen = []

    def breaks(number):
        def attack(victim, x, y, *_):
            seen.append(len(x))
            places = [int((images == image).flatten(1).all(dim=1).nonzero()[0]) for image in x]
            return torch.cat([other[places[:number]], (x[number:] + 0.001).clamp(0, 1)])

        return attack

    for name, number in zip(STANDARD, (3, 0, 4, 1), strict=True):
        monkeypatch.setitem(STANDARD, name, breaks(number))
    found = autoattack(model, images, labels, 1.0, "linf", draws())
    assert seen == [12, 9, 9, 5]
    assert torch.equal(found[:8], other[:8])
    assert torch.equal(found[8:], images[8:])  # what no part breaks stays as it was


def test_a_curved_model_falls_more_to_stronger_attacks(curved, monkeypatch):
    model, images, labels = curved
    short = {"apgd": {"steps": 25}, "apgdt": {"steps": 25}, "fab": {"steps": 10}, "square": {"queries": 50}}
    for name, options in short.items():
        monkeypatch.setitem(STANDARD, name, partial(STANDARD[name], **options))
    for norm, radius in (("linf", 0.02), ("l2", 0.15)):
        left = {
            name: int(is_right(model, attack(model, images, labels, radius, norm, draws()), labels).sum())
            for name, attack in {"fgsm": fgsm, **STANDARD, "all": autoattack}.items()
        }
        assert left["all"] <= min(left.values())
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


class Steep(nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :CLASSES] + (images - images.detach()).flatten(1)[:, :CLASSES].sqrt()


class NoisyForAttacks(nn.Module):
    def forward(self, images):
        noise = torch.rand(len(images), CLASSES) if torch.is_grad_enabled() else 0
        return images.flatten(1)[:, :CLASSES] + noise


class Broken(nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :CLASSES] * torch.nan


class PartlyBlind(nn.Module):
    def forward(self, images):
        logits = images.flatten(1)[:, :CLASSES]
        return torch.cat([logits[:2].detach(), logits[2:]])


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
    with pytest.raises(UserError, match=r"the same logits twice"):
        check_victim(NoisyForAttacks().eval(), images, labels, clean)
    with pytest.raises(UserError, match=r"expected finite logits, got NaN or infinity for image 0"):
        check_victim(Broken().eval(), images, labels, clean)
    with pytest.raises(UserError, match=r"expected images in \[0, 1\], got nan"):
        check_victim(model, images * torch.nan, labels, clean)
    with pytest.raises(UserError, match=r"not the one that was probed"):
        check_victim(model, images, labels, ~clean)
    with pytest.raises(UserError, match=r"expected images in \[0, 1\], got -"):
        check_victim(model, (images - 0.5) / 0.2, labels, clean)
    steep = Steep().eval()
    with pytest.raises(UserError, match=r"gradient is not finite"):
        check_victim(steep, images, labels, is_right(steep, images, labels))
    blind = Blind().eval()
    with pytest.raises(UserError, match=r"gradients are masked"):
        check_victim(blind, images, labels, is_right(blind, images, labels))
    partly = PartlyBlind().eval()
    with pytest.raises(UserError, match=r"gradient is 0 for 2 of"):
        check_victim(partly, images, labels, is_right(partly, images, labels))


def test_all_images_are_looked_at_before_an_attack_not_the_first_batch_alone(linear):
    model, images, labels = linear
    clean = torch.ones(len(images), dtype=torch.bool)
    check_victim(model, images, labels, clean, batch_size=3)
    clean[-1] = False
    with pytest.raises(UserError, match=rf"got 1 of {len(images)} others"):
        check_victim(model, images, labels, clean, batch_size=3)
    bright = images.clone()
    bright[-1] += 1
    with pytest.raises(UserError, match=r"expected images in \[0, 1\]"):
        check_victim(model, bright, labels, ~clean, batch_size=3)


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
    assert right[-1].sum() < right[0].sum()


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
    assert len(calls) >= 3


def test_results_of_other_weights_are_left_alone_and_a_line_says_so(curved, tmp_path, capsys):
    expected = attack_all(curved, tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert len(files) == 9
    assert "other weights" not in capsys.readouterr().err
    _, images, labels = curved
    zero = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, CLASSES)).eval().requires_grad_(False)
    assert not np.array_equal(attack_all((zero, images, labels), tmp_path, key="zero"), expected)
    assert "holds results of other weights or settings; they are not used" in capsys.readouterr().err
    assert all(path.read_bytes() == content for path, content in files.items())
    np.testing.assert_array_equal(attack_all(curved, tmp_path), expected)


def test_draws_depend_on_seed_attack_radius_and_batch_alone(curved, tmp_path, monkeypatch):
    drawn = []

    def attack(victim, images, *rest):
        drawn.append(int(rest[-1].initial_seed()))
        return images

    monkeypatch.setattr(robust, "attack_of", lambda _: attack)
    attack_all(curved, tmp_path / "a")
    first = drawn.copy()
    assert len(set(first)) == 9  # three radii of three batches
    for changes, same in (({"key": "other"}, True), ({"seed": 2}, False), ({"attack": "pgd6"}, False)):
        drawn.clear()
        attack_all(curved, tmp_path / str(changes), **changes)
        assert (drawn == first) is same


def test_a_stored_result_is_used_only_after_the_same_smaller_radii(curved, tmp_path, monkeypatch):
    def only_small_ones_break(victim, images, labels, radius, *_):
        return images.roll(1, dims=0) if radius < 2 else images

    monkeypatch.setattr(robust, "attack_of", lambda _: only_small_ones_break)
    options = {"seed": 1, "batch_size": 4, "store": tmp_path, "key": "k"}
    both = robust_correct(*curved, "x", "linf", [1.0, 3.0], **options)
    assert not both[0].all()
    np.testing.assert_array_equal(both[1], both[0])
    assert robust_correct(*curved, "x", "linf", [3.0], **options).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", ["fgsm", "pgd2", "apgd", "fab", "square"])
def test_radius_0_is_the_clean_accuracy(curved, tmp_path, attack, norm, monkeypatch):
    for name, options in {"fab": {"steps": 2}, "square": {"queries": 5}, "apgd": {"steps": 3}}.items():
        monkeypatch.setitem(robust.NAMED, name, partial(robust.NAMED[name], **options))
    model, images, labels = curved
    labels = torch.where(torch.arange(10) < 3, (labels + 1) % CLASSES, labels)
    options = {"seed": 0, "batch_size": 10, "store": tmp_path, "key": "k"}
    right = robust_correct(model, images, labels, attack, norm, [0.0], **options)
    assert right.tolist() == [[False] * 3 + [True] * 7]


class Rooted(nn.Module):
    """Its gradient is NaN where an image has not moved: a root of 0."""

    def __init__(self, model, images):
        super().__init__()
        self.model, self.images = model, images

    def forward(self, images):
        moved = (images - self.images[: len(images)]).flatten(1)
        return self.model(images) + 0 * moved.square().sum(dim=1, keepdim=True).sqrt()


@pytest.mark.parametrize("attack", ["fgsm", "fab"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_gradient_of_nan_stops_an_attack_and_neither_breaks_nor_spares_an_image(
    curved, tmp_path, attack, norm
):
    model, images, labels = curved
    options = {"seed": 0, "batch_size": 10, "store": tmp_path, "key": "k"}
    with pytest.raises(UserError, match=r"expected a finite gradient on the way"):
        robust_correct(Rooted(model, images), images, labels, attack, norm, [0.01], **options)


@pytest.mark.parametrize("change", [0.02, -2.0, torch.nan])
def test_an_attack_that_leaves_ball_or_box_is_no_attack(curved, tmp_path, monkeypatch, change):
    monkeypatch.setattr(robust, "attack_of", lambda _: lambda victim, images, *_: images + change)
    options = {"seed": 0, "batch_size": 10, "store": tmp_path, "key": "k"}
    with pytest.raises(UserError, match=r"expected images in \[0, 1\] within 0.01 \(linf\), got"):
        robust_correct(*curved, "x", "linf", [0.01], **options)


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
