"""Heads on stored features, and fine-tuning, against loops written from their definitions."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from m3ae.config.evaluation import Probe, Task
from m3ae.config.extended import FineTune
from m3ae.errors import UserError
from m3ae.evaluate.heads import finetune as finetune_module
from m3ae.evaluate.heads.fewshot import draw_rows, few_shot
from m3ae.evaluate.heads.finetune import FineTuned, finetune, make_mix, make_optimizer
from m3ae.evaluate.heads.knn import knn, vote
from m3ae.evaluate.heads.logistic import fit_logistic
from m3ae.evaluate.heads.strict import fit_strict
from m3ae.evaluate.heads.sweep import BASE_LRS, Grid, Head, sweep, train_heads
from m3ae.evaluate.linear import LinearProbe, fit, is_correct, shuffled_batches
from m3ae.evaluate.probe import Labelled, validation_rows
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE

TASK = Task(name="digit", dataset="toy", train="train", test="test", label="digit")
RECIPE = Probe(
    tasks=[TASK],
    batch_size=64,
    epochs=6,
    warmup_epochs=2,
    base_lrs=[1.0],
    momentum=0.9,
    trust_coefficient=0.001,
    validation_share=0.1,
)
GRID = Grid(epochs=4, batch_size=64, warmup_epochs=1, weight_decay=0.01)
SMALL = Architecture(width=16, depth=3, num_heads=2, decoder_width=0, image_px=16, patch_px=8, vocab_size=0)


def blobs(count, num_classes=4, width=12, spread=1.5, seed=0):
    """Classes as normal clouds around fixed centres."""
    centres = np.random.default_rng(99).normal(size=(num_classes, width))
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, num_classes, count)
    x = centres[classes] + spread * rng.normal(size=(count, width))
    return Labelled(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(classes))


def four_representations(count, **settings):
    """Views of one cloud that differ in width, scale and noise."""
    x, classes = blobs(count, **settings)
    noise = torch.randn(count, 12, generator=torch.Generator().manual_seed(7))
    views = {"layer1/mean": x[:, :7], "layer2/mean": 3 * x + 5, "layer2/cls": x + noise, "layer4/cls": x}
    return views, classes


def trained_alone(x, classes, num_classes, base_lr, grid, seed):
    """One head, by autograd and torch's SGD; the cosine is written out."""
    probe = LinearProbe(x.shape[1], num_classes, torch.Generator())
    torch.nn.init.zeros_(probe.linear.weight)
    optimizer = torch.optim.SGD(probe.parameters(), 0.1, grid.momentum, weight_decay=grid.weight_decay)
    size = min(grid.batch_size, len(x))
    per_epoch = len(x) // size
    shuffle = torch.Generator().manual_seed(seed)
    for epoch in range(grid.epochs):
        order = torch.randperm(len(x), generator=shuffle)
        for i in range(per_epoch):
            step, warmup = epoch * per_epoch + i, grid.warmup_epochs * per_epoch
            share = step / warmup if step < warmup else None
            if share is None:
                done = (step - warmup) / (grid.epochs * per_epoch - warmup)
                share = 0.5 + 0.5 * math.cos(math.pi * done)
            optimizer.param_groups[0]["lr"] = base_lr * size / 256 * share
            rows = order[i * size : (i + 1) * size]
            optimizer.zero_grad()
            F.cross_entropy(probe(x[rows]), classes[rows]).backward()
            optimizer.step()
    return probe.eval()


def same(probe, other, **tolerance):
    for name, expected in other.state_dict().items():
        torch.testing.assert_close(probe.state_dict()[name], expected, **tolerance)


# ---- the sweep ---------------------------------------------------------------------------------------------


def test_52_heads_in_one_pass_equal_each_head_trained_alone():
    features, classes = four_representations(300)
    rows = torch.arange(0, 300, 2)
    grid = Grid(base_lrs=[100 * rate for rate in BASE_LRS], epochs=3, batch_size=64, weight_decay=0.01)
    heads = train_heads(features, classes, 4, rows, grid, seed=5)
    compared = 0
    for name, x in features.items():
        for i, base_lr in enumerate(grid.base_lrs):
            alone = trained_alone(x[rows], classes[rows], 4, base_lr, grid, seed=5)
            same(heads[name].probe(i), alone, rtol=1e-5, atol=1e-5)
            compared += 1
    assert compared == 52


