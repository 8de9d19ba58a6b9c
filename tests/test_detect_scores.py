"""Statistics in one pass and the table of scores, against naive references and pytorch-ood's detectors."""

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from m3ae.errors import UserError
from m3ae.evaluate.auroc import auroc
from m3ae.evaluate.detect import fitted as module
from m3ae.evaluate.detect import subspace_scores
from m3ae.evaluate.detect.head_scores import patterns
from m3ae.evaluate.detect.library import detectors
from m3ae.evaluate.detect.odin import odin_of_images
from m3ae.evaluate.detect.scores import LABELS, SCORES, fit
from m3ae.evaluate.detect.statistics import collect
from m3ae.evaluate.scores import Classifier, fit_gaussians, mahalanobis_score, max_softmax_score

WIDTH, CLASSES, EPS = 48, 5, 1e-5
BASIS = np.linalg.qr(np.random.default_rng(9).normal(size=(WIDTH, WIDTH)))[0]
CENTRES = 6 * BASIS[:CLASSES]


def made(seed, count=400):
    """Classes around orthogonal centres, with an offset, float64."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, CLASSES, count)
    spread = np.linspace(0.2, 0.8, WIDTH)
    return CENTRES[classes] + spread * rng.normal(size=(count, WIDTH)) + 1, classes


def made_far(seed, count=200):
    """Between all the classes, and spread where they are not."""
    rng = np.random.default_rng(seed)
    spread = 4 * rng.normal(size=(count, 4)) @ BASIS[CLASSES : CLASSES + 4]
    return CENTRES.mean(axis=0) + spread + 0.2 * rng.normal(size=(count, WIDTH)) + 1


def train_classifier(x, classes):
    mean, variance = x.mean(axis=0), x.var(axis=0)
    found = LogisticRegression().fit((x - mean) / np.sqrt(variance + EPS), classes)
    return Classifier(mean, variance, found.coef_, found.intercept_)


@pytest.fixture(scope="module")
def toy():
    """A training set with its classifier, what the scores know of it, and other images of its classes."""
    x, classes = made(0)
    classifier = train_classifier(x, classes)
    return x, classes, classifier, fit(x, classes, classifier), made(1, 60)[0]


def two_passes(x, classes):
    """Class means, mean of the per-class covariances, mean and covariance of all."""
    labels = np.unique(classes)
    within = np.mean([np.cov(x[classes == c].T, ddof=0) for c in labels], axis=0)
    return [x[classes == c].mean(axis=0) for c in labels], within, x.mean(axis=0), np.cov(x.T, ddof=0)


def batches(x, classes, size):
    return ((x[i : i + size], classes[i : i + size]) for i in range(0, len(x), size))


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("is_balanced", [True, False])
def test_one_pass_equals_two_whatever_the_batches(size, is_balanced):
    x, classes = made(0)
    classes = np.arange(400) % 5 if is_balanced else classes
    found = collect(batches(x, classes, size), np.bincount(classes))
    for got, expected in zip(found[1:], two_passes(x, classes), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


def test_no_digits_are_lost_to_an_offset_or_to_classes_far_apart():
    x, classes = made(0)
    far = 1e6 * CENTRES[classes]
    _, within, _, covariance = two_passes(x, classes)  # of the same classes side by side
    found = collect(batches(x + 1e6 + far, classes, 50), np.bincount(classes))
    np.testing.assert_allclose(found.within, within, rtol=1e-6, atol=1e-8)
    offset = collect(batches(x + 1e6, classes, 50), np.bincount(classes))
    np.testing.assert_allclose(offset.covariance, covariance, rtol=1e-6, atol=1e-8)


def test_a_class_without_images_has_no_distribution():
    x, classes = made(0)
    x, classes = x[classes != 2], classes[classes != 2]
    found = collect(batches(x, classes, 64), np.bincount(classes, minlength=7))
    assert found.counts[[2, 5, 6]].tolist() == [0, 0, 0]
    got, expected = found.gaussians(), fit_gaussians(x, classes)
    np.testing.assert_allclose(got.means, expected.means, rtol=1e-12)
    np.testing.assert_allclose(mahalanobis_score(x, got), mahalanobis_score(x, expected), rtol=1e-9)


def test_features_on_a_plane_lose_the_direction_across_it():
    x = torch.nn.functional.layer_norm(torch.randn(500, 32), [32]).numpy()
    found = collect(batches(x, np.arange(500) % 4, 100), np.full(4, 125))
    assert found.gaussians().rank == found.background().rank == 31
    expected = fit_gaussians(x, np.arange(500) % 4)
    np.testing.assert_allclose(
        mahalanobis_score(x, found.gaussians()), mahalanobis_score(x, expected), rtol=1e-9
    )


def test_labels_and_batches_that_do_not_fit_are_refused():
    x, classes = made(0)
    with pytest.raises(UserError, match=r"expected \d+ images of class 0, .*got \d+"):
        collect(batches(x[:300], classes[:300], 64), np.bincount(classes))
    with pytest.raises(UserError, match=r"expected classes from 0 to 2, got 0 to 4"):
        collect(batches(x, classes, 400), np.bincount(classes)[:3])
    with pytest.raises(UserError, match=r"expected a label for each of 400 images, got 399"):
        collect([(x, classes[1:])], np.bincount(classes))
    with pytest.raises(UserError, match=r"at least one batch"):
        collect([], np.ones(3, np.int64))
    x[5, 3] = np.nan
    with pytest.raises(UserError, match=r"NaN or infinity in image 5 of a batch"):
        collect(batches(x, classes, 400), np.bincount(classes))


class Naive:
    """What the formulas are written in: features before and after normalisation, logits, probabilities."""

    def __init__(self, toy):
        self.x_train, self.classes, classifier, _, self.x = toy
        sd = np.sqrt(classifier.variance + EPS)
        self.weight, self.bias, self.folded = classifier.weight, classifier.bias, classifier.weight / sd
        self.h_train, self.h = ((x - classifier.mean) / sd for x in (self.x_train, self.x))
        self.z_train, self.z = (h @ self.weight.T + self.bias for h in (self.h_train, self.h))
        self.p_train, self.p = (
            np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (self.z_train, self.z)
        )
        self.predicted = [int(np.argmax(z)) for z in self.z]
        self.energy, self.energy_train = (np.log(np.exp(z).sum(axis=1)) for z in (self.z, self.z_train))
        self.means, self.within, self.mean, self.covariance = two_passes(self.x_train, self.classes)

    def energy_of(self, h):
        """Energy of one image's shaped activations."""
        return np.log(np.exp(self.weight @ h + self.bias).sum())


