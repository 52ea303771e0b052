"""A whole recipe: run its stages by an engine, rank what came out, write the report."""

import time
from collections.abc import Callable
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
from tlimb.run.progress import SHORT, observer_for
from tlimb.run.search import Rebuild, Trials, grown, recorded, replayed
from tlimb.run.store import Store, write_json
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
) -> int:
    """Run what is not finished, rank, report. Returns the exit status: 0 all done, 1 a stage failed, 130 interrupted.

    Args:
        rebuild: Of a search, the graph with further trials.
        pack: With Nextflow, stages in a task; None: as many short ones as make a task of some minutes, where their lengths are known.
    """
    begin = time.monotonic()
    home = store.root / graph.recipe
    catalogue = home / "datasets.yaml"
    expectations = expected(graph, jobs=jobs, threads=threads)
    with writing(store.root):
        home.mkdir(parents=True, exist_ok=True)
        write_text(catalogue, needed(graph, datasets))
        remember(home / EXPECTED, expectations)
    left = [stage.digest for stage in graph.stages if not store.is_done(stage.digest)]
    ahead = total(graph, expectations, left, capacity(graph, jobs).stages) if left and engine == "local" else None
    if ahead:
        echo(f"expected: {spoken(ahead)}")
    with observer_for(graph) as observer:
        if engine == "local":
            if pack is not None:
                raise InputError("--pack is for Nextflow", "the workers of the local engine run one stage after another anyway")
            trials = Trials(graph, lambda known: grown(known, rebuild, store.root))
            outcome = run_local(
                graph,
                store,
                datasets=catalogue,
                jobs=jobs,
                threads=threads,
                lengths=lengths(graph, expectations, store, datasets),
                observer=observer,
                more=trials,
            )
        else:
            if jobs is not None or threads is not None:
                raise InputError(
                    "--jobs and --threads are for the local engine", "with Nextflow a profile or site config says what a task gets"
                )
            seconds = {digest: item.seconds for digest, item in expectations.items()}
            together = sizes(graph, seconds, pack)
            project = compile_project(graph, datasets, home / "nextflow", Options(pack=together, lengths=seconds))
            for file in home.glob("search-*.json"):
                file.unlink()
            trials = Trials(replayed(graph, rebuild, store), lambda known: recorded(known, rebuild, home))
            outcome = run_nextflow(project, trials.graph, store, profile=profile, pack=together, observer=observer, more=trials)
    if outcome.interrupted:
        echo("stopped; the same command goes on from here")
        return 130
    with writing(store.root):
        plan = plan_document(trials.graph, store.root)
        text = write_results(plan, store.root, home)
    echo(f"\n{text.rstrip()}")
    names = {stage.digest: stage.name for stage in trials.graph.stages}
    for digest, message in outcome.failed.items():
        log = store.partial(digest) / "log.txt"
        echo(f"failed: {names.get(digest, '')} {digest[:SHORT]}" + (f" (log: {log})" if log.exists() else ""))
        echo(indent(message, "  "))
    took = f"{time.monotonic() - begin:.0f} s" + (f"; {duration(ahead.seconds)} were expected" if ahead else "")
    echo(f"\nreport   {home / 'report.html'}\nresults  {home / 'results.csv'}\n{took}")
    return 1 if outcome.failed or outcome.skipped else 0