def test_accuracies_and_choice_are_those_of_heads_trained_alone_on_the_rest():
    features, classes = four_representations(300)
    grid = Grid(base_lrs=[0.01, 1.0, 10.0], epochs=4, batch_size=64, warmup_epochs=1)
    swept = sweep(features, classes, 4, grid, seed=3)
    held = torch.from_numpy(validation_rows(classes.numpy(), grid.validation_share, 3))
    expected = {}
    for name, x in features.items():
        for base_lr in grid.base_lrs:
            alone = trained_alone(x[~held], classes[~held], 4, base_lr, grid, seed=3)
            right = is_correct(alone, x[held], classes[held])
            expected[Head(name, base_lr)] = 100 * right.double().mean().item()
    assert swept.accuracies == pytest.approx(expected)
    assert len(set(expected.values())) > 3
    assert expected[swept.chosen] == max(expected.values())
    again = trained_alone(
        features[swept.chosen.representation], classes, 4, swept.chosen.base_lr, grid, seed=3
    )
    same(swept.probe, again, rtol=1e-5, atol=1e-5)


def test_a_head_that_overflows_leaves_the_others_alone_and_is_never_chosen():
    features, classes = four_representations(200)
    features["broken"] = features["layer4/cls"] * float("nan")
    rates = [math.inf, 1.0, 1e39, 0.1]
    swept = sweep(features, classes, 4, Grid(rates, epochs=3, batch_size=64), seed=0)
    good = {name: x for name, x in features.items() if name != "broken"}
    expected = sweep(good, classes, 4, Grid([1.0, 0.1], epochs=3, batch_size=64), seed=0)
    assert swept.accuracies == expected.accuracies
    assert swept.chosen == expected.chosen
    same(swept.probe, expected.probe)
    assert set(swept.diverged) >= {Head("broken", rate) for rate in rates}
    assert {head.base_lr for head in swept.diverged if head.representation != "broken"} == {math.inf, 1e39}


def test_a_diverged_head_is_not_chosen_though_its_answer_would_be_right():
    x, classes = blobs(200)
    swept = sweep({"cls": x}, classes * 0, 4, Grid([math.inf, 1.0], epochs=2), seed=0)
    assert swept.chosen == Head("cls", 1.0)  # the largest of four NaN is the first: always class 0
    assert swept.diverged == [Head("cls", math.inf)]


def test_nothing_to_choose_among_is_said_in_one_line():
    features, classes = four_representations(100)
    with pytest.raises(UserError, match=r"all 8 heads diverged; put smaller rates"):
        sweep(features, classes, 4, Grid([math.inf, math.inf * 2], epochs=1), seed=0)


def test_a_tie_goes_to_the_head_named_first():
    x, classes = blobs(300, spread=0.05)
    swept = sweep({"b": x, "a": x}, classes, 4, Grid([3.0, 1.0], epochs=6, batch_size=64), seed=0)
    assert set(swept.accuracies.values()) == {100.0}
    assert swept.chosen == Head("b", 3.0)


def test_features_in_half_precision_are_swept_in_float32():
    features, classes = four_representations(200)
    halves = {name: x.half() for name, x in features.items()}
    floats = {name: x.float() for name, x in halves.items()}
    swept, expected = (sweep(some, classes, 4, Grid([1.0], epochs=2), seed=0) for some in (halves, floats))
    assert swept.accuracies == expected.accuracies
    same(swept.probe, expected.probe)


def test_one_image_per_class_leaves_nothing_to_choose_on():
    x, classes = torch.randn(4, 3), torch.arange(4)
    for choose in (
        lambda: sweep({"cls": x}, classes, 4, GRID, seed=0),
        lambda: knn(x, classes, 4, x),
        lambda: fit_logistic(x.numpy(), classes.numpy()),
    ):
        with pytest.raises(UserError, match=r"needs a class with two training images"):
            choose()