def unit(x):
    return x / np.linalg.norm(x)


def kl_matching(n):
    classes = n.z_train.argmax(axis=1)
    profiles = [n.p_train[classes == c].mean(axis=0) for c in range(CLASSES)]
    return [-min(sum(p * np.log(p / profile)) for profile in profiles) for p in n.p]


def odin(n):
    scores = []
    for h, z, c in zip(n.h, n.z, n.predicted, strict=True):
        p = scipy.special.softmax(z / 1000)
        towards = h + 0.0014 * np.sign(n.weight[c] - p @ n.weight)  # the gradient of log p[c]
        scores.append(scipy.special.softmax((n.weight @ towards + n.bias) / 1000).max())
    return scores


def relative_mahalanobis(n):
    within, everything = np.linalg.inv(n.within), np.linalg.inv(n.covariance)
    nearest = [min((x - m) @ within @ (x - m) for m in n.means) for x in n.x]
    return [(x - n.mean) @ everything @ (x - n.mean) - d for x, d in zip(n.x, nearest, strict=True)]


def residual(n, rows=None):
    origin = -scipy.linalg.pinv(n.weight, rtol=1e-9) @ n.bias
    _, _, directions = np.linalg.svd(n.h_train - origin)  # largest first
    left = directions[WIDTH // 2 :]
    return [-np.sqrt(sum((left @ (h - origin)) ** 2)) for h in (n.h if rows is None else rows)]


def vim(n):
    alpha = n.z_train.max(axis=1).mean() / -np.mean(residual(n, n.h_train))
    return [e + alpha * r for e, r in zip(n.energy, residual(n), strict=True)]


def she(n):
    right = n.z_train.argmax(axis=1) == n.classes
    patterns = [n.h_train[right & (n.classes == c)].mean(axis=0) for c in range(CLASSES)]
    return [h @ patterns[c] for h, c in zip(n.h, n.predicted, strict=True)]


def nnguide(n):
    bank = [e * unit(h) for e, h in zip(n.energy_train, n.h_train, strict=True)]
    nearest = [sorted((unit(h) @ b for b in bank), reverse=True)[:10] for h in n.h]
    return [e * np.mean(similarities) for e, similarities in zip(n.energy, nearest, strict=True)]


def pnml(n):
    inverse = np.linalg.pinv(sum(np.outer(unit(h), unit(h)) for h in n.h_train))
    scores = []
    for h in n.h:
        p = scipy.special.softmax(n.weight @ unit(h) + n.bias)
        distance = unit(h) @ inverse @ unit(h)
        regrets = p / (p + (1 - p) * p ** (distance / (1 + distance)))
        scores.append(-np.log(regrets.sum()) / np.log(CLASSES))
    return scores


def fdbd(n):
    scores = []
    for h, z, c in zip(n.h, n.z, n.predicted, strict=True):
        others = [k for k in range(CLASSES) if k != c]
        distances = [(z[c] - z[k]) / np.linalg.norm(n.weight[c] - n.weight[k]) for k in others]
        scores.append(np.mean(distances) / np.linalg.norm(h - n.h_train.mean(axis=0)))
    return scores


def largest(h, share):
    """Whether each activation is among those that are left when ``share`` of them are cut."""
    return np.argsort(np.argsort(-h)) < WIDTH - round(WIDTH * share)


def ash_s(n):
    kept = [np.where(largest(h, 0.9), h, 0) for h in n.h]
    return [n.energy_of(k * np.exp(h.sum() / k.sum())) for h, k in zip(n.h, kept, strict=True)]


def dice(n):
    contribution = n.folded * n.mean
    cut = np.sort(np.ravel(contribution))[int(0.7 * contribution.size)]
    weight = np.where(contribution >= cut, n.folded, 0)
    bias = n.bias - n.folded @ n.x_train.mean(axis=0)
    return [np.log(np.exp(weight @ x + bias).sum()) for x in n.x]


NAIVE = {
    "msp": lambda n: [max(p) for p in n.p],
    "max_logit": lambda n: [max(z) for z in n.z],
    "energy": lambda n: n.energy,
    "entropy": lambda n: [sum(v * np.log(v) for v in p) for p in n.p],
    "gen": lambda n: [-sum((v * (1 - v)) ** 0.1 for v in p) for p in n.p],
    "kl_matching": kl_matching,
    "gradnorm": lambda n: [np.abs(np.outer(p - 1 / CLASSES, h)).sum() for p, h in zip(n.p, n.h, strict=True)],
    "odin": odin,
    "mahalanobis": lambda n: [
        -min((x - m) @ np.linalg.inv(n.within) @ (x - m) for m in n.means) for x in n.x
    ],
    "relative_mahalanobis": relative_mahalanobis,
    "knn": lambda n: [-sorted(np.linalg.norm(unit(x) - unit(other)) for other in n.x_train)[49] for x in n.x],
    "cosine": lambda n: [max(unit(x) @ unit(m) for m in n.means) for x in n.x],
    "residual": residual,
    "vim": vim,
    "she": she,
    "nnguide": nnguide,
    "pnml": pnml,
    "nci": lambda n: [
        unit(h - n.h_train.mean(axis=0)) @ n.weight[c] for h, c in zip(n.h, n.predicted, strict=True)
    ],
    "fdbd": fdbd,
    "react": lambda n: [n.energy_of(np.minimum(h, np.percentile(n.h_train, 90))) for h in n.h],
    "vra": lambda n: [n.energy_of(np.clip(h, *np.quantile(n.h_train, [0.01, 0.99], axis=0))) for h in n.h],
    "ash_s": ash_s,
    "ash_p": lambda n: [n.energy_of(np.where(largest(h, 0.6), h, 0)) for h in n.h],
    "scale": lambda n: [n.energy_of(h * np.exp(h.sum() / h[largest(h, 0.85)].sum())) for h in n.h],
    "dice": dice,
}
IN_FLOAT32 = {"nnguide", "pnml", "nci", "vra"}  # by pytorch-ood


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_its_papers_formula_image_by_image(toy, name):
    expected = NAIVE[name](Naive(toy))
    found = SCORES[name](toy[3], toy[4])
    assert found.shape == (60,)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-4 if name in IN_FLOAT32 else 1e-9)


