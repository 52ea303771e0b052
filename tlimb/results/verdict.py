"""The result of a recipe in plain sentences, for a reader who knows patients and not networks."""

from collections.abc import Mapping
from typing import Any

from tlimb.catalogue.metrics import METRICS, metric_of, split_metric
from tlimb.results.comparison import Comparison, Transfer
from tlimb.results.ranking import Estimate, Row
from tlimb.results.table import number, on_test, setting_text

NOTHING = "No variant has a result yet, so there is nothing to say."
CAUTION = "This is a research result, not a test for patients."


def verdict(comparison: Comparison) -> list[str]:
    """Sentences: what was found, what it is worth beside simple guesses, whether transfer helped, how sure that is."""
    ranked = [row for row in comparison.ranking.rows if row.rank]
    if not ranked:
        return [NOTHING]
    best = ranked[0]
    target = comparison.target(best) or {"name": "the target", "kind": "number"}
    key = on_test(best) or best.key or ""
    sentences = [_finding(comparison, best, target, key, len(ranked)), *_beside_baselines(best, target, key)]
    sentences += _transfer(comparison, ranked, target)
    if len(ranked) > 1 and not comparison.clear_winner():
        sentences.append("The first and the second of the ranking cannot be told apart: with other people their order might be reversed.")
    sentences.append(_seeds(best, target, key))
    return [*sentences, CAUTION]


def variant_text(row: Row) -> str:
    """Stage and settings of a row: ``finetune (lr = 0.001)``."""
    settings = ", ".join(f"{name} = {setting_text(value)}" for name, value in row.settings.items())
    return f"{row.stage} ({settings})" if settings else row.stage


def amount(value: float, key: str, target: Mapping[str, Any]) -> str:
    """A metric's value with the target's unit where it has one."""
    unit = target.get("unit") if metric_of(key).unit_of_target else None
    return f"{number(value)} {unit}" if unit else number(value)


def _finding(comparison: Comparison, row: Row, target: Mapping[str, Any], key: str, ranked: int) -> str:
    part, _, metric = split_metric(key)
    people = {name for sample in comparison.samples(row, part, str(target["name"])) for name in sample.participants}
    whom = f"in {len(people)} people " if people else "in people "
    whom += "that it had not seen" if part == "test" else "of the validation set, by which it was also chosen (there is no test set)"
    choice = f"Of {ranked} candidates, validation chose {variant_text(row)}: it" if ranked > 1 else f"The network of {variant_text(row)}"
    if target["kind"] == "number":
        does = f"predicts {target['name']} {whom}"
    else:
        does = f"tells {_and([str(c) for c in target.get('classes') or ()])} apart ({target['name']}) {whom}"
    return f"{choice} {does} with a {METRICS[metric].label} of {_with_interval(row.metrics[key], key, target)}."


def _with_interval(estimate: Estimate, key: str, target: Mapping[str, Any]) -> str:
    text = amount(estimate.mean, key, target)
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} (95 % interval {number(estimate.low)} to {number(estimate.high)})"


def _beside_baselines(row: Row, target: Mapping[str, Any], key: str) -> list[str]:
    baselines = row.baselines.get(key)
    if not baselines:
        return []
    names = {
        "constant": "the same guess for everyone gives" if target["kind"] == "number" else "guessing without looking gives",
        "head_size": "the size of the head alone gives",
    }
    said = _and([f"{names.get(name, name + ' gives')} {amount(value, key, target)}" for name, value in baselines.items()])
    sentences = [said[0].upper() + said[1:] + "."]
    lower = metric_of(key).direction == "min"
    rival_name, rival = (min if lower else max)(baselines.items(), key=lambda item: item[1])
    worst = row.metrics[key].high if lower else row.metrics[key].low
    if worst is not None and (worst >= rival if lower else worst <= rival):
        rival_text = {"constant": "guessing", "head_size": "head size alone"}.get(rival_name, rival_name)
        sentences.append(f"The interval does not exclude that the network is no better than {rival_text}.")
    return sentences


def _transfer(comparison: Comparison, ranked: list[Row], target: Mapping[str, Any]) -> list[str]:
    found = comparison.headline()
    if found:
        return [transfer_text(found, target)]
    if all(comparison.from_scratch(row) for row in ranked):
        return []
    return ["Whether transfer helped cannot be said: no `train … on` the same target, from scratch, stands beside it."]


def transfer_text(found: Transfer, target: Mapping[str, Any]) -> str:
    """The verdict on transfer with its paired interval."""
    gain, where = found.gain, "test" if found.key.startswith("test") else "validation"
    label = metric_of(found.key).label
    size = f"{label} {amount(abs(gain.value), found.key, target)} {'lower' if gain.value < 0 else 'higher'}"
    interval = (
        f"difference {number(gain.value)}, 95 % interval {number(gain.low)} to {number(gain.high)}, {gain.participants} people in both"
        if gain.low is not None and gain.high is not None
        else f"{gain.participants} people in both, too few for an interval"
    )
    if found.verdict == "no evidence":
        return f"There is no evidence that transfer helped or hurt compared with training from scratch ({where} {label}: {interval})."
    return f"Transfer {found.verdict}: {size} than from scratch ({where}; {interval})."


def _seeds(row: Row, target: Mapping[str, Any], key: str) -> str:
    sd = row.metrics[key].sd
    if sd is None:
        return "It is a single run: how much chance in training matters is not known."
    return f"Over {row.seeds} seeds the standard deviation is {amount(sd, key, target)}."


def _and(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
