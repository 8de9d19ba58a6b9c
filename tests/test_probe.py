"""The linear probe against loops written from the paper's sentences, and against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from m3ae.config.evaluation import Probe, Task
from m3ae.errors import UserError
from m3ae.evaluate.lars import Lars
from m3ae.evaluate.linear import BatchNorm, LinearProbe, fit, is_correct, learning_rate, shuffled_batches
from m3ae.evaluate.probe import Labelled, choose_rate, train_and_test, validation_rows

TASK = Task(name="digit", dataset="toy", train="train", test="test", label="digit")
RECIPE = Probe(
    tasks=[TASK],
    batch_size=128,
    epochs=40,
    warmup_epochs=4,
    base_lrs=[0.1, 1.0, 10.0],
    momentum=0.9,
    trust_coefficient=0.001,
    validation_share=0.1,
)


def blobs(count, num_classes=4, width=12, spread=1.0, seed=0):
    """Classes as normal clouds around fixed centres."""
    centres = np.random.default_rng(99).normal(size=(num_classes, width))
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, num_classes, count)
    x = centres[classes] + spread * rng.normal(size=(count, width))
    return Labelled(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(classes))


def test_lars_matches_a_numpy_loop_with_a_bias_that_starts_at_zero():
    rng = np.random.default_rng(0)
    start = {"weight": rng.normal(size=(3, 5)), "bias": np.zeros(3)}
    steps = [{"weight": rng.normal(size=(3, 5)), "bias": rng.normal(size=3)} for _ in range(6)]
    steps[3]["weight"][:] = 0  # the other case in which the ratio is 1
    rates = [0.0, 0.5, 1.0, 0.8, 0.3, 0.1]

    ours = {name: torch.nn.Parameter(torch.from_numpy(array.copy())) for name, array in start.items()}
    optimizer = Lars(ours.values(), lr=0.0, momentum=0.9, trust_coefficient=0.001)
    for rate, gradients in zip(rates, steps, strict=True):
        optimizer.lr = rate
        for name, parameter in ours.items():
            parameter.grad = torch.from_numpy(gradients[name].copy())
        optimizer.step()

    for name, w in start.items():
        velocity = np.zeros_like(w)
        for rate, gradients in zip(rates, steps, strict=True):
            g = gradients[name]
            w_norm, g_norm = math.sqrt((w**2).sum()), math.sqrt((g**2).sum())
            ratio = 0.001 * w_norm / g_norm if w_norm > 0 and g_norm > 0 else 1.0
            velocity = 0.9 * velocity + rate * ratio * g
            w = w - velocity
        np.testing.assert_allclose(ours[name].detach().numpy(), w, atol=1e-6)


def test_the_first_real_step_of_the_bias_is_not_scaled():
    bias = torch.nn.Parameter(torch.zeros(2))
    bias.grad = torch.tensor([3.0, 4.0])
    Lars([bias], lr=0.5).step()
    assert bias.tolist() == [-1.5, -2.0]


def test_batch_norm_statistics_match_a_loop_with_the_biased_variance():
    x = np.random.default_rng(0).normal(2, 3, size=(5, 8, 3)).astype(np.float32)
    norm, mean, variance = BatchNorm(3), np.zeros(3), np.ones(3)
    for batch in x:
        got = norm(torch.from_numpy(batch)).numpy()
        batch_mean = batch.sum(axis=0) / 8
        batch_variance = ((batch - batch_mean) ** 2).sum(axis=0) / 8
        np.testing.assert_allclose(got, (batch - batch_mean) / np.sqrt(batch_variance + 1e-5), atol=1e-5)
        mean = 0.9 * mean + 0.1 * batch_mean
        variance = 0.9 * variance + 0.1 * batch_variance
    np.testing.assert_allclose(norm.mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(norm.variance.numpy(), variance, rtol=1e-5)

    got = norm.eval()(torch.from_numpy(x[0])).numpy()
    np.testing.assert_allclose(got, (x[0] - mean) / np.sqrt(variance + 1e-5), atol=1e-5)


def test_the_first_weights_are_lecun_normal_and_the_bias_is_zero():
    probe = LinearProbe(400, 500, torch.Generator().manual_seed(0))
    assert probe.linear.weight.std().item() == pytest.approx(1 / math.sqrt(400), rel=0.01)
    assert probe.linear.weight.abs().max().item() < 2 / math.sqrt(400) / 0.8796 + 1e-6
    assert not probe.linear.bias.any()


def test_the_rate_climbs_from_zero_to_its_peak_and_falls_to_zero():
    rates = [learning_rate(step, 0.8, 10, 90) for step in range(91)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.4)
    assert rates[10] == max(rates) == 0.8
    assert rates[50] == pytest.approx(0.4)
    assert rates[90] == pytest.approx(0, abs=1e-12)


def test_an_epoch_shows_whole_batches_of_different_samples():
    batches = list(shuffled_batches(10, 4, 3, torch.Generator().manual_seed(0)))
    assert [len(rows) for rows in batches] == [4] * 6
    epochs = [torch.cat(batches[i : i + 2]).tolist() for i in (0, 2, 4)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_separable_classes_are_learned():
    train, test = blobs(1000, spread=0.3), blobs(500, spread=0.3, seed=1)
    probe = fit(*train, 4, RECIPE, 1.0, seed=0)
    assert is_correct(probe, *test).double().mean() > 0.95


def test_accuracy_is_close_to_logistic_regression():
    train, test = blobs(2000, spread=2.0), blobs(2000, spread=2.0, seed=1)
    ours = is_correct(fit(*train, 4, RECIPE, 10.0, seed=0), *test).double().mean().item()
    theirs = LogisticRegression(max_iter=1000).fit(*train).score(*test)
    assert 0.4 < theirs < 0.95  # neither trivial nor hopeless
    assert abs(ours - theirs) < 0.02


def test_the_same_seed_gives_the_same_bits():
    train = blobs(300)
    first, second, other = (fit(*train, 4, RECIPE, 1.0, seed=seed).linear.weight for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_set_smaller_than_a_batch_is_one_batch():
    probe = fit(*blobs(20), 4, RECIPE, 10.0, seed=0)
    assert torch.isfinite(probe.linear.weight).all()
    assert not torch.equal(probe.norm.mean, torch.zeros(12))


def test_validation_holds_out_the_same_share_of_every_class():
    classes = np.repeat([0, 1, 2, 3], [100, 50, 4, 1])
    held = validation_rows(classes, 0.1, seed=0)
    assert [int(held[classes == label].sum()) for label in range(4)] == [10, 5, 1, 0]
    assert not np.array_equal(held, validation_rows(classes, 0.1, seed=1))


def test_a_single_rate_costs_no_training_images():
    recipe = RECIPE.model_copy(update={"base_lrs": [0.1]})
    assert choose_rate(blobs(5), 4, recipe, seed=0) == (0.1, {})


def test_a_rate_that_diverges_is_not_chosen():
    x, classes = blobs(200)
    recipe = RECIPE.model_copy(update={"base_lrs": [float("inf"), 1.0]})
    base_lr, accuracies = choose_rate(
        Labelled(x, classes * 0), 4, recipe, seed=0
    )  # answering class 0 would always be right
    assert base_lr == 1.0
    assert accuracies["inf"] == 0


def test_no_rate_can_be_chosen_from_one_image_per_class():
    with pytest.raises(UserError, match="needs a class with two training images"):
        choose_rate(Labelled(torch.randn(4, 3), torch.arange(4)), 4, RECIPE, seed=0)


def test_the_test_labels_decide_nothing_but_the_number():
    train, test = blobs(400, spread=1.5), blobs(200, spread=1.5, seed=1)
    wrong = Labelled(test.x, (test.classes + 1) % 4)
    honest, scrambled = (train_and_test(train, labels, 4, RECIPE, seed=0) for labels in (test, wrong))
    assert honest.details == scrambled.details
    assert torch.equal(honest.probe.linear.weight, scrambled.probe.linear.weight)
    assert honest.correct.mean() > 0.5 > scrambled.correct.mean()


def test_details_say_how_the_number_came_about():
    details = train_and_test(blobs(400), blobs(200, seed=1), 4, RECIPE, seed=0).details
    assert details["validation"].keys() == {"0.1", "1.0", "10.0"}
    assert details["validation"][str(details["base_lr"])] == max(details["validation"].values())
    assert (details["num_train"], details["num_test"], details["num_classes"]) == (400, 200, 4)
    assert details["chance"] == 25
