"""A stage in words."""

from collections.abc import Mapping
from typing import Any

from tlimb.stages.graph import Stage


def describe(stage: Stage) -> str:
    """A stage in a few words: its name, what it learns and the settings that tell it from its siblings."""
    if stage.kind == "prepare":
        return f"prepare {stage.name}"
    if stage.kind == "weights":
        return f"weights of {stage.name}"
    return " ".join((stage.name, *phrases(stage)))


def phrases(stage: Stage) -> list[str]:
    """What a stage learns and the settings that tell it from its siblings."""
    config = stage.config
    if stage.kind in ("prepare", "weights"):
        return [stage.kind]
    targets = " + ".join(f"{_data(t)}.{t['label']}" for t in config["targets"])
    others = " + ".join(map(_data, config.get("unlabelled", ())))
    words = [
        *([f"on {targets}"] if targets else []),
        *([f"{'and' if targets else 'on'} {others} unlabelled"] if others else []),
    ]
    words += [
        f"{name} {term['init_args']['alpha']:g}" if name == "elastic" else f"via {name}"
        for name, term in config.get("auxiliaries", {}).items()
    ]
    scenario = config.get("scenario", {}).get("init_args", {})
    if scenario.get("freeze"):
        words.append(f"freeze {'only ' if scenario.get('freeze_only') else ''}{scenario['freeze']}")
    if config.get("trainer", {}).get("init_args", {}).get("max_epochs") == 0:
        words.append("statistics only")
    elif "optimizer" in scenario:
        words.append(f"lr {scenario['optimizer']['init_args']['lr']:g}")
    if config["seed"]:
        words.append(f"seed {config['seed']}")
    return words


def _data(use: Mapping[str, Any]) -> str:
    return f"{use['dataset']}[{use['part']}]" if use["part"] else str(use["dataset"])