def test_every_score_has_a_label_with_a_source():
    assert list(LABELS) == [*SCORES, "odin_pixels"]
    assert len(SCORES) >= 20
    assert len({label.name for label in LABELS.values()}) == len(LABELS)
    assert all(label.source[-4:].isdigit() for label in LABELS.values())


@pytest.mark.parametrize("name", SCORES)
def test_images_of_the_classes_score_higher_than_far_ones(toy, name):
    near, far = made(2, 200)[0], made_far(3)
    least = 0.6 if name == "ash_s" else 0.9  # it divides by sums that mean nothing for negative activations
    assert auroc(SCORES[name](toy[3], near), SCORES[name](toy[3], far)) > least


def activations(seed, are_far):
    """As after a ReLU: many units answer to a class, two at random to what is none."""
    rng = np.random.default_rng(seed)
    classes, units = rng.integers(0, CLASSES, 300), np.arange(WIDTH)
    picked = rng.integers(0, WIDTH, (2, 300, 1))
    is_active = (units == picked).any(axis=0) if are_far else units % CLASSES == classes[:, None]
    return np.abs(rng.normal(4 * is_active, 0.5)), classes


@pytest.mark.parametrize("name", ["react", "vra", "ash_s", "ash_p", "scale", "dice"])
def test_cut_activations_tell_images_apart_after_a_relu_as_their_papers_have_it(name):
    x, classes = activations(0, are_far=False)
    head = LogisticRegression(C=0.01).fit(x, classes)
    as_it_is = Classifier(np.zeros(WIDTH), np.full(WIDTH, 1 - EPS), head.coef_, head.intercept_)
    fitted = fit(x, classes, as_it_is)
    near, far = (SCORES[name](fitted, activations(seed, seed == 2)[0]) for seed in (1, 2))
    assert auroc(near, far) > 0.95


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_the_same_each_time_and_does_not_depend_on_the_batch(toy, name, monkeypatch):
    x_train, classes, classifier, fitted, x = toy
    found = SCORES[name](fitted, x)
    again = SCORES[name](fit(x_train, classes, classifier), x)
    np.testing.assert_array_equal(found, again)
    single = np.concatenate([SCORES[name](fitted, x[i : i + 1]) for i in range(10)])
    rtol = 1e-4 if name in IN_FLOAT32 else 1e-9
    np.testing.assert_allclose(single, found[:10], rtol=rtol)
    monkeypatch.setattr(module, "ROWS", 7)
    np.testing.assert_allclose(SCORES[name](fitted, x), found, rtol=rtol)


