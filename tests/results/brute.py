"""Metrics by the book, one row at a time: what the vectorised code is compared with."""

import math
from collections.abc import Sequence


def regression(truth: Sequence[float], predicted: Sequence[float]) -> dict[str, float]:
    """All regression metrics by loops."""
    n = len(truth)
    mean_t, mean_p = sum(truth) / n, sum(predicted) / n
    residual = sum((t - p) ** 2 for t, p in zip(truth, predicted, strict=True))
    total = sum((t - mean_t) ** 2 for t in truth)
    covariance = sum((t - mean_t) * (p - mean_p) for t, p in zip(truth, predicted, strict=True))
    spread = sum((p - mean_p) ** 2 for p in predicted)
    return {
        "mae": sum(abs(t - p) for t, p in zip(truth, predicted, strict=True)) / n,
        "mse": residual / n,
        "rmse": math.sqrt(residual / n),
        "r2": 1 - residual / total,
        "pearson_r": covariance / math.sqrt(total * spread),
    }


def classification(truth: Sequence[int], probabilities: Sequence[Sequence[float]]) -> dict[str, float]:
    """All classification metrics by loops."""
    classes = range(len(probabilities[0]))
    predicted = [max(classes, key=lambda c: row[c]) for row in probabilities]
    pairs = list(zip(truth, predicted, strict=True))
    recalls = [sum(t == p == c for t, p in pairs) / sum(t == c for t, _ in pairs) for c in classes if any(t == c for t, _ in pairs)]
    f1 = [2 * sum(t == p == c for t, p in pairs) / d for c in classes if (d := sum((t == c) + (p == c) for t, p in pairs))]
    positives = [1] if len(classes) == 2 else list(classes)
    return {
        "accuracy": sum(t == p for t, p in pairs) / len(pairs),
        "balanced_accuracy": sum(recalls) / len(recalls),
        "auroc": sum(area(truth, probabilities, c) for c in positives) / len(positives),
        "f1": sum(f1) / len(f1),
        "cross_entropy": -sum(math.log(row[t]) for t, row in zip(truth, probabilities, strict=True)) / len(truth),
    }


def area(truth: Sequence[int], probabilities: Sequence[Sequence[float]], positive: int) -> float:
    """Share of pairs (member, non-member) in the right order."""
    inside = [row[positive] for t, row in zip(truth, probabilities, strict=True) if t == positive]
    outside = [row[positive] for t, row in zip(truth, probabilities, strict=True) if t != positive]
    return sum((a > b) + (a == b) / 2 for a in inside for b in outside) / (len(inside) * len(outside))
