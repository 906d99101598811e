"""Every number of report.json, computed again by scikit-learn, scipy, statsmodels or NumPy from the model's logits.

The logits beside the report are the ones that its figures are of, so that what is computed from them agrees to 1e-9;
test_model.py compares them with onnxruntime's in Python.
"""

import base64
import hashlib
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import statsmodels.api as sm
from conftest import read
from safetensors import safe_open
from scipy import optimize
from scipy.special import expit, log_softmax, logit, softmax
from scipy.stats import binomtest, norm, permutation_test
from scipy.stats import t as student
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.dummy import DummyClassifier
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint, test_proportions_2indep as compare_shares

CLOSE = {"rtol": 0, "atol": 1e-9}
SINGLE = {"rtol": 0, "atol": 1e-6}  # What has passed single precision.

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # A class may lack images.


class Judged:
    """A run's report, and what it is of."""

    def __init__(self, run: Path, shards: Path):
        self.run, self.shards = run, shards
        self.report = json.loads((run / "report" / "report.json").read_text())
        self.dataset = json.loads((shards / "dataset.json").read_text())
        self.classes = self.report["model"]["classes"]
        self.labels_range = range(len(self.classes))
        self.truth = self.load(self.report["split"], "labels")
        self.logits = np.load(run / "report" / "logits.npy").astype(np.float64)
        self.predicted = self.logits.argmax(axis=1)
        self.temperature = self.report["calibration"]["model_temperature"]
        self.probabilities = softmax(self.logits / self.temperature, axis=1)
        self.names = self.files(self.report["split"])
        self.fitted = self.report["calibration"]["fitted"]["temperature"]
        training = np.array(self.dataset["splits"]["train"]["images_by_class"], float)
        self.training_prior = training / training.sum()

    def load(self, split: str, what: str) -> np.ndarray:
        return read(self.shards, split, what)

    @staticmethod
    def softmax_of(path: Path, temperature: float) -> np.ndarray:
        return softmax(np.load(path).astype(np.float64) / temperature, axis=1)

    def files(self, split: str) -> list[str]:
        parts = self.dataset["splits"][split]["shards"]
        return [name for part in parts for name in (self.shards / part["names"]["path"]).read_text().splitlines()]


@pytest.fixture(scope="module")
def judged(run_directory: Path, shards: Path) -> Judged:
    return Judged(run_directory, shards)


@pytest.fixture(scope="module")
def asked(asked_run: Path, shards: Path) -> Judged:
    """With every question asked."""
    return Judged(asked_run, shards)


def check_proportion(found: dict, count: int, total: int, place: str) -> None:
    assert (found["count"], found["total"]) == (count, total), place
    if total == 0:
        assert found["value"] is found["wilson_95"] is found["jeffreys_95"] is None, place
        return
    np.testing.assert_allclose(found["value"], count / total, err_msg=place, **CLOSE)
    for name in ("wilson", "jeffreys"):
        expected = proportion_confint(count, total, alpha=0.05, method=name)
        np.testing.assert_allclose(found[f"{name}_95"], expected, err_msg=f"{place} {name}", **CLOSE)


def check_ratio(found: dict, one: tuple[int, int], other: tuple[int, int], place: str) -> None:
    """Of two shares, each given as count and total: at each end of the interval, the score test's probability is 5 %."""
    if one[0] == other[0] == 0 or 0 in (one[1], other[1]):
        assert found == {"value": None, "interval_95": None}, place
        return
    low, high = found["interval_95"]
    assert (low == 0) == (one[0] == 0), place
    assert (found["value"] is None) == (high is None) == (other[0] == 0), place
    if found["value"] is not None:
        np.testing.assert_allclose(found["value"], one[0] / one[1] / (other[0] / other[1]), err_msg=place, **CLOSE)
        assert low <= found["value"] <= high, place
    for end in [low] * (low > 0) + [high] * (high is not None):
        with np.errstate(divide="ignore", invalid="ignore"):
            test = compare_shares(*one, *other, value=end, compare="ratio", method="score", correction=False)
        np.testing.assert_allclose(test.pvalue, 0.05, rtol=1e-8, err_msg=f"{place} {end}")


# 1. How good


def check_quality(quality: dict, judged: Judged, weights: np.ndarray) -> None:
    truth, predicted, probabilities = judged.truth, judged.predicted, judged.probabilities
    labels, right = judged.labels_range, judged.truth == judged.predicted
    total = int(weights.sum())
    assert quality["images"] == total
    check_proportion(quality["accuracy"], int(weights[right].sum()), total, "accuracy")
    in_top_2 = metrics.top_k_accuracy_score(
        truth, judged.logits, k=2, labels=labels, normalize=False, sample_weight=weights
    )
    check_proportion(quality["top_2_accuracy"], int(in_top_2), total, "top-2")
    expected = {
        "majority_baseline": DummyClassifier(strategy="most_frequent").fit(truth, truth, weights).score(truth, truth, weights),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted, sample_weight=weights),
        "macro_f1": metrics.f1_score(
            truth, predicted, labels=labels, average="macro", zero_division=np.nan, sample_weight=weights
        ),
        "negative_log_likelihood": metrics.log_loss(truth, probabilities, labels=labels, sample_weight=weights),
        "brier_score": metrics.brier_score_loss(
            truth, probabilities, labels=labels, scale_by_half=False, sample_weight=weights
        ),
        "cohen_kappa": metrics.cohen_kappa_score(truth, predicted, labels=labels, sample_weight=weights),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(quality[name], value, err_msg=name, **CLOSE)


