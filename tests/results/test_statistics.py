"""Metrics and intervals against loops, scipy and known coverage."""

import math

import numpy as np
import pytest

from tlimb.catalogue.metrics import METRICS
from tlimb.errors import InputError
from tlimb.results.statistics import Difference, Sample, confusion, difference, evaluate, intervals, judge, roc, samples

from .brute import area, classification, regression

AGE = {"name": "age", "kind": "number"}
SEX = {"name": "sex", "kind": "category", "classes": ["F", "M"]}


def people(n: int) -> tuple[str, ...]:
    return tuple(f"p{i:04d}" for i in range(n))


def ages(n: int, *, seed: int = 0, noise: float = 6.0) -> Sample:
    generator = np.random.default_rng(seed)
    truth = generator.uniform(20, 80, n)
    return Sample(people(n), truth, truth + generator.normal(0, noise, n))


def classes(n: int, size: int, *, seed: int = 0, digits: int = 12) -> Sample:
    generator = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(size), generator.integers(size, size=n - size)])
    scores = generator.gamma(1.0, size=(n, size)) + np.eye(size)[truth]
    # Few digits make ties, which the area under the curve must count half.
    probabilities = np.maximum(np.round(scores / scores.sum(axis=1, keepdims=True), digits), 1e-3)
    return Sample(people(n), truth.astype(float), probabilities, tuple("abcdef"[:size]))


@pytest.mark.parametrize("seed", range(3))
def test_regression_metrics_equal_loops(seed: int) -> None:
    sample = ages(37, seed=seed)
    assert evaluate(sample) == pytest.approx(regression(list(sample.truth), list(sample.predicted)), rel=1e-9)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("digits", [12, 1])
def test_classification_metrics_equal_loops(size: int, digits: int) -> None:
    sample = classes(41, size, digits=digits)
    expected = classification([int(t) for t in sample.truth], sample.predicted.tolist())
    assert evaluate(sample) == pytest.approx(expected, rel=1e-9)


def test_every_metric_of_the_catalogue_is_computed() -> None:
    assert set(evaluate(ages(20))) | set(evaluate(classes(20, 2))) == set(METRICS)


def test_undefined_metrics_are_left_out_not_invented() -> None:
    constant = Sample(people(10), np.arange(10.0), np.full(10, 4.5))
    assert "pearson_r" not in evaluate(constant)
    assert evaluate(constant)["r2"] == pytest.approx(0)
    one_class = Sample(people(4), np.zeros(4), np.full((4, 2), 0.5), ("a", "b"))
    assert "auroc" not in evaluate(one_class)
    assert evaluate(one_class)["balanced_accuracy"] == 1.0


def test_bootstrap_resamples_participants_with_all_their_sessions() -> None:
    """Ten copies of each person's row carry no more information than one, so the interval must not shrink."""
    one = ages(40)
    copies = Sample(tuple(p for p in one.participants for _ in range(10)), np.repeat(one.truth, 10), np.repeat(one.predicted, 10))
    few, many = intervals([one])["mae"], intervals([copies])["mae"]
    assert (many.low, many.high) == pytest.approx((few.low, few.high), rel=1e-9)


@pytest.mark.parametrize("sample", [ages(23), classes(23, 3, digits=1)], ids=["regression", "classification"])
def test_bootstrap_equals_a_loop_over_resamplings(sample: Sample) -> None:
    """The matrix products give what drawing rows and computing the metrics by loops gives."""
    from tlimb.results.statistics import _counts, _positions, _Resampler

    position, participants = _positions([sample])
    (counts,) = _counts(len(participants), 20, 1)
    found = _Resampler(sample, position, len(participants)).metrics(counts)
    for draw, times in enumerate(counts):
        rows = [i for i, p in enumerate(sample.participants) for _ in range(int(times[position[p]]))]
        truth, predicted = sample.truth[rows].tolist(), sample.predicted[rows].tolist()
        expected = classification([int(t) for t in truth], predicted) if sample.classes else regression(truth, predicted)
        assert {name: values[draw] for name, values in found.items()} == pytest.approx(expected, rel=1e-9)


def test_intervals_agree_with_scipy_and_do_not_depend_on_row_order() -> None:
    stats = pytest.importorskip("scipy.stats")
    sample = ages(60)
    order = np.random.default_rng(5).permutation(60)
    shuffled = Sample(tuple(sample.participants[i] for i in order), sample.truth[order], sample.predicted[order])
    ours = intervals([sample], draws=4000)["mae"]
    again = intervals([shuffled], draws=4000)["mae"]
    assert (again.low, again.high) == pytest.approx((ours.low, ours.high), rel=1e-9)
    error = np.abs(sample.predicted - sample.truth)
    theirs = stats.bootstrap((error,), np.mean, n_resamples=4000, method="BCa", random_state=3).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.08 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.08 * width)


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    expected = 6 * math.sqrt(2 / math.pi)
    hits = sum(i.low <= expected <= i.high for seed in range(200) if (i := intervals([ages(50, seed=seed)], draws=400)["mae"]))
    # Binomial(200, 0.95) stays within 182..199 in 99.9 % of cases; the bootstrap at n = 50 covers a little less.
    assert 178 <= hits <= 199