# ---- no test label decides anything ------------------------------------------------------------------------


def by_sweep(train, test):
    views = {"layer1/cls": train.x[:, :6], "layer2/cls": train.x}
    asked = {"layer1/cls": test.x[:, :6], "layer2/cls": test.x}
    swept = sweep(views, train.classes, 4, Grid([0.01, 1.0], epochs=3, batch_size=64), seed=0)
    correct = is_correct(swept.probe, asked[swept.chosen.representation], test.classes)
    return (swept.chosen, swept.accuracies), correct.numpy()


def by_knn(train, test):
    found = knn(*train, 4, test.x)
    return (found.k, found.accuracies), (found.predictions == test.classes).numpy()


def by_logistic(train, test):
    found = fit_logistic(train.x.numpy(), train.classes.numpy())
    return (found.c, found.accuracies), found.predict(test.x.numpy()) == test.classes.numpy()


def by_few_shot(train, test):
    found = few_shot(train.x.numpy(), train.classes.numpy(), test.x.numpy(), 10)
    return found.predictions.tolist(), found.is_correct(test.classes.numpy())


def by_strict(train, test):
    found = fit_strict(lambda x: x, epochs_of(train, RECIPE), 300, test, 4, RECIPE, 200.0, seed=0)
    weights = [tensor.tolist() for tensor in found.probe.state_dict().values()]
    return weights, is_correct(found.probe, *test).numpy()


@pytest.mark.parametrize("head", [by_sweep, by_knn, by_logistic, by_few_shot, by_strict])
def test_the_test_labels_decide_nothing_but_the_number(head):
    train, test = blobs(300), blobs(200, seed=1)
    wrong = Labelled(test.x, (test.classes + 1) % 4)
    (choice, correct), (choice_of_wrong, correct_of_wrong) = head(train, test), head(train, wrong)
    assert choice == choice_of_wrong
    assert correct.mean() > 0.5 > correct_of_wrong.mean()


# ---- logistic regression, neighbours, few shots ------------------------------------------------------------


def own_pipeline(x, classes, c):
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)).fit(x, classes)


def test_logistic_regression_is_scikit_learns_pipeline_with_the_best_c():
    (train, labels), (asked, _) = (
        tuple(part.numpy() for part in blobs(n, spread=2.5, seed=n)) for n in (200, 90)
    )
    cs = (1e-4, 1e-2, 1.0, 100.0)
    found = fit_logistic(train, labels, cs=cs, validation_share=0.3, seed=2)
    held = validation_rows(labels, 0.3, 2)
    scores = [100 * own_pipeline(train[~held], labels[~held], c).score(train[held], labels[held]) for c in cs]
    assert list(found.accuracies.values()) == pytest.approx(scores)
    assert len(set(scores)) > 1
    assert found.c == cs[int(np.argmax(scores))]
    np.testing.assert_array_equal(found.predict(asked), own_pipeline(train, labels, found.c).predict(asked))
    assert found.has_converged


def test_a_tie_goes_to_the_c_and_to_the_k_named_first():
    train = blobs(200, spread=0.05)
    found = fit_logistic(train.x.numpy(), train.classes.numpy(), cs=(1.0, 0.1, 10.0))
    assert set(found.accuracies.values()) == {100.0}
    assert found.c == 1.0
    assert knn(*train, 4, train.x, ks=(7, 3, 9)).k == 7


def test_a_fit_that_stops_early_says_so_and_one_class_is_refused():
    train = blobs(200)
    assert not fit_logistic(train.x.numpy(), train.classes.numpy(), cs=[1.0], max_iter=2).has_converged
    with pytest.raises(UserError, match=r"at least two classes, got 1"):
        fit_logistic(train.x.numpy(), np.zeros(200, np.int64), cs=[1.0])