def as_it_came(judged: Judged) -> tuple[list[int], list[str]]:
    """The test set with its duplicates behind it: the row that an image has the pixels of, and its name."""
    rows, names = list(range(len(judged.truth))), list(judged.names)
    for line in (judged.shards / "removed.jsonl").read_text().splitlines():
        removed = json.loads(line)
        if (removed["split"], removed["reason"]) == ("test", "duplicate"):
            rows.append(judged.names.index(removed["same_as"]))
            names.append(removed["file"])
    return rows, names


def test_quality_is_scikit_learn_s(judged: Judged) -> None:
    check_quality(judged.report["overall"]["without_duplicates"], judged, np.ones(len(judged.truth)))


def test_quality_on_the_test_set_as_it_came_counts_duplicates(judged: Judged) -> None:
    rows, _ = as_it_came(judged)
    times = np.bincount(rows).astype(float)
    assert times.sum() > len(times)  # The sample has some.
    check_quality(judged.report["overall"]["as_it_came"], judged, times)


def font_of(name: str) -> str | None:
    stem = Path(name).stem
    try:
        return base64.b64decode(stem.replace("-", "+").replace("_", "/"), validate=True).decode()
    except ValueError:
        return None


def test_the_intervals_by_font(judged: Judged) -> None:
    overall = judged.report["overall"]
    check_by_font(judged, overall["without_duplicates"]["intervals"], range(len(judged.names)), judged.names)
    # A duplicate is drawn with its own font, not with that of the image that stayed.
    check_by_font(judged, overall["as_it_came"]["intervals"], *as_it_came(judged))


def random_words(count: int) -> np.ndarray:
    """Of NumPy's own PCG64 in the state that the report's begins with."""
    generator = np.random.PCG64()
    # PCG's own seeding, as `pcg64_srandom`: state and stream are the constants of evaluate/src/measures/groups.rs.
    modulus, multiplier = 1 << 128, 0x2360ED051FC65DA44385DF649FCCF645
    state, stream = 0x6E6F744D4E495354, 0x666F6E74
    increment = (stream << 1 | 1) % modulus
    begun = ((state + increment) * multiplier + increment) % modulus
    words = {"state": begun, "inc": increment}
    generator.state = {"bit_generator": "PCG64", "state": words, "has_uint32": 0, "uinteger": 0}
    return generator.random_raw(count)


def check_by_font(judged: Judged, found: dict, rows: list[int], names: list[str]) -> None:
    """With NumPy's own PCG64 in the state that the report's begins with, every resample is the same."""
    groups: dict = {}
    for place, (row, name) in enumerate(zip(rows, names, strict=True)):
        groups.setdefault(font_of(name) or (place,), []).append(row)
    fonts = list(groups.values())
    assert found["unit"] == "font" and found["units"] == len(fonts) < len(names)

    words = random_words(found["resamples"] * len(fonts))
    draws = np.array([int(word) * len(fonts) >> 64 for word in words]).reshape(found["resamples"], len(fonts))

    right = judged.truth == judged.predicted
    rows = np.arange(len(right))
    losses = -log_softmax(judged.logits / judged.temperature, axis=1)[rows, judged.truth]
    brier = ((judged.probabilities - np.eye(len(judged.classes))[judged.truth]) ** 2).sum(axis=1)
    top_2 = np.argsort(-judged.logits, axis=1, kind="stable")[:, :2]
    shares = {"accuracy": right, "top_2_accuracy": (top_2 == judged.truth[:, None]).any(axis=1)}
    of_font = np.concatenate([np.full(len(font), place) for place, font in enumerate(fonts)])
    for name, values in shares.items():
        values = np.concatenate([values[font] for font in fonts]).astype(float)
        share, variance = values.mean(), clustered(values, of_font).bse[0] ** 2
        images = len(values) if variance == 0 else min(len(values), share * (1 - share) / variance)
        images *= (norm.ppf(0.975) / student.ppf(0.975, len(fonts) - 1)) ** 2
        interval = proportion_confint(share * images, images, method="wilson")
        np.testing.assert_allclose(found[f"{name}_95"], interval, err_msg=name, rtol=1e-9, atol=1e-12)

    figures = {"negative_log_likelihood": losses, "brier_score": brier}
    sizes = np.array([len(font) for font in fonts])
    for name, values in figures.items():
        sums = np.array([values[font].sum() for font in fonts], float)
        resampled = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
        np.testing.assert_allclose(found[f"{name}_95"], np.quantile(resampled, [0.025, 0.975]), err_msg=name, **CLOSE)

    resamples = [np.concatenate([fonts[font] for font in draw]) for draw in draws]
    matrices = np.zeros((len(resamples), len(judged.classes), len(judged.classes)))
    for matrix, chosen in zip(matrices, resamples):
        np.add.at(matrix, (judged.truth[chosen], judged.predicted[chosen]), 1)
    diagonal, support, taken = np.einsum("nii->ni", matrices), matrices.sum(axis=2), matrices.sum(axis=1)
    with np.errstate(invalid="ignore"):
        balanced = np.nanmean(diagonal / support, axis=1)
        macro_f1 = np.nanmean(2 * diagonal / (support + taken), axis=1)
    total = support.sum(axis=1)
    chance = (support * taken).sum(axis=1) / total**2
    kappa = (diagonal.sum(axis=1) / total - chance) / (1 - chance)
    for name, values in {"balanced_accuracy": balanced, "macro_f1": macro_f1, "cohen_kappa": kappa}.items():
        np.testing.assert_allclose(found[f"{name}_95"], np.quantile(values, [0.025, 0.975]), err_msg=name, **CLOSE)


def clustered(values: np.ndarray, groups: np.ndarray):
    """The mean of dependent values, by statsmodels."""
    return sm.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)


# 2. By class


