"""What tells the stages of one step apart."""

from tlimb.results.table import setting_text
from tlimb.stages.graph import StageGraph


def distinctions(graph: StageGraph) -> dict[str, str]:
    """By digest, the settings and the seed in which a stage differs from others of its step, e.g. ``lr=0.001 seed 1``; empty for one alone.

    A setting that the variants of a stage do not agree in does not reach it, and is left out.
    """
    uses: dict[str, dict[str, list[tuple[dict[str, str], int]]]] = {}
    for variant in graph.variants:
        settings = {name: setting_text(value) for name, value in variant.settings.items()}
        for run in variant.runs:
            for step, digest in run.stages.items():
                uses.setdefault(step, {}).setdefault(digest, []).append((settings, run.seed))
    found: dict[str, str] = {}
    for step, stages in uses.items():
        every = [use for some in stages.values() for use in some]
        names = dict.fromkeys(name for settings, _ in every for name in settings)
        differ = [name for name in names if len({settings.get(name) for settings, _ in every}) > 1]
        seeds = len({seed for _, seed in every}) > 1
        for digest, some in stages.items():
            words = [
                f"{name.removeprefix(f'{step}.')}={some[0][0].get(name)}"
                for name in differ
                if len({settings.get(name) for settings, _ in some}) == 1
            ]
            if seeds and len({seed for _, seed in some}) == 1:
                words.append(f"seed {some[0][1]}")
            found.setdefault(digest, " ".join(words) if len(stages) > 1 else "")
    return found