@pytest.mark.parametrize("chunk", [1, 1000, 2**26])
def test_neighbours_vote_as_in_a_double_loop(chunk, monkeypatch):
    monkeypatch.setattr("m3ae.evaluate.heads.knn.CHUNK", chunk)
    (x, classes), (asked, _) = blobs(120, spread=2.5), blobs(40, spread=2.5, seed=1)
    got = vote(x, classes, 4, asked, (3, 10, 500), 0.07)
    for k, predictions in got.items():
        for row, answer in zip(asked.double().tolist(), predictions.tolist(), strict=True):
            similarities = []
            for other, label in zip(x.double().tolist(), classes.tolist(), strict=True):
                product = sum(a * b for a, b in zip(row, other, strict=True))
                similarities.append((product / math.hypot(*row) / math.hypot(*other), label))
            weights = [0.0] * 4
            for similarity, label in sorted(similarities, reverse=True)[:k]:
                weights[label] += math.exp(similarity / 0.07)
            assert weights[answer] == max(weights)


def test_k_is_the_best_one_on_a_part_of_the_training_set():
    x, classes = blobs(300, spread=3.0)
    found = knn(x, classes, 4, x[:5], ks=(1, 5, 40), validation_share=0.3, seed=4)
    held = torch.from_numpy(validation_rows(classes.numpy(), 0.3, 4))
    expected = {}
    for k in (1, 5, 40):
        votes = vote(x[~held], classes[~held], 4, x[held], [k])[k]
        expected[k] = 100 * (votes == classes[held]).double().mean().item()
    assert found.accuracies == expected
    assert found.k == max(expected, key=expected.get)
    assert len(set(expected.values())) > 1


def test_draws_take_the_same_number_of_every_class_and_depend_on_their_key_alone():
    classes = np.repeat([0, 1, 2], [40, 30, 20])
    draws = {}
    for shots in (1, 5, 10):
        for draw in range(5):
            rows = draw_rows(classes, shots, draw, seed=0)
            assert np.bincount(classes[rows]).tolist() == [shots] * 3
            assert len(set(rows)) == len(rows)
            np.testing.assert_array_equal(rows, draw_rows(classes, shots, draw, seed=0))
            draws[tuple(sorted(rows))] = (shots, draw)
    assert len(draws) == 15
    assert not np.array_equal(draw_rows(classes, 5, 0, seed=0), draw_rows(classes, 5, 0, seed=1))


def test_few_shots_are_regressions_on_the_drawn_images():
    (x, classes), (asked, truths) = (tuple(part.numpy() for part in blobs(n, seed=n)) for n in (200, 50))
    found = few_shot(x, classes, asked, 5, draws=3, seed=1)
    for draw in range(3):
        rows = draw_rows(classes, 5, draw, seed=1)
        np.testing.assert_array_equal(
            found.predictions[draw], own_pipeline(x[rows], classes[rows], 1.0).predict(asked)
        )
    assert found.num_images == 20
    assert found.short == {}
    assert found.is_correct(truths).shape == (3, 50)


def test_a_class_with_fewer_images_than_shots_gives_all_of_them_and_is_named():
    x, classes = np.random.default_rng(0).normal(size=(23, 4)), np.repeat([0, 3, 7], [12, 3, 8])
    found = few_shot(x, classes, x, 10, draws=2)
    assert found.short == {3: 3, 7: 8}
    assert found.num_images == 10 + 3 + 8


# ---- the strict probe --------------------------------------------------------------------------------------


def epochs_of(train, recipe, seed=0):
    """The batches that `linear.fit` sees, as an augmenting loader would give them."""
    generator = torch.Generator().manual_seed(seed)
    LinearProbe(train.x.shape[1], 4, generator)  # draws its weights first
    size = min(recipe.batch_size, len(train.x))
    batches = list(shuffled_batches(len(train.x), size, recipe.epochs, generator))
    per_epoch = len(batches) // recipe.epochs

    def epoch_of(epoch):
        for rows in batches[epoch * per_epoch : (epoch + 1) * per_epoch]:
            yield train.x[rows], train.classes[rows]

    return epoch_of


