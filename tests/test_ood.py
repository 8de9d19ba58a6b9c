"""Out-of-distribution scores against naive references, SciPy and scikit-learn."""

import numpy as np
import pytest
import scipy.spatial.distance
import torch

from m3ae.errors import UserError
from m3ae.evaluate.auroc import auroc
from m3ae.evaluate.linear import LinearProbe
from m3ae.evaluate.probe import weights
from m3ae.evaluate.scores import Classifier, fit_gaussians, mahalanobis_score, max_softmax_score


def clouds(count, seed, shift=0.0, width=6, num_classes=5):
    """Classes with a common, skewed covariance."""
    shape = np.random.default_rng(7)
    centres, mix = shape.normal(0, 2, (num_classes, width)), shape.normal(size=(width, width))
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, num_classes, count)
    return (centres[classes] + rng.normal(size=(count, width)) @ mix + shift).astype(np.float32), classes


def test_mahalanobis_matches_loops_over_classes_and_images():
    train, classes = clouds(300, 0)
    test, _ = clouds(20, 1)
    means = [train[classes == c].astype(float).mean(axis=0) for c in range(5)]
    covariance = sum(np.cov(train[classes == c].astype(float).T, ddof=0) for c in range(5)) / 5
    inverse = np.linalg.inv(covariance)
    naive = [-min((x - m) @ inverse @ (x - m) for m in means) for x in test.astype(float)]
    np.testing.assert_allclose(mahalanobis_score(test, fit_gaussians(train, classes)), naive, rtol=1e-9)


def test_mahalanobis_matches_scipy_with_unequal_classes():
    train, classes = clouds(300, 0)
    classes[classes == 4] = 0
    test, _ = clouds(20, 1)
    groups = [train[classes == c].astype(float) for c in range(4)]
    inverse = np.linalg.inv(np.mean([np.cov(g.T, ddof=0) for g in groups], axis=0))
    means = [g.mean(axis=0) for g in groups]
    distances = scipy.spatial.distance.cdist(test.astype(float), means, "mahalanobis", VI=inverse)
    got = mahalanobis_score(test, fit_gaussians(train, classes))
    np.testing.assert_allclose(got, -(distances**2).min(axis=1), rtol=1e-9)


def test_a_direction_with_nothing_but_rounding_carries_no_distance():
    train, classes = clouds(300, 0)
    test, _ = clouds(50, 1)
    plain = mahalanobis_score(test, fit_gaussians(train, classes))
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))[0][:6]
    turned = [(x.astype(np.float64) @ turn).astype(np.float32) for x in (train, test)]  # 6 of 8 dimensions
    gaussians = fit_gaussians(turned[0], classes)
    assert gaussians.rank == 6
    np.testing.assert_allclose(mahalanobis_score(turned[1], gaussians), plain, rtol=1e-3, atol=1e-3)


def test_features_after_a_layer_norm_lose_one_direction():
    x = torch.nn.functional.layer_norm(torch.randn(500, 32, generator=torch.Generator().manual_seed(0)), [32])
    assert fit_gaussians(x.numpy(), np.arange(500) % 4).rank == 31


def test_a_class_with_one_image_is_accepted():
    train, classes = clouds(100, 0)
    classes[0] = 5
    assert np.isfinite(mahalanobis_score(train, fit_gaussians(train, classes))).all()


def test_far_images_score_lower_than_near_ones():
    train, classes = clouds(500, 0)
    near, far = clouds(100, 1)[0], clouds(100, 2, shift=8.0)[0]
    gaussians = fit_gaussians(train, classes)
    assert auroc(mahalanobis_score(near, gaussians), mahalanobis_score(far, gaussians)) > 0.95


def test_the_score_does_not_change_when_all_features_are_mixed():
    (train, classes), (test, _) = clouds(300, 0), clouds(20, 1)
    mix = np.random.default_rng(5).normal(size=(6, 6))
    plain = mahalanobis_score(test.astype(np.float64), fit_gaussians(train.astype(np.float64), classes))
    mixed = mahalanobis_score(test @ mix, fit_gaussians(train @ mix, classes))
    np.testing.assert_allclose(mixed, plain, rtol=1e-6)


def test_max_softmax_matches_torch_even_for_huge_logits():
    logits = np.random.default_rng(0).normal(0, 300, size=(50, 7))
    expected = torch.from_numpy(logits).softmax(dim=1).max(dim=1).values.numpy()
    np.testing.assert_allclose(max_softmax_score(logits), expected, rtol=1e-12)


def test_max_softmax_by_hand():
    assert max_softmax_score(np.log([[1.0, 1.0, 2.0]])) == pytest.approx([0.5])


def test_the_stored_classifier_gives_the_logits_of_the_probe():
    probe = LinearProbe(6, 5, torch.Generator().manual_seed(0))
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(1)) * 3 + 1
    probe(x)  # moves the running statistics
    expected = probe.eval()(x).detach().numpy()
    np.testing.assert_allclose(Classifier(**weights(probe)).logits(x.numpy()), expected, atol=1e-5)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_training_features_that_are_not_finite_are_named(wrong):
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    x[5, 1] = wrong
    with pytest.raises(UserError, match=r"got NaN or infinity for training image 5"):
        fit_gaussians(x, np.arange(8) % 2)


def test_features_that_do_not_vary_carry_no_distance():
    x, classes = np.ones((8, 3), np.float32), np.arange(8) % 2
    gaussians = fit_gaussians(x, classes)
    assert gaussians.rank == 0
    assert mahalanobis_score(2 * x, gaussians).tolist() == [0.0] * 8