def test_chunks_of_draws_do_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = intervals([ages(30)], draws=100)["mae"]
    monkeypatch.setattr("tlimb.results.statistics._CHUNK", 30 * 7)
    assert intervals([ages(30)], draws=100)["mae"].low == pytest.approx(whole.low)


def test_seeds_are_averaged_over_the_same_participants() -> None:
    first, second = ages(40, seed=1), ages(40, seed=2)
    pooled = intervals([first, second])["mae"]
    assert pooled.value == pytest.approx((evaluate(first)["mae"] + evaluate(second)["mae"]) / 2)
    assert pooled.low < pooled.value < pooled.high


def test_one_participant_has_no_interval() -> None:
    lone = Sample(("p", "p"), np.array([20.0, 40.0]), np.array([25.0, 41.0]))
    assert intervals([lone])["mae"].value == 3
    assert intervals([lone])["mae"].low is None


def test_pairing_finds_a_difference_that_unpaired_intervals_hide() -> None:
    generator = np.random.default_rng(0)
    truth, hard = generator.uniform(20, 80, 50), generator.normal(0, 12, 50)
    better = Sample(people(50), truth, truth + hard)
    worse = Sample(people(50), truth, truth + hard * 1.1)
    gap = difference([better], [worse], "mae")
    assert gap is not None
    assert gap.excludes_zero
    assert judge(gap, "min") == "helped"
    assert judge(gap, "max") == "hurt"
    assert intervals([better])["mae"].high > intervals([worse])["mae"].low


def test_a_difference_uses_common_participants_only() -> None:
    whole = ages(50)
    half = Sample(whole.participants[:25], whole.truth[:25], whole.predicted[:25])
    gap = difference([whole], [half], "mae")
    assert gap is not None
    assert (gap.value, gap.participants) == (0.0, 25)
    assert judge(gap, "min") == "no evidence"
    stranger = Sample(tuple(f"q{i}" for i in range(50)), whole.truth, whole.predicted)
    assert difference([whole], [stranger], "mae") is None


def test_no_effect_is_called_no_effect_most_of_the_time() -> None:
    calls = [difference([ages(40, seed=s)], [_redo(ages(40, seed=s), s)], "mae", draws=300) for s in range(100)]
    assert sum(judge(gap, "min") != "no evidence" for gap in calls if gap) <= 13


def _redo(sample: Sample, seed: int) -> Sample:
    return Sample(sample.participants, sample.truth, sample.truth + np.random.default_rng(1000 + seed).normal(0, 6, len(sample.truth)))


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(-2.0, -0.1, "helped"), (0.1, 2.0, "hurt"), (-1.0, 0.5, "no evidence"), (None, None, "no evidence")]
)
def test_judge(low: float | None, high: float | None, verdict: str) -> None:
    value = 0.0 if low is None or high is None else (low + high) / 2
    assert judge(Difference(value, low, high, 30), "min") == verdict


def test_samples_average_sessions_drop_missing_and_name_the_fault() -> None:
    rows = [
        {
            "participant_id": "a",
            "session": "",
            "part": "val",
            "age": "30",
            "age_pred": "20",
            "sex": "M",
            "sex_prob_F": "0.2",
            "sex_prob_M": "0.8",
        },
        {
            "participant_id": "a",
            "session": "",
            "part": "val",
            "age": "30",
            "age_pred": "30",
            "sex": "M",
            "sex_prob_F": "0.4",
            "sex_prob_M": "0.6",
        },
        {
            "participant_id": "b",
            "session": "",
            "part": "test",
            "age": "",
            "age_pred": "50",
            "sex": "F",
            "sex_prob_F": "1",
            "sex_prob_M": "0",
        },
    ]
    found = samples(rows, [AGE, SEX])
    assert set(found) == {("val", "age"), ("val", "sex"), ("test", "sex")}
    assert found["val", "age"].predicted.tolist() == [25.0]
    assert found["val", "sex"].predicted.tolist() == [pytest.approx([0.3, 0.7])]
    with pytest.raises(InputError, match="target sex"):
        samples([rows[0] | {"sex": "X"}], [SEX])
    with pytest.raises(InputError, match="target age"):
        samples([{"participant_id": "a", "part": "val", "age": "3"}], [AGE])


def test_roc_and_confusion() -> None:
    sample = classes(60, 2, digits=1)
    x, y = roc(sample, 1)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    trapezoid = sum((b - a) * (c + d) / 2 for a, b, c, d in zip(x, x[1:], y, y[1:], strict=False))
    assert trapezoid == pytest.approx(area([int(t) for t in sample.truth], sample.predicted.tolist(), 1))
    cells = confusion(sample)
    assert cells.sum() == 60
    assert np.trace(cells) / 60 == pytest.approx(evaluate(sample)["accuracy"])