def test_the_confusion_matrix_is_scikit_learn_s(judged: Judged) -> None:
    expected = metrics.confusion_matrix(judged.truth, judged.predicted, labels=judged.labels_range)
    np.testing.assert_array_equal(judged.report["by_class"]["confusion_matrix"], expected)


def test_the_figures_of_each_class_are_scikit_learn_s_and_statsmodels_s(judged: Judged) -> None:
    by_class = judged.report["by_class"]
    expected = metrics.precision_recall_fscore_support(
        judged.truth, judged.predicted, labels=judged.labels_range, zero_division=np.nan
    )
    assert [found["class"] for found in by_class["classes"]] == judged.classes
    for label, found in enumerate(by_class["classes"]):
        is_label, is_said = judged.truth == label, judged.predicted == label
        tp, fp = int((is_label & is_said).sum()), int((~is_label & is_said).sum())
        support, others = int(is_label.sum()), int((~is_label).sum())
        assert (found["support"], found["predicted"]) == (support, tp + fp) == (expected[3][label], is_said.sum())
        np.testing.assert_allclose(found["prior"], support / len(judged.truth), **CLOSE)
        check_proportion(found["recall"], tp, support, "recall")
        check_proportion(found["precision"], tp, tp + fp, "precision")
        check_proportion(found["false_alarm_rate"], fp, others, "false alarm rate")
        check_proportion(found["specificity"], others - fp, others, "specificity")
        for name, value in zip(["precision", "recall"], expected):
            np.testing.assert_allclose(found[name]["value"], value[label], err_msg=name, **CLOSE)
        np.testing.assert_allclose(found["f1"]["value"], expected[2][label], **CLOSE)
        jaccard = np.array(proportion_confint(tp, support + fp, method="wilson"))
        np.testing.assert_allclose(found["f1"]["interval_95"], 2 * jaccard / (1 + jaccard), **CLOSE)
        for name, part, of_others in [
            ("positive_likelihood_ratio", tp, fp),
            ("negative_likelihood_ratio", support - tp, others - fp),
        ]:
            check_ratio(found[name], (part, support), (of_others, others), f"{name} of {label}")
        if fp > 0 and tp < support:
            positive, negative = metrics.class_likelihood_ratios(is_label, is_said)
            np.testing.assert_allclose(found["positive_likelihood_ratio"]["value"], positive, rtol=1e-9)
            np.testing.assert_allclose(found["negative_likelihood_ratio"]["value"], negative, rtol=1e-9)


def test_the_weighted_averages_are_scikit_learn_s(judged: Judged) -> None:
    by_class = judged.report["by_class"]
    expected = metrics.precision_recall_fscore_support(
        judged.truth, judged.predicted, labels=judged.labels_range, zero_division=0, average="weighted"
    )
    for name, value in zip(["precision", "recall", "f1"], expected):
        np.testing.assert_allclose(by_class["weighted_average"][name], value, err_msg=name, **CLOSE)
    support = [row["support"] for row in by_class["classes"]]
    for name in ("specificity", "false_alarm_rate"):
        value = np.average([row[name]["value"] for row in by_class["classes"]], weights=support)
        np.testing.assert_allclose(by_class["weighted_average"][name], value, err_msg=name, **CLOSE)


def test_the_macro_averages_are_scikit_learn_s(judged: Judged) -> None:
    found = judged.report["by_class"]["macro_average"]
    expected = metrics.precision_recall_fscore_support(
        judged.truth, judged.predicted, labels=judged.labels_range, zero_division=np.nan, average="macro"
    )
    # A class that has images and is never said counts as 0.
    precisions = metrics.precision_score(
        judged.truth, judged.predicted, labels=judged.labels_range, zero_division=np.nan, average=None
    )
    has_images = np.isin(judged.labels_range, judged.truth)
    expected = (np.nanmean(np.where(np.isnan(precisions) & has_images, 0, precisions)), *expected[1:])
    for name, value in zip(["precision", "recall", "f1"], expected):
        np.testing.assert_allclose(found[name], value, err_msg=name, **CLOSE)
    rates = [row["false_alarm_rate"]["value"] for row in judged.report["by_class"]["classes"]]
    np.testing.assert_allclose(found["false_alarm_rate"], np.mean(rates), **CLOSE)
    np.testing.assert_allclose(found["specificity"], 1 - np.mean(rates), **CLOSE)


def area_and_variance(scores: np.ndarray, is_of_class: np.ndarray, fonts: np.ndarray) -> tuple[float, float]:
    """The area under the ROC curve and Obuchowski's variance: each pair of an image of the class and another is compared."""
    of_class, others = scores[is_of_class, None], scores[None, ~is_of_class]
    wins = (of_class > others) + (of_class == others) / 2
    area = wins.mean()
    groups = fonts.max() + 1
    by_row = np.bincount(fonts[is_of_class], wins.mean(axis=1) - area, groups)
    by_column = np.bincount(fonts[~is_of_class], wins.mean(axis=0) - area, groups)
    m, n = is_of_class.sum(), (~is_of_class).sum()
    i, j = len(np.unique(fonts[is_of_class])), len(np.unique(fonts[~is_of_class]))
    together = 2 * groups / (groups - 1) * (by_row * by_column).sum() / (m * n)
    return area, i / (i - 1) * (by_row**2).sum() / m**2 + j / (j - 1) * (by_column**2).sum() / n**2 + together


def test_without_fonts_the_variance_is_delong_s(judged: Judged) -> None:
    scores, is_of_class = judged.probabilities[:, 0], judged.truth == 0
    of_class, others = scores[is_of_class, None], scores[None, ~is_of_class]
    wins = (of_class > others) + (of_class == others) / 2
    delong = wins.mean(axis=1).var(ddof=1) / len(of_class) + wins.mean(axis=0).var(ddof=1) / others.size
    _, variance = area_and_variance(scores, is_of_class, np.arange(len(scores)))
    np.testing.assert_allclose(variance, delong, rtol=1e-9)


