"""The stage graph as text: rails (one stage a row, as in a commit graph), Mermaid and Graphviz."""

import json
from collections.abc import Mapping
from typing import Any

from tlimb.stages.graph import Stage, StageGraph


def rails(graph: StageGraph, states: dict[str, str] | None = None) -> str:
    """One row a stage; a rail runs from each stage to those that need it."""
    children = _children(graph)
    lanes: list[str | None] = []
    rows: list[tuple[str, tuple[list[str], Stage]]] = []
    for stage in graph.stages:
        for index, lane in enumerate(lanes):
            if lane is not None and children[lane] <= {done for done, _ in rows}:
                lanes[index] = None
        place = next((index for index, lane in enumerate(lanes) if lane is None), len(lanes))
        if place == len(lanes):
            lanes.append(None)
        marks = ["│" if lane is not None else " " for lane in lanes]
        marks[place] = _GLYPHS[(states or {}).get(stage.digest, "new")]
        lanes[place] = stage.digest if children[stage.digest] else None
        rows.append((stage.digest, (marks, stage)))
    width = 2 * len(lanes)
    return "\n".join(f"{' '.join(marks):{width}} {stage.digest[:8]}  {describe(stage)}".rstrip() for _, (marks, stage) in rows)


def mermaid(graph: StageGraph) -> str:
    """A Mermaid flowchart."""
    lines = ["flowchart LR"]
    lines += [f'    s{stage.digest}["{_escape(describe(stage))}"]' for stage in graph.stages]
    lines += [f"    s{parent} --> s{stage.digest}" for stage in graph.stages for parent in stage.parents]
    return "\n".join(lines)


def dot(graph: StageGraph) -> str:
    """A Graphviz digraph."""
    lines = ["digraph recipe {", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
    lines += [f"  s{stage.digest} [label={json.dumps(describe(stage), ensure_ascii=False)}];" for stage in graph.stages]
    lines += [f"  s{parent} -> s{stage.digest};" for stage in graph.stages for parent in stage.parents]
    return "\n".join([*lines, "}"])


def describe(stage: Stage) -> str:
    """A stage in a few words: its name, what it learns and the settings that tell it from its siblings."""
    config = stage.config
    if stage.kind == "prepare":
        return f"prepare {stage.name}"
    if stage.kind == "weights":
        return f"weights of {stage.name}"
    targets = " + ".join(f"{_data(t)}.{t['label']}" for t in config["targets"])
    others = " + ".join(map(_data, config.get("unlabelled", ())))
    words = [
        stage.name,
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
    return " ".join(words)


def _data(use: Mapping[str, Any]) -> str:
    return f"{use['dataset']}[{use['part']}]" if use["part"] else str(use["dataset"])


_GLYPHS = {"new": "○", "running": "◐", "done": "●", "failed": "✖"}


def _children(graph: StageGraph) -> dict[str, set[str]]:
    children: dict[str, set[str]] = {stage.digest: set() for stage in graph.stages}
    for stage in graph.stages:
        for parent in stage.parents:
            children[parent].add(stage.digest)
    return children


def _escape(text: str) -> str:
    return text.replace('"', "#quot;")