@pytest.mark.parametrize("count", [50, 300])
def test_without_augmentation_the_strict_probe_is_the_quick_one(count):
    train, test = blobs(count), blobs(50, seed=1)
    strict = fit_strict(lambda x: x, epochs_of(train, RECIPE), count, test, 4, RECIPE, 5.0, seed=0)
    same(strict.probe, fit(*train, 4, RECIPE, 5.0, seed=0), rtol=1e-6, atol=1e-6)
    assert not strict.probe.training


def test_the_encoder_sees_every_epochs_own_images_and_gets_no_gradient():
    train, encoder, seen = blobs(300), torch.nn.Linear(12, 12), []

    def encode(x):
        seen.append(x)
        assert not torch.is_grad_enabled()
        return encoder(x)

    plain = epochs_of(train, RECIPE)
    shifted = lambda epoch: ((x + epoch, classes) for x, classes in plain(epoch))  # noqa: E731
    fit_strict(encode, shifted, 300, blobs(50), 4, RECIPE, 5.0, seed=0)
    assert len(seen) == RECIPE.epochs * 4
    assert encoder.weight.grad is None
    means = [torch.cat(seen[4 * epoch : 4 * epoch + 4]).mean().item() for epoch in range(RECIPE.epochs)]
    assert np.diff(means) == pytest.approx(1, abs=0.2)


def test_the_authors_selection_is_the_best_first_step_of_an_epoch_on_the_test_set():
    train, test = blobs(300, spread=3.0), blobs(60, spread=3.0, seed=1)
    recipe = RECIPE.model_copy(update={"epochs": 12})
    alone, found = (
        fit_strict(
            lambda x: x, epochs_of(train, recipe), 300, test, 4, recipe, 50.0, seed=0, select_on=select_on
        )
        for select_on in (None, test)
    )
    same(alone.probe, found.probe, rtol=0, atol=0)
    assert alone.accuracies == found.accuracies
    assert alone.selected is None
    assert len(found.accuracies) == 12 + 1
    measured, (chosen, epoch) = found.accuracies[:-1], found.selected
    assert measured[epoch] == max(measured) > measured[0]
    assert max(measured) not in measured[:epoch]
    for probe, place in ((found.probe, 12), (chosen, epoch)):
        assert not probe.training
        accuracy = 100 * is_correct(probe, *test).double().mean().item()
        assert accuracy == pytest.approx(found.accuracies[place])


def test_the_first_accuracy_is_that_after_one_step():
    train, test = blobs(300), blobs(60, seed=1)
    found = fit_strict(lambda x: x, epochs_of(train, RECIPE), 300, test, 4, RECIPE, 5.0, seed=0)
    probe = LinearProbe(12, 4, torch.Generator().manual_seed(0))
    first, _ = next(iter(epochs_of(train, RECIPE)(0)))
    probe(first)  # the warm-up's first rate is 0: the batch moves the running statistics alone
    right = is_correct(probe.eval(), *test).double().mean().item()
    assert found.accuracies[0] == pytest.approx(100 * right)


@pytest.mark.parametrize(("num_train", "got"), [(400, r"4 batches"), (200, r"batch 3 of 64"), (30, r"of 64")])
def test_epochs_other_than_promised_are_refused(num_train, got):
    with pytest.raises(UserError, match=rf"epoch 0: expected \d batches of \d+ images, got .*{got}"):
        fit_strict(lambda x: x, epochs_of(blobs(300), RECIPE), num_train, blobs(9), 4, RECIPE, 1.0, seed=0)


# ---- fine-tuning -------------------------------------------------------------------------------------------


def shades(count, seed=0):
    """Images of two classes: bright, or dark."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, 2, (count,), generator=generator)
    images = torch.randn(count, 3, 16, 16, generator=generator) + (1 - 2 * classes[:, None, None, None])
    return images, classes


def one_order(images, classes, size):
    return lambda epoch: zip(images.split(size), classes.split(size), strict=True)


def tuning(epochs=100, warmup_epochs=5, batch_size=1024, **changes):
    """MAE's recipe for ViT-B, with changes."""
    facts = {"base_lr": 1e-3, "weight_decay": 0.05, "betas": [0.9, 0.999], "layer_decay": 0.75}
    facts |= {"label_smoothing": 0.1, "mixup": 0.8, "cutmix": 1.0, "pooling": "mean"}
    facts |= {"rand_augment": "", "erase": 0.0, **changes}
    return FineTune(epochs=epochs, warmup_epochs=warmup_epochs, batch_size=batch_size, **facts)


