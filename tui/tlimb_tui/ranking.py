"""The ranking of a recipe as the results tab shows it; computed beside the user interface. Headless."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlimb.catalogue.metrics import metric_names
from tlimb.errors import InputError, TlimbError
from tlimb.results.comparison import Comparison
from tlimb.results.ranking import Ranking, Row, rank
from tlimb.results.read import read_history, targets_of
from tlimb.results.report import write_report
from tlimb.results.table import estimate_text, number, ranking_cells, setting_text
from tlimb.results.verdict import variant_text, verdict
from tlimb.run.store import Store
from tlimb.run.whole import plan_document
from tlimb.stages.graph import StageGraph

REPLAY = (sys.executable, "-m", "tlimb", "plan", "-", "--json")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A ranking and what there is to say of it.

    Attributes:
        document: The plan.
        store: Where its stages are.
        ranking: The rows.
        cells: Header and a line of text for each row.
        sentences: The result in plain words.
        metrics: What rows can be ranked by.
    """

    document: dict[str, Any]
    store: Path
    ranking: Ranking
    comparison: Comparison
    cells: list[list[str]]
    sentences: tuple[str, ...]
    metrics: tuple[str, ...]

    def name(self, row: Row) -> str:
        """A row in a few words."""
        return f"{row.variant} {variant_text(row)}"

    def histories(self, row: Row) -> list[tuple[int, dict[str, list[float]]]]:
        """Number of the repetition and curves of every finished seed of a row."""
        found = []
        for digest in row.digests:
            result = self.comparison.results.get(digest)
            if result is not None:
                seed = int((self.comparison.stages[digest].get("config") or {}).get("seed") or 0)
                found.append((seed, read_history(result.folder)))
        return found

    def lines(self, row: Row) -> list[str]:
        """All there is to know of a row."""
        said = [self.name(row) + (f", the same as {', '.join(row.shared)}" if row.shared else "")]
        said += [f"{name} = {setting_text(value)}" for name, value in row.settings.items()]
        if row.trainable is not None:
            said.append(f"trains {row.trainable:,} of {row.trainable + (row.frozen or 0):,} parameters")
        for name, estimate in row.metrics.items():
            beside = ", ".join(f"{what.replace('_', ' ')} {number(value)}" for what, value in row.baselines.get(name, {}).items())
            said.append(f"{name}  {estimate_text(estimate)}" + (f"  ({beside})" if beside else ""))
        stages = {stage["digest"]: stage for stage in self.document["stages"]}
        variant = next((v for v in self.document["variants"] if v["id"] == row.variant), None)
        if variant is not None:
            said += [
                f"{stages[digest]['state']:8}{digest[:8]}  {stages[digest]['name']}" for digest in variant["stages"] if digest in stages
            ]
        return [*said, *row.notes]


def ranking_work(
    graph: StageGraph, store: Store, by: str | None, *, text: str, folder: Path, datasets: Path | None
) -> Callable[[], "Ranked | TlimbError"]:
    """The work of ranking, to be called in a thread; returns the reason where there is no ranking."""

    def work() -> Ranked | TlimbError:
        try:
            if graph.search is not None and not graph.search.complete:
                document = replayed(text, folder, store.root, datasets)
            else:
                document = plan_document(graph, store.root)
            return ranked(document, store.root, by)
        except TlimbError as error:
            return error

    return work


def ranked(document: dict[str, Any], root: Path, by: str | None) -> Ranked:
    """Rank what is finished."""
    ranking = rank(document, root, by)
    comparison = Comparison(document, root, ranking)
    cells = ranking_cells(ranking, comparison)
    return Ranked(document, root, ranking, comparison, cells, tuple(verdict(comparison)), measured(document))


def measured(document: dict[str, Any]) -> tuple[str, ...]:
    """The validation metrics of the stages that are ranked."""
    stages = {stage["digest"]: stage for stage in document["stages"]}
    found: dict[str, None] = {str(document["rank"]["metric"]): None}
    for variant in document["variants"][:1]:
        for run in variant["runs"][:1]:
            for leaf in run["leaves"]:
                targets = targets_of(stages[run["stages"][leaf]])
                for target in targets:
                    middle = f"{target['name']}." if len(targets) > 1 else ""
                    found.update(dict.fromkeys(f"val.{middle}{name}" for name in metric_names(target["kind"])))
    return tuple(found)


def replayed(text: str, folder: Path, root: Path, datasets: Path | None) -> dict[str, Any]:
    """The plan of a search with the trials that its results have led to: asked of a child process, which may load the sampler."""
    command = [*REPLAY, "--store", str(root), *(["--datasets", str(datasets)] if datasets else [])]
    done = subprocess.run(command, input=text, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError("the search cannot be planned: " + done.stderr.strip().rpartition("error: ")[2][:300])
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def report(found: Ranked) -> Path:
    """Write the report into the recipe's folder of the store; returns its path."""
    out = found.store / (found.ranking.recipe or "recipe") / "report.html"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_report(found.document, found.store, out, found.ranking)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}", "write it elsewhere with: tlimb report RECIPE -o FILE") from error
    return out