def test_mahalanobis_and_msp_are_those_of_figure_6(toy):
    x_train, classes, classifier, fitted, x = toy
    expected = mahalanobis_score(x, fit_gaussians(x_train, classes))
    np.testing.assert_allclose(SCORES["mahalanobis"](fitted, x), expected, rtol=1e-9)
    np.testing.assert_array_equal(SCORES["msp"](fitted, x), max_softmax_score(classifier.logits(x)))


def linear_of(toy, dtype=torch.float32):
    layer = torch.nn.Linear(WIDTH, CLASSES, dtype=dtype)
    values = {"weight": torch.tensor(toy[2].weight), "bias": torch.tensor(toy[2].bias)}
    layer.load_state_dict(values)
    return layer


def theirs(toy, name):
    """Scores of pytorch-ood's own detectors, where the table has ours."""
    _, classes, classifier, fitted, x = toy
    library, layer = detectors(), linear_of(toy)
    h_train, h = (torch.tensor(fitted.normalise(rows)) for rows in (toy[0], x))
    y, weight, bias = torch.tensor(classes), layer.weight.data, layer.bias.data
    if name == "gradnorm":
        detector = library.GradNorm(linear_of(toy, torch.float64), param_filter=lambda key: key == "weight")
        return detector.predict(h)
    if name == "entropy":
        return library.Entropy.score(torch.tensor(classifier.logits(x)))
    if name == "gen":
        return library.GEN.score(torch.tensor(classifier.logits(x)), gamma=0.1) * CLASSES
    detector = {
        "she": lambda: library.SHE(None, layer),
        "fdbd": lambda: library.fDBD(None, layer),
        "vim": lambda: library.ViM(None, WIDTH // 2, weight, bias),
    }[name]()
    return detector.fit_features(h_train.float(), y).predict_features(h.float())


@pytest.mark.parametrize("name", ["gradnorm", "entropy", "gen", "she", "fdbd", "vim"])
def test_what_is_ours_agrees_with_pytorch_ood_where_that_is_sound(toy, name):
    rtol = 1e-2 if name in ("entropy", "gen") else 1e-3  # they cut probabilities at 1e-7
    expected = -theirs(toy, name).detach().numpy()
    np.testing.assert_allclose(SCORES[name](toy[3], toy[4]), expected, rtol=rtol, atol=1e-5)


def test_confident_images_are_told_apart_by_entropy_and_gen(toy):
    x_train, classes, classifier, _, _ = toy
    sure = classifier._replace(weight=6 * classifier.weight, bias=6 * classifier.bias)
    x = made(4, 1000)[0]
    largest = max_softmax_score(sure.logits(x))
    assert (1 - largest < 1e-7).mean() > 0.5  # where pytorch-ood cuts
    fitted = fit(x_train, classes, sure)
    for name in ("entropy", "gen"):
        assert len(np.unique(SCORES[name](fitted, x))) == 1000
        assert len(np.unique(theirs((x_train, classes, sure, fitted, x), name))) < 950


def test_float32_features_give_nearly_the_same(toy):
    x_train, classes, classifier, fitted, x = toy
    halved = fit(x_train.astype(np.float32), classes, Classifier(*(v.astype(np.float32) for v in classifier)))
    for name, score in SCORES.items():
        got, expected = score(halved, x.astype(np.float32)), score(fitted, x)
        assert np.abs(got - expected).max() < 1e-3 * np.abs(expected).max(), name


def test_a_class_without_images_or_right_predictions_stops_no_score(toy):
    x_train, classes, classifier, _, x = toy
    present = classes != 3
    swapped = np.where(classes == 1, 2, np.where(classes == 2, 1, classes))  # never predicted right
    fitted = fit(x_train[present], swapped[present], classifier)
    for name, score in SCORES.items():
        assert np.isfinite(score(fitted, x)).all(), name


def test_a_single_class_is_refused_and_a_single_image_is_enough(toy):
    x_train, _, classifier, _, x = toy
    lonely = fit(x_train[:1], np.zeros(1, np.int64), classifier)
    for name in ("vim", "residual", "mahalanobis", "knn"):
        assert np.isfinite(SCORES[name](lonely, x)).all(), name
    one = Classifier(classifier.mean, classifier.variance, classifier.weight[:1], classifier.bias[:1])
    with pytest.raises(UserError, match=r"expected a classifier of at least two classes, got 1"):
        fit(x_train, np.zeros(len(x_train), np.int64), one)


def test_she_remembers_images_predicted_right_and_all_of_a_class_without_any(toy):
    x_train, classes, classifier, _, x = toy
    labels = classes.copy()
    labels[:40] = (labels[:40] + 1) % CLASSES
    mislabelled = x_train, labels, classifier, fit(x_train, labels, classifier), x
    np.testing.assert_allclose(SCORES["she"](mislabelled[3], x), she(Naive(mislabelled)), rtol=1e-9)
    swapped = np.where(classes == 1, 2, np.where(classes == 2, 1, classes))
    fitted = fit(x_train, swapped, classifier)
    found = fitted.once(patterns)
    for label in (1, 2):
        np.testing.assert_allclose(found[label], fitted.normalise(x_train[swapped == label]).mean(axis=0))


def test_fewer_images_than_neighbours_are_enough(toy):
    x_train, classes, classifier, _, x = toy
    fitted = fit(x_train[:8], classes[:8], classifier)
    expected, _ = (
        NearestNeighbors(n_neighbors=8)
        .fit([unit(row) for row in x_train[:8]])
        .kneighbors([unit(row) for row in x])
    )
    np.testing.assert_allclose(SCORES["knn"](fitted, x), -expected[:, -1], rtol=1e-9)
    assert np.isfinite(SCORES["nnguide"](fitted, x)).all()


def test_a_bank_is_spread_over_the_training_set_and_its_statistics_see_all(toy):
    x_train, classes, classifier, fitted, _ = toy
    small = fit(x_train, classes, classifier, bank_size=5)
    np.testing.assert_array_equal(small.bank, x_train[[0, 99, 199, 299, 399]])
    np.testing.assert_array_equal(small.bank_classes, classes[[0, 99, 199, 299, 399]])
    np.testing.assert_array_equal(small.statistics.within, fitted.statistics.within)


@pytest.mark.parametrize(("width", "expected"), [(2048, 1000), (1024, 512), (768, 512), (512, 256), (24, 12)])
def test_the_principal_subspace_is_as_large_as_the_paper_says(width, expected):
    assert subspace_scores.num_principal(width) == expected


@pytest.mark.parametrize("name", SCORES)
def test_what_are_no_features_of_this_encoder_is_refused(toy, name):
    fitted, x = toy[3], toy[4].copy()
    with pytest.raises(UserError, match=r"expected features of shape \(images, 48\), got \(60, 47\)"):
        SCORES[name](fitted, x[:, 1:])
    with pytest.raises(UserError, match=r"got \(0, 48\)"):
        SCORES[name](fitted, x[:0])
    x[7, 0] = np.nan
    with pytest.raises(UserError, match=r"NaN or infinity for image 7"):
        SCORES[name](fitted, x)


def test_a_training_set_that_does_not_fit_the_classifier_is_refused(toy):
    x_train, classes, classifier, _, _ = toy
    with pytest.raises(UserError, match=r"expected classes from 0 to 4, got 1 to 5"):
        fit(x_train, classes + 1, classifier)
    with pytest.raises(UserError, match=r"expected classes from 0 to 4, got -1 to 3"):
        fit(x_train, classes - 1, classifier)
    with pytest.raises(UserError, match=r"at least one batch"):
        fit(x_train[:0], classes[:0], classifier)


@pytest.mark.parametrize("std", [None, [0.5, 0.25, 0.2]])
def test_odin_of_images_takes_a_step_against_the_loss_of_the_predicted_class(std):
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(64, 5)
    ).double()
    images = torch.randn(6, 3, 6, 6, dtype=torch.float64)
    found = odin_of_images(model, images, eps=0.01, temperature=10.0, std=std)
    for image, score in zip(images, found, strict=True):
        x = image[None].clone().requires_grad_()
        log_p = (model(x) / 10).log_softmax(dim=1).max()
        log_p.backward()
        pixel_std = torch.tensor(std or [1.0] * 3, dtype=torch.float64).view(1, 3, 1, 1)
        step = 0.01 * x.grad.sign() / pixel_std
        expected = (model(image[None] + step) / 10).softmax(dim=1).max().item()
        assert score == pytest.approx(expected, rel=1e-12)
        assert score > log_p.exp().item()


def test_features_that_never_change_are_a_tie_in_every_score():
    """A collapsed encoder: all 0 after the BatchNorm, which some scores divide by."""
    classes = np.arange(20) % CLASSES
    x, rng = np.full((20, WIDTH), 0.5), np.random.default_rng(0)
    weight, bias = rng.normal(size=(CLASSES, WIDTH)), rng.normal(size=CLASSES)
    fitted = fit(x, classes, Classifier(x.mean(axis=0), x.var(axis=0), weight, bias))
    for name in ("nci", "ash_s", "scale"):
        found = SCORES[name](fitted, x)
        assert np.ptp(found) == 0, name
        expected = 0 if name == "nci" else scipy.special.logsumexp(bias)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