def test_what_other_thresholds_give_is_scikit_learn_s_and_obuchowski_s(judged: Judged) -> None:
    roc = judged.report["by_class"]["roc"]
    assert roc["false_alarm_rates"] == [0.001, 0.01, 0.1]
    assert [found["class"] for found in roc["classes"]] == judged.classes
    _, fonts = np.unique([font_of(name) or name for name in judged.names], return_inverse=True)
    valid = Judged.softmax_of(judged.run / "report" / "validation-logits.npy", judged.temperature)
    valid_truth = judged.load("valid", "labels")
    for label, found in enumerate(roc["classes"]):
        is_of_class, scores = judged.truth == label, judged.probabilities[:, label]
        area, variance = area_and_variance(scores, is_of_class, fonts)
        np.testing.assert_allclose(metrics.roc_auc_score(is_of_class, scores), area, **CLOSE)
        np.testing.assert_allclose(found["area"]["value"], area, **CLOSE)
        if area == 1:
            smaller = min(is_of_class.sum(), (~is_of_class).sum())
            expected = proportion_confint(smaller, smaller, method="wilson")
        else:
            expected = expit(logit(area) + norm.ppf([0.025, 0.975]) * np.sqrt(variance) / (area * (1 - area)))
        np.testing.assert_allclose(found["area"]["interval_95"], expected, rtol=0, atol=1e-8)
        np.testing.assert_allclose(found["average_precision"], metrics.average_precision_score(is_of_class, scores), **CLOSE)

        false_alarms, recall, thresholds = metrics.roc_curve(is_of_class, scores, drop_intermediate=False)
        curve = found["curve"]
        places = [np.argmin(np.abs(thresholds[1:] / threshold - 1)) + 1 for threshold in curve["thresholds"]]
        np.testing.assert_allclose(curve["thresholds"], thresholds[places], rtol=1e-9)
        np.testing.assert_allclose(curve["false_alarm_rate"], false_alarms[places], **CLOSE)
        np.testing.assert_allclose(curve["recall"], recall[places], **CLOSE)
        # What was left out lies on straight lines.
        corners = [0, *curve["false_alarm_rate"]], [0, *curve["recall"]]
        np.testing.assert_allclose(metrics.auc(*corners), area, **CLOSE)

        of_others = valid[valid_truth != label, label]
        for rate, point in zip(roc["false_alarm_rates"], found["operating_points"], strict=True):
            if rate * len(of_others) < 1:
                assert point is None
                continue
            candidates = np.unique(valid[:, label])
            kept = [threshold for threshold in candidates if np.mean(of_others >= threshold) <= rate]
            np.testing.assert_allclose(point["threshold"], min(kept), **CLOSE)
            # A probability at the threshold may lie a rounding error beside it.
            alarms = scores >= point["threshold"] - 1e-13
            check_proportion(point["recall"], int(alarms[is_of_class].sum()), int(is_of_class.sum()), "recall")
            check_proportion(point["false_alarm_rate"], int(alarms[~is_of_class].sum()), int((~is_of_class).sum()), "rate")
    for name, score in [("area", metrics.roc_auc_score), ("average_precision", metrics.average_precision_score)]:
        expected = score(np.eye(len(judged.classes))[judged.truth], judged.probabilities, average="macro")
        np.testing.assert_allclose(roc["macro_average"][name], expected, err_msg=name, **CLOSE)


# 3. By Bayes


def test_bayes_theorem_gives_the_counted_precision(judged: Judged) -> None:
    bayes = judged.report["bayes"]
    prevalences = np.array(bayes["prevalences"])
    assert (np.diff(prevalences) > 0).all() and 0 < prevalences[0] < prevalences[-1] < 1
    for label, found in enumerate(bayes["classes"]):
        prior, recall = np.mean(judged.truth == label), np.mean(judged.predicted[judged.truth == label] == label)
        false_alarms = np.mean(judged.predicted[judged.truth != label] == label)
        terms = [found[name] for name in ("prior", "recall", "false_alarm_rate", "says_and_is", "says_and_is_not")]
        np.testing.assert_allclose(
            terms, [prior, recall, false_alarms, recall * prior, false_alarms * (1 - prior)], **CLOSE
        )
        counted = metrics.precision_score(judged.truth == label, judged.predicted == label)
        np.testing.assert_allclose([found["posterior"], found["counted_precision"]], counted, **CLOSE)
        expected = recall * prevalences / (recall * prevalences + false_alarms * (1 - prevalences))
        np.testing.assert_allclose(found["precision_by_prevalence"], expected, **CLOSE)
        # What is believed of every letter is the prior of the next image.
        taken = np.array([np.mean(judged.predicted[judged.truth == letter] == label) for letter in judged.labels_range])
        belief = np.array([np.mean(judged.truth == letter) for letter in judged.labels_range])
        for after in found["posterior_after_images"]:
            belief = taken * belief / (taken * belief).sum()
            np.testing.assert_allclose(after, belief[label], **CLOSE)


