"""A whole recipe: run its stages by an engine, rank what came out, write the report."""

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from textwrap import indent
from typing import Any

from tlimb.catalogue.datasets import Datasets
from tlimb.emit.nextflow import Options
from tlimb.emit.packs import sizes
from tlimb.errors import InputError
from tlimb.files import write_text, writing
from tlimb.results.times import duration
from tlimb.run.anatomy import parameters
from tlimb.run.expect import expected, lengths, recalled, remember, spoken, total
from tlimb.run.local import capacity, run_local
from tlimb.run.nextflow import compile_project, needed, run_nextflow
from tlimb.run.progress import SHORT, Event, Outcome, observer_for
from tlimb.run.runs import present
from tlimb.run.search import Rebuild, Trials, grown, recorded, replayed
from tlimb.run.store import Store, write_json
from tlimb.scratch import VARIABLE, tidy
from tlimb.stages.graph import StageGraph

Echo = Callable[[str], Any]
EXPECTED = "expected.json"
"""In a recipe's folder of the store: what was expected of its stages."""


def plan_document(graph: StageGraph, root: Path) -> dict[str, Any]:
    """The plan with the states in a store, the parameter counts that are known (those of finished stages stand in their results), and what
    stages were expected to take before they were run.
    """
    document = graph.document(dict(Store(root).states(graph)), parameters(graph, store=Store(root), ask=False))
    before = recalled(root / graph.recipe / EXPECTED)
    for stage in document["stages"]:
        if stage["digest"] in before:
            stage["expected"] = before[stage["digest"]]
    return document


def write_results(plan: dict[str, Any], store: Path, out: Path) -> str:
    """Rank finished stages; writes `results.csv`, `results.json` and `report.html` into `out` and returns the ranking as text."""
    from tlimb.results.ranking import rank
    from tlimb.results.report import write_report
    from tlimb.results.table import ranking_text, write_csv

    ranking = rank(plan, store)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(ranking, out / "results.csv")
    write_json(out / "results.json", ranking.document())
    write_report(plan, store, out / "report.html", ranking)
    return ranking_text(ranking)


def run_recipe(
    graph: StageGraph,
    store: Store,
    datasets: Datasets,
    rebuild: Rebuild,
    *,
    engine: str,
    profile: str,
    jobs: int | None,
    threads: int | None,
    pack: int | None,
    echo: Echo,
    only: Collection[str] | None = None,
) -> int:
    """Run what is not finished, rank, report. Returns the exit status: 0 all done, 1 a stage failed, 130 interrupted.

    Args:
        rebuild: Of a search, the graph with further trials.
        pack: With Nextflow, stages in a task; None: as many short ones as make a task of some minutes, where their lengths are known.
        only: Digests of the stages to run, with all that they need; default: all. Then there is a ranking only if the others are finished.
    """
    begin = time.monotonic()
    home = store.root / graph.recipe
    catalogue = home / "datasets.yaml"
    expectations = expected(graph, jobs=jobs, threads=threads)
    with writing(store.root):
        home.mkdir(parents=True, exist_ok=True)
        write_text(catalogue, needed(graph, datasets))
        remember(home / EXPECTED, expectations)
    computed = [stage.digest for stage in graph.stages if only is None or stage.digest in only]
    left = [digest for digest in computed if not store.is_done(digest)]
    ahead = total(graph, expectations, left, capacity(graph, jobs).stages) if left and engine == "local" else None
    if ahead:
        echo(f"expected: {spoken(ahead)}")
    with present(store, graph.recipe, engine, computed) as presence:
        with observer_for(graph) as shown:

            def observer(event: Event) -> None:
                if event.kind == "asked":
                    computed.extend(stage.digest for stage in event.stages)
                    presence.computes(computed)
                shown(event)

            if engine == "local":
                if pack is not None:
                    raise InputError("--pack is for Nextflow", "the workers of the local engine run one stage after another anyway")
                trials = Trials(graph, lambda known: grown(known, rebuild, store.root) if only is None else None)
                outcome = run_local(
                    graph,
                    store,
                    datasets=catalogue,
                    jobs=jobs,
                    threads=threads,
                    lengths=lengths(graph, expectations, store, datasets),
                    observer=observer,
                    more=trials,
                    only=only,
                )
            else:
                if jobs is not None or threads is not None:
                    raise InputError(
                        "--jobs and --threads are for the local engine", "with Nextflow a profile or site config says what a task gets"
                    )
                seconds = {digest: item.seconds for digest, item in expectations.items()}
                together = sizes(graph, seconds, pack)
                project = compile_project(graph, datasets, home / "nextflow", Options(pack=together, lengths=seconds), only=only)
                for file in home.glob("search-*.json"):
                    file.unlink()
                trials = Trials(replayed(graph, rebuild, store), lambda known: recorded(known, rebuild, home))
                outcome = run_nextflow(
                    project, trials.graph, store, profile=profile, pack=together, observer=observer, more=trials, only=only
                )
        if engine == "local":
            tidy(os.environ.get(VARIABLE))
        presence.status = _conclude(trials.graph, outcome, store, home, echo=echo, part=only is not None)
        echo(f"{time.monotonic() - begin:.0f} s" + (f"; {duration(ahead.seconds)} were expected" if ahead else ""))
        return presence.status


def _conclude(graph: StageGraph, outcome: Outcome, store: Store, home: Path, *, echo: Echo, part: bool) -> int:
    """Rank, report, name what failed; returns the exit status."""
    if outcome.interrupted:
        echo("stopped; the same command goes on from here")
        return 130
    missing = sum(not store.is_done(stage.digest) for stage in graph.stages) if part else 0
    if missing:
        echo(f"\n{missing} of the {len(graph.stages)} stages of the recipe are not finished, so there is no ranking yet")
    else:
        with writing(store.root):
            text = write_results(plan_document(graph, store.root), store.root, home)
        echo(f"\n{text.rstrip()}")
    names = {stage.digest: stage.name for stage in graph.stages}
    for digest, message in outcome.failed.items():
        log = store.partial(digest) / "log.txt"
        echo(f"failed: {names.get(digest, '')} {digest[:SHORT]}" + (f" (log: {log})" if log.exists() else ""))
        echo(indent(message, "  "))
    echo("" if missing else f"\nreport   {home / 'report.html'}\nresults  {home / 'results.csv'}")
    return 1 if outcome.failed or outcome.skipped else 0