def test_every_layer_has_its_share_of_the_rate():
    recipe = tuning(layer_decay=0.7)
    model = FineTuned(M3AE(SMALL), 5, "mean", torch.Generator())
    groups = make_optimizer(model, recipe).param_groups
    shares = {id(p): (group["lr_scale"], group["weight_decay"]) for group in groups for p in group["params"]}
    names = dict(model.named_parameters())
    assert len(shares) == sum(len(group["params"]) for group in groups) == len(names)
    for name, parameter in names.items():
        share, decay = shares[id(parameter)]
        above = 0  # the last LayerNorm and the head
        if name.startswith("encoder.encoder.blocks."):
            above = SMALL.depth + 1 - (int(name.split(".")[3]) + 1)
        elif not name.startswith(("encoder.encoder.norm", "head")):
            above = SMALL.depth + 1
        assert share == pytest.approx(0.7**above), name
        assert decay == (0.05 if parameter.ndim > 1 else 0), name


def test_the_first_step_moves_every_layer_by_its_own_rate(monkeypatch):
    monkeypatch.setattr(finetune_module, "HEAD_STD", 1.0)  # else AdamW's eps matters beside the gradients
    encoder, (images, classes) = M3AE(SMALL), shades(32)
    recipe = tuning(1, 0, 32, base_lr=0.08, layer_decay=0.5, mixup=0.0, cutmix=0.0)
    tuned = finetune(encoder, one_order(images, classes, 32), 32, 2, recipe, seed=0)
    for i, block in enumerate(encoder.encoder.blocks):
        moved = (tuned.encoder.encoder.blocks[i].fc2.bias - block.fc2.bias).abs()
        rate = 0.08 * 32 / 256 * 0.5 ** (SMALL.depth + 1 - (i + 1))
        assert moved.max().item() == pytest.approx(rate, rel=1e-3)
        assert moved.median().item() == pytest.approx(rate, rel=1e-2)


def test_fine_tuning_learns_without_touching_the_encoder_and_gives_the_same_bits():
    encoder, (images, classes) = M3AE(SMALL), shades(128)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    recipe = tuning(10, 1, 32, base_lr=4e-2)
    encoder.requires_grad_(False).eval()
    first, second = (
        finetune(encoder, one_order(images, classes, 32), 128, 2, recipe, seed=seed) for seed in (0, 0)
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    asked, truths = shades(100, seed=1)
    with torch.no_grad():
        assert (first(asked).argmax(dim=1) == truths).double().mean() > 0.9
    assert not first.training


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 1.0), (0.8, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_mixed_targets_sum_to_one_and_draws_are_keyed(mixup, cutmix):
    mix = make_mix(tuning(mixup=mixup, cutmix=cutmix), 2, seed=3)
    images, classes = shades(8)
    kept, state = images.clone(), np.random.get_state()[1].copy()
    for step in range(20):
        mixed, targets = mix(step, (images, classes))
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(8))
        assert targets.shape == (8, 2)
        assert torch.equal(mixed, mix(step, (images, classes))[0])
        assert torch.equal(mixed, images) == (not mixup and not cutmix)
    assert torch.equal(images, kept)
    assert np.array_equal(np.random.get_state()[1], state)


def test_an_odd_batch_cannot_be_mixed_and_a_loss_of_nan_stops():
    images, classes = shades(9)
    with pytest.raises(UserError, match=r"batches of an even size, got 9 images"):
        finetune(M3AE(SMALL), one_order(images, classes, 9), 9, 2, tuning(1, 0), seed=0)
    images[3] = float("nan")
    with pytest.raises(UserError, match=r"diverged at step 0; lower base_lr"):
        finetune(
            M3AE(SMALL), one_order(images, classes, 9), 9, 2, tuning(1, 0, mixup=0.0, cutmix=0.0), seed=0
        )