def check_prior(found: dict, judged: Judged) -> None:
    priors = np.array(found["priors"])
    np.testing.assert_allclose(priors.sum(), 1, **CLOSE)
    weights = (priors / np.bincount(judged.truth, minlength=len(priors)))[judged.truth]
    logarithms = log_softmax(judged.logits / judged.fitted, axis=1) + np.log(priors / judged.training_prior)
    for name, predicted in [("unadjusted", judged.predicted), ("adjusted", logarithms.argmax(axis=1))]:
        expected = metrics.accuracy_score(judged.truth, predicted, sample_weight=weights)
        np.testing.assert_allclose(found[name]["accuracy"]["value"], expected, err_msg=name, **CLOSE)
        right, support = np.bincount(judged.truth[predicted == judged.truth], minlength=len(priors)), np.bincount(judged.truth)
        # Wilson's, among as many images as have this variance, or would have it if all classes were alike.
        shares = right / support
        variance, if_alike = np.sum(priors**2 * shares * (1 - shares) / support), 1 / np.sum(priors**2 / support)
        effective = min(expected * (1 - expected) / variance, if_alike) if variance else if_alike
        interval = proportion_confint(expected * effective, effective, method="wilson")
        np.testing.assert_allclose(found[name]["accuracy"]["interval_95"], interval, err_msg=name, **CLOSE)
        precision = metrics.precision_score(
            judged.truth, predicted, labels=judged.labels_range, average=None, zero_division=np.nan,
            sample_weight=weights,
        )
        np.testing.assert_allclose(np.array(found[name]["precision"], float), precision, err_msg=name, **CLOSE)


def test_other_priors_weigh_the_classes(judged: Judged) -> None:
    priors = {found["name"]: found for found in judged.report["bayes"]["priors"]}
    assert list(priors) == ["test", "uniform", "english"]
    counts = np.bincount(judged.truth)
    np.testing.assert_allclose(priors["test"]["priors"], counts / counts.sum(), **CLOSE)
    np.testing.assert_allclose(priors["uniform"]["priors"], 1 / len(counts), **CLOSE)
    assert np.argmax(priors["english"]["priors"]) == judged.classes.index("E")
    for found in priors.values():
        check_prior(found, judged)
    overall = judged.report["overall"]["without_duplicates"]
    np.testing.assert_allclose(priors["test"]["unadjusted"]["accuracy"]["value"], overall["accuracy"]["value"], **CLOSE)
    np.testing.assert_allclose(priors["uniform"]["unadjusted"]["accuracy"]["value"], overall["balanced_accuracy"], **CLOSE)


def test_a_prior_of_a_person_s_own_is_taken_from_its_file(asked: Judged) -> None:
    found = asked.report["bayes"]["priors"]
    assert [prior["name"] for prior in found] == ["uniform", "test", "english", "prior.json"]
    weights = np.arange(1, len(asked.classes) + 1)
    np.testing.assert_allclose(found[3]["priors"], weights / weights.sum(), **CLOSE)
    check_prior(found[3], asked)


