"""A whole recipe: run its stages by an engine, rank what came out, write the report."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

from tlimb.catalogue.datasets import Datasets
from tlimb.errors import InputError
from tlimb.files import write_text, writing
from tlimb.run.anatomy import parameters
from tlimb.run.local import run_local
from tlimb.run.nextflow import compile_project, needed, run_nextflow
from tlimb.run.progress import SHORT, observer_for
from tlimb.run.search import Rebuild, Trials, grown, recorded, replayed
from tlimb.run.store import Store, write_json
from tlimb.scratch import VARIABLE, tidy
from tlimb.stages.graph import StageGraph

Echo = Callable[[str], Any]


def plan_document(graph: StageGraph, root: Path) -> dict[str, Any]:
    """The plan with the states in a store and the parameter counts that are known: those of finished stages stand in their results."""
    return graph.document(dict(Store(root).states(graph)), parameters(graph, store=Store(root), ask=False))


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
    echo: Echo,
) -> int:
    """Run what is not finished, rank, report. Returns the exit status: 0 all done, 1 a stage failed, 130 interrupted.

    Args:
        rebuild: Of a search, the graph with further trials.
    """
    begin = time.monotonic()
    home = store.root / graph.recipe
    catalogue = home / "datasets.yaml"
    with writing(store.root):
        home.mkdir(parents=True, exist_ok=True)
        write_text(catalogue, needed(graph, datasets))
    with observer_for(graph) as observer:
        if engine == "local":
            trials = Trials(graph, lambda known: grown(known, rebuild, store.root))
            outcome = run_local(graph, store, datasets=catalogue, jobs=jobs, threads=threads, observer=observer, more=trials)
        else:
            if jobs is not None or threads is not None:
                raise InputError(
                    "--jobs and --threads are for the local engine", "with Nextflow a profile or site config says what a task gets"
                )
            project = compile_project(graph, datasets, home / "nextflow")
            for file in home.glob("search-*.json"):
                file.unlink()
            trials = Trials(replayed(graph, rebuild, store), lambda known: recorded(known, rebuild, home))
            outcome = run_nextflow(project, trials.graph, store, profile=profile, observer=observer, more=trials)
    if engine == "local":
        tidy(os.environ.get(VARIABLE))
    if outcome.interrupted:
        echo("stopped; the same command goes on from here")
        return 130
    with writing(store.root):
        text = write_results(plan_document(trials.graph, store.root), store.root, home)
    echo(f"\n{text.rstrip()}")
    names = {stage.digest: stage.name for stage in trials.graph.stages}
    for digest, message in outcome.failed.items():
        log = store.partial(digest) / "log.txt"
        echo(f"failed: {names.get(digest, '')} {digest[:SHORT]}" + (f" (log: {log})" if log.exists() else ""))
        echo(indent(message, "  "))
    echo(f"\nreport   {home / 'report.html'}\nresults  {home / 'results.csv'}\n{time.monotonic() - begin:.0f} s")
    return 1 if outcome.failed or outcome.skipped else 0