def test_the_prior_of_unlabelled_images_is_the_likelihood_s_and_the_confusion_matrix_s(asked: Judged, unlabelled: Path) -> None:
    found = asked.report["bayes"]["estimated_prior"]
    session = onnxruntime.InferenceSession(asked.run / "model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(["logits"], {"images": np.load(unlabelled)})[0].astype(np.float64)
    share = np.bincount(logits.argmax(axis=1), minlength=len(asked.classes)) / len(logits)
    assert found["images"] == len(logits)
    np.testing.assert_allclose(found["predicted_share"], share, **CLOSE)
    np.testing.assert_allclose(found["training_prior"], asked.training_prior, **CLOSE)

    # EM climbs the likelihood of a mixture; at the top (Karush, Kuhn, Tucker), the mean of ratio / mixture is 1 for
    # each class that is there, and at most 1 for the others.
    maximised = found["expectation_maximisation"]
    assert maximised["converged"]
    priors = np.array(maximised["priors"])
    ratios = softmax(logits / asked.fitted, axis=1) / asked.training_prior
    slopes = (ratios / (ratios @ priors)[:, None]).mean(axis=0)
    np.testing.assert_allclose(priors.sum(), 1, **CLOSE)
    np.testing.assert_allclose(slopes[priors > 1e-3], 1, rtol=0, atol=1e-5)
    assert (slopes < 1 + 1e-3).all()
    # The same number of rounds in NumPy ends at the same place.
    climbed = asked.training_prior
    for _ in range(maximised["rounds"]):
        climbed = (climbed * ratios / (ratios @ climbed)[:, None]).mean(axis=0)
    np.testing.assert_allclose(priors, climbed, **SINGLE)

    valid = np.load(asked.run / "report" / "validation-logits.npy").argmax(axis=1)
    labels = asked.load("valid", "labels")
    joint = metrics.confusion_matrix(labels, valid, labels=asked.labels_range).T / len(labels)
    weights = np.linalg.solve(joint, share)
    shifted = found["black_box_shift_estimation"]
    np.testing.assert_allclose(shifted["weights"], weights, rtol=1e-9, atol=1e-9)
    expected = np.clip(weights, 0, None) * np.bincount(labels, minlength=len(asked.classes))
    np.testing.assert_allclose(shifted["priors"], expected / expected.sum(), **CLOSE)
    # 300, 100 and 60 of 460: both find the first class to be most.
    for estimate in (priors, np.array(shifted["priors"])):
        assert abs(estimate[0] - 300 / 460) < 0.1


# 4. How sure


def likelihood(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()


def test_the_temperature_is_scipy_s_minimum_on_validation(judged: Judged) -> None:
    logits = np.load(judged.run / "report" / "validation-logits.npy").astype(np.float64)
    labels = judged.load("valid", "labels")
    found = judged.report["calibration"]["fitted"]

    def slope(beta: float) -> float:
        return ((softmax(beta * logits, axis=1) * logits).sum(axis=1) - logits[np.arange(len(labels)), labels]).mean()

    beta = optimize.brentq(slope, 1e-3, 1e3, xtol=1e-14, rtol=1e-14)
    np.testing.assert_allclose(found["temperature"], 1 / beta, rtol=1e-9)
    minimum = optimize.minimize_scalar(
        lambda logarithm: likelihood(logits, labels, np.exp(logarithm)), bounds=(-5, 5), method="bounded"
    )
    np.testing.assert_allclose(found["negative_log_likelihood_after"], minimum.fun, **CLOSE)
    np.testing.assert_allclose(
        found["negative_log_likelihood_before"], likelihood(logits, labels, judged.temperature), **CLOSE
    )
    assert found["images"] == len(labels)


def check_reliability(found: dict, judged: Judged, temperature: float) -> None:
    probabilities = softmax(judged.logits / temperature, axis=1)
    confidence, right = probabilities.max(axis=1), judged.truth == judged.predicted
    np.testing.assert_allclose(found["mean_confidence"], confidence.mean(), **CLOSE)
    np.testing.assert_allclose(
        found["negative_log_likelihood"], likelihood(judged.logits, judged.truth, temperature), **CLOSE
    )
    brier = metrics.brier_score_loss(judged.truth, probabilities, labels=judged.labels_range, scale_by_half=False)
    np.testing.assert_allclose(found["brier_score"], brier, **CLOSE)

    shares, means = calibration_curve(right, confidence, n_bins=15, strategy="uniform")
    filled = [one for one in found["equal_width"] if one["accuracy"]["total"]]
    np.testing.assert_allclose([one["accuracy"]["value"] for one in filled], shares, **CLOSE)
    np.testing.assert_allclose([one["mean_confidence"] for one in filled], means, **CLOSE)
    sizes = np.array([one["accuracy"]["total"] for one in filled])
    assert sizes.sum() == len(right) and len(found["equal_width"]) == 15
    error = (sizes * np.abs(shares - means)).sum() / len(right)
    np.testing.assert_allclose(found["expected_calibration_error"], error, **CLOSE)

    order = np.argsort(confidence, kind="stable")
    # With the report's own random numbers, every image is drawn as right as often, by rising confidence.
    drawn = (random_words(1000 * len(right)) >> np.uint64(11)).reshape(1000, -1) / 2.0**53 < confidence[order]
    ends = np.cumsum(sizes)[:-1]
    gaps = [abs(part.sum(axis=1) - of_bin.sum()) for part, of_bin in
            zip(np.split(drawn, ends, axis=1), np.split(confidence[order], ends), strict=True)]
    errors = np.sum(gaps, axis=0) / len(right)
    expected = found["calibration_error_if_calibrated"]
    np.testing.assert_allclose([expected["mean"], expected["highest"]], [errors.mean(), np.quantile(errors, 0.975)], **CLOSE)

    parts = np.array_split(order, 15)
    error = sum(abs(right[part].sum() - confidence[part].sum()) for part in parts) / len(right)
    np.testing.assert_allclose(found["equal_size_calibration_error"], error, **CLOSE)
    for one, part in zip(found["equal_size"], parts, strict=True):
        check_proportion(one["accuracy"], int(right[part].sum()), len(part), "bin of equal size")
        np.testing.assert_allclose([one["low"], one["high"]], confidence[part][[0, -1]], **CLOSE)


def test_reliability_is_scikit_learn_s_before_and_after(judged: Judged) -> None:
    calibration = judged.report["calibration"]
    assert calibration["model_temperature"] == 1
    check_reliability(calibration["before"], judged, 1)
    check_reliability(calibration["after"], judged, judged.fitted)


def test_accuracy_rises_as_the_least_sure_are_refused(judged: Judged) -> None:
    confidence, right = judged.probabilities.max(axis=1), judged.truth == judged.predicted
    steps = judged.report["calibration"]["accuracy_by_coverage"]
    assert steps[0]["coverage"] == 1 and len(steps) == 100
    for step in steps:
        # The last one kept may be a rounding error away.
        kept = confidence >= step["threshold"] - 1e-12
        check_proportion(step["accuracy"], int(right[kept].sum()), int(kept.sum()), "coverage")
        np.testing.assert_allclose(step["coverage"], kept.mean(), **CLOSE)


def test_an_exported_temperature_divides_the_logits_and_no_more(asked: Judged) -> None:
    assert asked.report["calibration"]["model_temperature"] == 2
    probabilities = np.load(asked.run / "report" / "probabilities.npy")
    np.testing.assert_allclose(probabilities, softmax(asked.logits / 2, axis=1), **SINGLE)
    check_reliability(asked.report["calibration"]["before"], asked, 2)
    check_reliability(asked.report["calibration"]["after"], asked, asked.fitted)


# 5. Where it fails


def test_failures_are_the_surest_errors_and_the_least_sure_successes(judged: Judged) -> None:
    failures = judged.report["failures"]
    confidence, right = judged.probabilities.max(axis=1), judged.truth == judged.predicted
    for found, order in [
        (failures["confident_errors"], sorted(np.flatnonzero(~right), key=lambda row: -confidence[row])),
        (failures["unsure_successes"], sorted(np.flatnonzero(right), key=lambda row: confidence[row])),
    ]:
        assert [image["row"] for image in found] == order[:48]
        for image in found:
            row = image["row"]
            assert (image["file"], image["font"]) == (judged.names[row], font_of(judged.names[row]))
            assert image["label"] == judged.classes[judged.truth[row]]
            assert image["prediction"] == judged.classes[judged.predicted[row]]
            np.testing.assert_allclose(image["probabilities"], judged.probabilities[row], **CLOSE)
            np.testing.assert_allclose(image["confidence"], confidence[row], **CLOSE)


def test_label_issues_are_those_of_confident_learning(judged: Judged) -> None:
    valid = np.load(judged.run / "report" / "validation-logits.npy").astype(np.float64)
    check_label_issues(judged, [("valid", judged.load("valid", "labels"), softmax(valid, axis=1)),
                                ("test", judged.truth, judged.probabilities)])


def test_labels_of_the_training_split_are_judged_by_networks_that_did_not_see_them(asked: Judged) -> None:
    logits = np.load(asked.run / "out-of-sample-logits.npy").astype(np.float64)
    labels = asked.load("train", "labels")
    record = json.loads((asked.run / "cross-validation.json").read_text())
    np.testing.assert_allclose(record["accuracy"], (logits.argmax(axis=1) == labels).mean(), **CLOSE)
    images, correct = (sum(fold[what] for fold in record["folds"]) for what in ("images", "correct"))
    assert (images, correct) == (len(labels), (logits.argmax(axis=1) == labels).sum())
    valid = np.load(asked.run / "report" / "validation-logits.npy").astype(np.float64)
    check_label_issues(asked, [("train", labels, softmax(logits, axis=1)),
                               ("valid", asked.load("valid", "labels"), softmax(valid / 2, axis=1)),
                               ("test", asked.truth, asked.probabilities)])


def check_label_issues(judged: Judged, splits: list[tuple]) -> None:
    for found, (split, labels, probabilities) in zip(judged.report["failures"]["label_issues"], splits, strict=True):
        classes = len(judged.classes)
        thresholds = np.array([probabilities[labels == label, label].mean() for label in range(classes)])
        np.testing.assert_allclose(found["thresholds"], thresholds, **CLOSE)
        reached = np.where(probabilities >= thresholds, probabilities, -1)
        confident, is_confident = reached.argmax(axis=1), reached.max(axis=1) >= 0
        joint = metrics.confusion_matrix(labels[is_confident], confident[is_confident], labels=range(classes))
        np.testing.assert_array_equal(found["confident_joint"], joint)
        scaled = joint / joint.sum(axis=1, keepdims=True) * np.bincount(labels)[:, None]
        share = 1 - np.trace(scaled) / scaled.sum()
        np.testing.assert_allclose(found["estimated_share"], share, **CLOSE)
        rows = np.flatnonzero(is_confident & (confident != labels))
        assert (found["split"], found["images"], found["found"]) == (split, len(labels), len(rows))
        rows = sorted(rows, key=lambda row: probabilities[row, labels[row]])
        assert [issue["row"] for issue in found["images_found"]] == rows[:500]
        for issue, row in zip(found["images_found"], rows):
            assert issue["label"] == judged.classes[labels[row]]
            assert issue["suggestion"] == judged.classes[confident[row]]
            np.testing.assert_allclose(
                [issue["label_probability"], issue["suggestion_probability"]],
                probabilities[row, [labels[row], confident[row]]], **CLOSE,
            )


# 6. What it learned


def test_what_was_learned_is_that_of_numpy_on_the_checkpoint(judged: Judged) -> None:
    learned = judged.report["learned"]
    with safe_open(judged.run / "checkpoint.safetensors", framework="numpy") as file:
        description = json.loads(file.metadata()["checkpoint"])["model"]
        tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}
    layers = [(tensors[f"{2 * layer}.weight"], tensors[f"{2 * layer}.bias"]) for layer in range(len(tensors) // 2)]
    images = judged.load("test", "images")[: learned["images"]]
    pixels = (images.reshape(len(images), -1) / 255 - description["mean"]) / description["standard_deviation"]
    outputs = [pixels]
    for weight, bias in layers[:-1]:
        outputs.append(np.maximum(outputs[-1] @ weight.T + bias, 0))

    for found, (weight, bias), before, after in zip(
        learned["hidden_layers"], layers[:-1], outputs[:-1], outputs[1:], strict=True
    ):
        most = (before @ weight.T + bias).max(axis=0)
        clear = np.abs(most) > 1e-4
        dead = set(found["dead"])
        assert set(np.flatnonzero((most <= 0) & clear)) <= dead <= set(np.flatnonzero((most <= 0) | ~clear))
        assert found["units"] == len(bias)
        np.testing.assert_allclose(found["mean_active_share"], (after > 0).mean(), atol=1e-4)
    norms = np.linalg.norm(layers[0][0], axis=1)
    np.testing.assert_allclose([unit["norm"] for unit in learned["first_layer"]], np.sort(norms)[::-1][:64], rtol=1e-9)
    for unit in learned["first_layer"]:
        np.testing.assert_allclose(unit["norm"], norms[unit["unit"]], rtol=1e-9)
        np.testing.assert_allclose(unit["active_share"], (outputs[1][:, unit["unit"]] > 0).mean(), atol=3 / len(images))

    gradient = layers[-1][0][judged.predicted]
    for (weight, _), output in zip(layers[-2::-1], outputs[:0:-1], strict=True):
        gradient = (gradient * (output > 0)) @ weight
    gradient /= description["standard_deviation"]
    # That gradient against a difference: by how much the winning logit moves with one pixel.
    row, pixel, step = 0, int(np.abs(gradient[0]).argmax()), 1e-7

    def logit(change: float) -> float:
        values = pixels[row].copy()
        values[pixel] += change / description["standard_deviation"]
        for weight, bias in layers[:-1]:
            values = np.maximum(weight @ values + bias, 0)
        return layers[-1][0][judged.predicted[row]] @ values

    np.testing.assert_allclose((logit(step) - logit(-step)) / (2 * step), gradient[row, pixel], rtol=1e-4)
    saliency = np.load(judged.run / "report" / "saliency.npy")
    assert saliency.shape == (len(judged.classes), *images.shape[1:])
    for label, found in enumerate(learned["saliency"]):
        chosen = judged.predicted == label
        expected = np.abs(gradient[chosen]).mean(axis=0)
        np.testing.assert_allclose(saliency[label].ravel(), expected, rtol=1e-3, atol=1e-3 * expected.max())
        assert found["images"] == chosen.sum()
        np.testing.assert_allclose(found["largest"], expected.max(), rtol=1e-3)

    for label, found in enumerate(learned["typical"]):
        rows = np.flatnonzero(judged.truth == label)
        distances = np.linalg.norm(outputs[-1][rows] - outputs[-1][rows].mean(axis=0), axis=1)
        for name, expected in [("most", distances.min()), ("least", distances.max())]:
            np.testing.assert_allclose(found[name]["distance"], expected, rtol=1e-4)
            at_row = distances[rows == found[name]["image"]["row"]]
            np.testing.assert_allclose(at_row, expected, rtol=1e-4)


# 7. How it was made


def test_the_making_is_told_from_the_artifacts(judged: Judged) -> None:
    making = judged.report["making"]
    lines = (judged.run / "metrics.jsonl").read_text().splitlines()
    assert making["learning_curves"] == [json.loads(line) for line in lines]
    with safe_open(judged.run / "checkpoint.safetensors", framework="numpy") as file:
        sizes = {name: file.get_tensor(name).size for name in file.keys()}
    assert making["parameters"] == sum(sizes.values())
    for layer in making["layers"]:
        assert layer["parameters"] == sizes[f"{layer['name']}.weight"] + sizes[f"{layer['name']}.bias"]
    for split in ("train", "valid", "test"):
        assert making["dataset"][split] == np.bincount(judged.load(split, "labels")).tolist()
    assert making["dataset"]["removed"] == judged.dataset["removed"]
    for name in ("fonts", "converted"):
        assert making["dataset"][name] == judged.dataset[name]
    assert making["dataset"]["rejected_files"] == judged.dataset["rejected"]
    assert [stage["tool"] for stage in making["stages"]] == ["preprocess", "train", "export", "evaluate"]

    digests = {artifact["file"]: artifact["sha256"] for artifact in making["artifacts"]}
    assert list(digests)[-1] == "model.onnx"
    for file, digest in digests.items():
        places = [judged.shards / file, judged.run / file, judged.shards.parent / "raw" / file]
        place = next((place for place in places if place.exists()), None)
        if place is None:
            # The archive, and the list of all its files.
            assert judged.dataset["provenance"]["inputs"][file] == digest
        else:
            assert hashlib.sha256(place.read_bytes()).hexdigest() == digest, file


# 8. Against another


def sign_flip(differences: np.ndarray) -> float:
    """The share of all signs with which the sum is at least as far from 0, by whole numbers: Π (1 + x^|d|) counts the ways
    to each sum of the sizes with a plus."""
    sizes = [int(abs(d)) for d in differences if d]
    ways = [1]
    for size in sizes:
        ways = [one + other for one, other in zip(ways + [0] * size, [0] * size + ways, strict=True)]
    total, observed = sum(sizes), int(abs(np.sum(differences)))
    return float(Fraction(sum(count for plus, count in enumerate(ways) if abs(2 * plus - total) >= observed), 2 ** len(sizes)))


def test_the_signs_are_counted_as_scipy_does_by_trying_them_all() -> None:
    for differences in [[5, -1, 2, 3, -2, 4], [3, 9, 1, 4], [1, -1, 2, 0, 7, -3, 1]]:
        expected = permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
        np.testing.assert_allclose(sign_flip(np.array(differences)), expected, **CLOSE)


def test_two_models_are_compared_by_statsmodels_test(asked: Judged, judged: Judged) -> None:
    found = asked.report["comparison"]
    this, other = asked.predicted == asked.truth, judged.predicted == judged.truth
    table = [[int((one & two).sum()) for two in (other, ~other)] for one in (this, ~this)]
    names = [["both_right", "only_this_right"], ["only_other_right", "both_wrong"]]
    assert [[found[name] for name in row] for row in names] == table
    np.testing.assert_allclose(found["mcnemar_p"], mcnemar(table, exact=True).pvalue, **CLOSE)
    np.testing.assert_allclose(
        found["mcnemar_p"], binomtest(table[0][1], table[0][1] + table[1][0]).pvalue, **CLOSE
    )
    np.testing.assert_allclose(found["difference"]["value"], this.mean() - other.mean(), **CLOSE)
    # Half an image more of each of the four kinds.
    values = np.concatenate([this.astype(float) - other, [0, 1, -1, 0]])
    weights = np.concatenate([np.ones(len(this)), [0.5] * 4])
    mean = np.average(values, weights=weights)
    deviation = np.sqrt(np.cov(values, aweights=weights, ddof=0) / weights.sum())
    expected = mean + np.array([-1, 1]) * norm.ppf(0.975) * deviation
    np.testing.assert_allclose(found["difference"]["interval_95"], expected, **CLOSE)
    fonts = np.unique([font_of(name) or f"alone {row}" for row, name in enumerate(asked.names)], return_inverse=True)[1]
    advantage = this.astype(float) - other
    sums = np.bincount(fonts, weights=advantage)
    assert found["by_font"]["fonts"] == len(sums)
    interval = np.clip(clustered(advantage, fonts).conf_int()[0], -1, 1)
    np.testing.assert_allclose(found["by_font"]["difference_95"], interval, **CLOSE)
    np.testing.assert_allclose(found["by_font"]["p"], sign_flip(sums), **CLOSE)
    check_proportion(found["other_accuracy"], int(other.sum()), len(other), "the other's accuracy")
    rows = np.flatnonzero(asked.predicted != judged.predicted)
    assert found["differing"] == len(rows)
    assert [image["row"] for image in found["images"]] == rows[:200].tolist()
