"""The command line. Each command imports its subsystem when it runs, so that `tlimb --help` and `tlimb check` stay light."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tlimb import __version__
from tlimb.errors import Diagnostic, InputError, RecipeError, TlimbError

if TYPE_CHECKING:
    from tlimb.run.opening import Opened, Source
    from tlimb.stages.graph import StageGraph

INTERRUPTED = 130


class Commands(click.Group):
    """The commands in the order of a day's work, with every error as a message and an exit status."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return [name for name, command in self.commands.items() if not command.hidden]

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except KeyboardInterrupt:
            context.exit(INTERRUPTED)
        except Exception as error:
            if context.params.get("debug"):
                raise
            _fail(context, error)


def _fail(context: click.Context, error: Exception) -> NoReturn:
    if isinstance(error, TlimbError):
        _say_error(error.message, error.hint)
        context.exit(error.exit_status)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        context.exit(0)
    _say_error(f"{type(error).__name__}: {error}", "this is a fault of TLIMB; tlimb --debug … shows where it happened")
    context.exit(1)


def _say_error(message: str, hint: str = "") -> None:
    click.echo(click.style("error: ", fg="red", bold=True, reset=True) + message, err=True, color=_color(sys.stderr))
    if hint:
        click.echo(f"  {hint}", err=True)


def _color(stream: Any) -> bool:
    return bool(stream.isatty()) and "NO_COLOR" not in os.environ


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tlimb")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Transfer learning for brain images, from one line of recipe.

    \b
    Start here:
        tlimb new                 a first recipe, on built-in data
        tlimb run RECIPE          plan, train, rank, report
    """
    if debug:
        os.environ["TLIMB_DEBUG"] = "1"


# ---------------------------------------------------------------------- shared options
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _example(text: str) -> dict[str, str]:
    return {"epilog": f"\b\nExample:\n    {text}"}


TRUST = "tlimb.trust"


def recipe_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """RECIPE, and whether the code beside it may be run."""
    trust = click.option(
        "--trust", is_flag=True, expose_value=False, callback=_remember_trust, help="Run own components that lie beside the recipe."
    )
    return click.argument("recipe", metavar="RECIPE")(trust(command))


def _remember_trust(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.meta[TRUST] = value


def _trusted() -> bool:
    return bool(click.get_current_context().meta.get(TRUST))


datasets_option: Decorator = click.option(
    "--datasets", type=click.Path(path_type=Path, dir_okay=False), help="The datasets.yaml to use instead of the one beside the recipe."
)
set_option: Decorator = click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a setting; repeatable.")
store_option: Decorator = click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), help="Where results lie (default: runs/ beside the recipe)."
)
pack_option: Decorator = click.option(
    "--pack", type=click.IntRange(1), help="Stages that share a task of Nextflow (default: short ones, where their lengths are known)."
)
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")


def _open(recipe: str, datasets: Path | None, overrides: Sequence[str] = ()) -> "tuple[Opened, StageGraph]":
    """A recipe and its graph; prints the mistakes and leaves with status 2 if it has any."""
    from tlimb.run.opening import open_recipe

    opened = open_recipe(recipe, datasets, overrides, trusted=_trusted())
    try:
        graph = opened.graph()
    except RecipeError as error:
        _print_diagnostics(error.diagnostics, opened.source)
        click.get_current_context().exit(InputError.exit_status)
    for warning in graph.warnings:
        click.echo(f"warning: {warning}", err=True)
    return opened, graph


def _print_diagnostics(diagnostics: Sequence[Diagnostic], source: "Source") -> None:
    from tlimb.recipe.render import render

    click.echo(render(diagnostics, source.text, source.label, color=_color(sys.stderr)), err=True)


def _known(opened: "Opened", graph: "StageGraph", store: Path | None) -> "StageGraph":
    """The graph with the trials of a search that the results in the store have led to."""
    if graph.search is None:
        return graph
    from tlimb.run.search import replayed
    from tlimb.run.store import Store

    return replayed(graph, opened.graph, Store(_store_root(opened.source, store)))


def _store_root(source: "Source", store: Path | None) -> Path:
    return store if store is not None else source.folder / "runs"


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=1))


def _write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text.rstrip("\n"))
    else:
        from tlimb.files import write_text

        write_text(out, text)
        click.echo(f"wrote {out}", err=True)


# ---------------------------------------------------------------------- language
@main.command(**_example("tlimb check brain-age.tlr"))
@recipe_argument
@datasets_option
@json_option
def check(recipe: str, datasets: Path | None, as_json: bool) -> None:
    """Find every mistake of a recipe; nothing is run."""
    from tlimb.recipe.render import position
    from tlimb.run.opening import layer_mistakes, open_recipe

    opened = open_recipe(recipe, datasets, trusted=_trusted())
    found = list(opened.diagnostics)
    if not found:
        try:
            found = layer_mistakes(opened, opened.graph())
        except RecipeError as error:
            found = error.diagnostics
    if as_json:
        text = opened.source.text
        rows = []
        for item in found:
            (line, column), (end_line, end_column) = position(text, item.span.start), position(text, item.span.end)
            place = {"line": line, "column": column, "end_line": end_line, "end_column": end_column}
            fix = [{"start": edit.span.start, "end": edit.span.end, "new": edit.new} for edit in item.fix]
            rows.append({"code": item.code, "severity": item.severity, **place, "message": item.message, "hint": item.hint, "fix": fix})
        _print_json({"format": 1, "file": opened.source.label, "diagnostics": rows})
    elif found:
        _print_diagnostics(found, opened.source)
    else:
        click.echo(f"{opened.source.label}: no mistakes")
    if any(item.severity == "error" for item in found):
        click.get_current_context().exit(InputError.exit_status)


@main.command(**_example("tlimb fmt recipes/*.tlr --check"))
@click.argument("recipes", metavar="RECIPE…", nargs=-1, required=True)
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Change nothing; print what would change.")
def fmt(recipes: tuple[str, ...], only_check: bool, diff: bool) -> None:
    """Format recipes in place."""
    import difflib

    from tlimb.files import write_text
    from tlimb.recipe.format import format_recipe
    from tlimb.run.opening import read

    status = 0
    for path in recipes:
        source = read(path)
        try:
            new = format_recipe(source.text)
        except RecipeError as error:
            _print_diagnostics(error.diagnostics, source)
            status = InputError.exit_status
            continue
        if path == "-":
            click.echo(new, nl=False)
        elif new != source.text:
            if diff:
                lines = difflib.unified_diff(source.text.splitlines(True), new.splitlines(True), path, path)
                click.echo("".join(lines), nl=False)
            elif only_check:
                click.echo(f"would reformat {path}")
            else:
                write_text(Path(path), new)
                click.echo(f"reformatted {path}")
            status = max(status, 1 if only_check else 0)
    click.get_current_context().exit(status)


@main.command(**_example("tlimb explain freeze"))
@click.argument("word", required=False)
def explain(word: str | None) -> None:
    """Say what a statement, clause, key, component or metric means. Without WORD: list all."""
    from tlimb.catalogue.explain import explain as meaning
    from tlimb.catalogue.explain import overview
    from tlimb.catalogue.registry import load_catalogue

    click.echo(meaning(word, load_catalogue()) if word else overview(load_catalogue()))


# ---------------------------------------------------------------------- plan
@main.command(**_example("tlimb plan brain-age.tlr"))
@recipe_argument
@datasets_option
@store_option
@click.option("--probe", is_flag=True, help="Time a few steps of each kind of stage, and say what the recipe will take.")
@click.option("--jobs", type=click.IntRange(1), help="Stages at a time, as with `tlimb run`.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of a stage, as with `tlimb run`.")
@click.option("--slots", type=click.IntRange(1), help="Also say what it takes on a cluster that runs so many tasks at a time.")
@set_option
@json_option
def plan(
    recipe: str,
    datasets: Path | None,
    store: Path | None,
    probe: bool,
    jobs: int | None,
    threads: int | None,
    slots: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show variants and stages, what is shared, what is finished, how many parameters train and how long it takes."""
    from tlimb.results.times import duration
    from tlimb.run.anatomy import parameters
    from tlimb.run.expect import expected, spoken, totals
    from tlimb.run.store import Store
    from tlimb.run.subjects import roles, roles_text
    from tlimb.stages.describe import describe

    opened, graph = _open(recipe, datasets, overrides)
    graph = _known(opened, graph, store)
    results = Store(_store_root(opened.source, store))
    states = results.states(graph)
    counts = parameters(graph, store=results)
    if probe:
        from tlimb.run.local import capacity
        from tlimb.run.nextflow import needed
        from tlimb.run.probe import probe as measure

        measure(
            graph,
            results,
            needed(graph, opened.datasets),
            threads or capacity(graph, jobs).threads,
            lambda line: click.echo(line, err=True),
        )
    expectations = expected(graph, jobs=jobs, threads=threads)
    found = totals(graph, expectations, states, jobs=jobs, slots=slots)
    if as_json:
        document = graph.document(states, counts)
        for row in document["stages"]:
            row["expected"] = expectations[row["digest"]].document() if row["digest"] in expectations else None
        document["expected"] = {word: item.document() for word, item in found.items()} or None
        _print_json(document)
        return
    fits = sum(stage.kind != "prepare" for stage in graph.stages)
    done = sum(state == "done" for state in states.values())
    asked = sum(len(run.stages) for variant in graph.variants for run in variant.runs)
    shared = f", {asked - fits} shared" if asked > fits else ""
    prepared = len(graph.stages) - fits
    click.echo(
        f"{graph.recipe}: {_count(len(graph.variants), 'variant')}, {_count(fits, 'stage')}{shared}, "
        f"{_count(prepared, 'data set')} to prepare, {done} of {len(graph.stages)} finished"
    )
    if graph.search and not graph.search.complete:
        left = graph.search.trials - len(graph.variants)
        rounds = f"{graph.search.trials} trials in {graph.search.rounds} rounds of {graph.search.round}"
        click.echo(f"search {graph.search.method}: {rounds}; {len(graph.variants)} are known, {left} follow from the results")
    click.echo(f"ranked by {graph.rank.metric} ({'lowest' if graph.rank.direction == 'min' else 'highest'} first)")
    for word, item in found.items():
        click.echo(f"expected, {word}: {spoken(item)}")
    for name in dict.fromkeys(stage.name for stage in graph.stages if stage.kind == "prepare"):
        if name in opened.datasets:
            click.echo(f"{name}: {roles_text(roles(graph, opened.datasets[name]))}")
    click.echo()
    for stage in graph.stages:
        count = counts.get(stage.digest)
        unknown = "parameters: known once the data are prepared" if stage.kind == "fit" else ""
        trained = f"trains {count['trainable']:,} of {count['trainable'] + count['frozen']:,} parameters" if count else unknown
        length = f"  ~{duration(expectations[stage.digest].seconds)}" if stage.digest in expectations else ""
        click.echo(f"  {stage.digest[:8]}  {states[stage.digest]:8} {describe(stage):55} {trained}{length}".rstrip())


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


@main.command(**_example("tlimb graph brain-age.tlr --data -o brain-age.svg"))
@recipe_argument
@datasets_option
@store_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["boxes", "rails", "mermaid", "dot", "svg"]),
    help="Default: as the file's name says; else boxes from 100 columns on, if they have room, and rails.",
)
@click.option("--stages", is_flag=True, help="Draw every stage of the plan, not the steps of the recipe.")
@click.option("--data", is_flag=True, help="Draw the data sets too.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII characters only.")
@click.option("--width", type=click.IntRange(20), help="Columns (default: those of the terminal).")
@click.option("-o", "out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
def graph(
    recipe: str,
    datasets: Path | None,
    store: Path | None,
    form: str | None,
    stages: bool,
    data: bool,
    ascii_only: bool,
    width: int | None,
    out: Path | None,
) -> None:
    """Draw the graph of a recipe with the states of its stages: a box for each step, with ×N where a sweep makes N stages of it."""
    from tlimb.run.graph import columns, drawn, form_of
    from tlimb.run.store import Store

    opened, plan = _open(recipe, datasets)
    text, said = drawn(
        opened.recipe,
        _known(opened, plan, store),
        Store(_store_root(opened.source, store)),
        form=form or form_of(out),  # type: ignore[arg-type]
        stages=stages,
        data=data,
        width=columns(sys.stdout) if width is None and out is None else width,
        ascii_only=ascii_only,
        colours=out is None and _color(sys.stdout),
    )
    _write(f"{text}\n", out)
    if said:
        click.echo(f"note: {said}", err=True)


@main.command(**_example("tlimb desugar brain-age.tlr -o configs"))
@recipe_argument
@datasets_option
@set_option
@click.option("-o", "out", type=click.Path(path_type=Path, file_okay=False), help="One file a stage in this folder.")
@click.option("--origins", is_flag=True, help="Say at each line what of the recipe it comes from.")
def desugar(recipe: str, datasets: Path | None, overrides: tuple[str, ...], out: Path | None, origins: bool) -> None:
    """Print the component configs that the recipe stands for, one YAML document a stage."""
    from tlimb.configs.text import dump, header

    opened, stages = _open(recipe, datasets, overrides)
    texts = [dump(dict(stage.config)) for stage in stages.stages]
    if origins and opened.recipe is not None:
        from tlimb.configs.origins import Origins, explained

        known = [Origins(opened.recipe, stage, opened.source.overrides_from) for stage in stages.stages]
        texts = [explained(text, of) for text, of in zip(texts, known, strict=True)]
    if out is None:
        click.echo("---\n".join([dump(header(stages)), *texts]), nl=False)
        return
    from tlimb.files import write_text

    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "recipe.yaml", dump(header(stages)))
    for stage, text in zip(stages.stages, texts, strict=True):
        write_text(out / f"{stage.name}-{stage.digest}.yaml", text)
    click.echo(f"wrote {len(stages.stages) + 1} files to {out}", err=True)


@main.command("compile", **_example("tlimb compile brain-age.tlr -o brain-age-nf && nextflow run brain-age-nf"))
@recipe_argument
@click.option("-o", "out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the Nextflow project.")
@pack_option
@datasets_option
@set_option
def compile_(recipe: str, out: Path, pack: int | None, datasets: Path | None, overrides: tuple[str, ...]) -> None:
    """Write a Nextflow project that runs by `nextflow run DIR`."""
    from tlimb.emit.nextflow import Options
    from tlimb.emit.packs import sizes
    from tlimb.run.expect import expected
    from tlimb.run.nextflow import compile_project

    opened, stages = _open(recipe, datasets, overrides)
    seconds = {digest: item.seconds for digest, item in expected(stages).items()}
    compile_project(stages, opened.datasets, out, Options(pack=sizes(stages, seconds, pack), lengths=seconds))
    click.echo(f"wrote {out}: {_count(len(stages.stages), 'stage')}; run it with: nextflow run {out}", err=True)


# ---------------------------------------------------------------------- run
@main.command(**_example("tlimb run brain-age.tlr --set epochs=2"))
@recipe_argument
@click.option("--engine", type=click.Choice(["local", "nextflow"]), default="local", show_default=True)
@click.option("--profile", default="standard", show_default=True, help="Nextflow profile(s).")
@store_option
@click.option("--jobs", type=click.IntRange(1), help="Stages at a time (default: as many as cores or GPUs allow).")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of a stage (default: the cores, divided by the jobs).")
@pack_option
@click.option("--only", multiple=True, metavar="STAGE", help="Run this stage (a name, or a digest) and what it needs; repeatable.")
@click.option("--detach", is_flag=True, help="Run in the background; see `tlimb status --watch` and `tlimb stop`.")
@datasets_option
@set_option
def run(
    recipe: str,
    engine: str,
    profile: str,
    store: Path | None,
    jobs: int | None,
    threads: int | None,
    pack: int | None,
    only: tuple[str, ...],
    detach: bool,
    datasets: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Plan, run what is not finished, rank and write the report. Run it again to go on where it stopped."""
    from tlimb.run.store import Store
    from tlimb.stages.part import part

    opened, stages = _open(recipe, datasets, overrides)
    chosen = part(stages, only) if only else None
    place = Store(_store_root(opened.source, store))
    place.create()
    if detach:
        from tlimb.run.background import Options, start

        if recipe == "-":
            raise InputError("a recipe from standard input cannot run in the background", "save it to a file")
        how = Options(engine, profile, jobs, threads, only, datasets, overrides, _trusted())
        started = start(Path(recipe), place, how)
        click.echo(f"run {started.id} is at work in the background (process {started.pid}); it writes to {started.log}")
        return
    from tlimb.run.whole import run_recipe

    outcome = run_recipe(
        stages,
        place,
        opened.datasets,
        opened.graph,
        engine=engine,
        profile=profile,
        jobs=jobs,
        threads=threads,
        pack=pack,
        echo=click.echo,
        only=chosen,
    )
    click.get_current_context().exit(outcome)


@main.command(**_example("tlimb status brain-age.tlr --watch"))
@click.argument("recipe", metavar="[RECIPE]", required=False)
@click.option("--watch", is_flag=True, help="Go on until interrupted, twice a second.")
@datasets_option
@store_option
@set_option
@json_option
def status(recipe: str | None, watch: bool, datasets: Path | None, store: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show what the stages of a recipe are doing, whoever runs them; without RECIPE all stages of a store."""
    from tlimb.run.status import show
    from tlimb.run.store import Store

    root, plan = store or Path("runs"), None
    if recipe:
        opened, graph = _open(recipe, datasets, overrides)
        root, plan = _store_root(opened.source, store), _known(opened, graph, store)
    elif not root.is_dir():
        raise InputError(f"no store at {root}", "name one with --store; `tlimb run` makes it beside the recipe")
    show(Store(root), plan, watch=watch, as_json=as_json, echo=click.echo)


@main.command(**_example("tlimb stop brain-age.tlr"))
@click.argument("recipe", metavar="[RECIPE]", required=False, type=click.Path(path_type=Path))
@store_option
def stop(recipe: Path | None, store: Path | None) -> None:
    """Stop the runs of a recipe, or all on a store: they save what is unfinished and end; asked a second time, they end at once."""
    from tlimb.run import background
    from tlimb.run.monitor import Monitor
    from tlimb.run.store import Store

    place = Store(store or (recipe.parent if recipe else Path()) / "runs")
    found = [run for run in Monitor(place).poll().runs if recipe is None or run.recipe == recipe.stem]
    if not found:
        raise InputError(f"no run is at work on {place.root}", "name another store with --store")
    for run in found:
        background.stop(run)
        click.echo(f"asked process {run.pid} ({run.recipe}) to stop")


@main.command(**_example("tlimb results brain-age.tlr --by val.auroc"))
@recipe_argument
@click.option("--by", metavar="METRIC", help="Rank by this validation metric.")
@datasets_option
@store_option
@set_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
def results(
    recipe: str, by: str | None, datasets: Path | None, store: Path | None, overrides: tuple[str, ...], as_json: bool, as_csv: bool
) -> None:
    """Print the ranking."""
    from tlimb.results.comparison import Comparison
    from tlimb.results.ranking import rank as ranking_of
    from tlimb.results.table import ranking_csv, ranking_text
    from tlimb.results.times import times_text
    from tlimb.results.verdict import verdict
    from tlimb.run.whole import plan_document

    opened, stages = _open(recipe, datasets, overrides)
    root = _store_root(opened.source, store)
    document = plan_document(_known(opened, stages, store), root)
    ranking = ranking_of(document, root, by=by)
    if as_json:
        _print_json(ranking.document())
    elif as_csv:
        click.echo(ranking_csv(ranking), nl=False)
    else:
        comparison = Comparison(document, root, ranking)
        click.echo(ranking_text(ranking, comparison))
        click.echo("\n".join(verdict(comparison)))
        if said := times_text(document, root):
            click.echo(said)


@main.command(**_example("tlimb report brain-age.tlr -o report.html"))
@recipe_argument
@click.option("-o", "out", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"), show_default=True)
@datasets_option
@store_option
@set_option
def report(recipe: str, out: Path, datasets: Path | None, store: Path | None, overrides: tuple[str, ...]) -> None:
    """Write the report: one HTML file that holds all it shows."""
    from tlimb.results.ranking import rank as ranking_of
    from tlimb.results.report import write_report
    from tlimb.run.whole import plan_document

    opened, stages = _open(recipe, datasets, overrides)
    root = _store_root(opened.source, store)
    document = plan_document(_known(opened, stages, store), root)
    write_report(document, root, out, ranking_of(document, root))
    click.echo(f"wrote {out}", err=True)


@main.command(hidden=True)
@click.argument("plan_file", metavar="PLAN.json", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--store", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--rounds", type=click.Path(path_type=Path, exists=True, file_okay=False), help="How far a search went, a file a round.")
def rank(plan_file: Path, store: Path, out: Path, rounds: Path | None) -> None:
    """Rank finished stages by a plan (what the last task of a Nextflow run calls)."""
    from tlimb.run.search import plan_of_rounds
    from tlimb.run.whole import write_results

    document = json.loads(plan_file.read_text(encoding="utf-8"))
    write_results(plan_of_rounds(document, rounds) if rounds else document, store, out)


@main.group(hidden=True)
def search() -> None:
    """Rounds of a search."""


@search.command("ask")
@click.argument("asked", metavar="SEARCH.json", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--round", "number", type=click.IntRange(1), required=True)
@click.option("--store", type=click.Path(path_type=Path), required=True)
@click.option("--datasets", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
def search_ask(asked: Path, number: int, store: Path, datasets: Path, out: Path) -> None:
    """Write the jobs of the next round of a search (what a task of a Nextflow run calls)."""
    from tlimb.run.search import ask_round

    ask_round(asked, store, number=number, datasets=datasets, out=out)


@main.group()
def stage() -> None:
    """Work with single stages."""


@stage.command("run", **_example("tlimb stage run finetune.yaml --out out --parent pretrain --set trainer.max_epochs=2"))
@click.argument("configs", metavar="STAGE.yaml…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The result folder to make.")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), help="Of several stages: the folder that gets one for each.")
@click.option("--parent", "parents", type=click.Path(path_type=Path), multiple=True, help="Result folder of a stage it needs; repeatable.")
@click.option("--datasets", type=click.Path(path_type=Path), help="The datasets.yaml to use.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Where unfinished work is kept, so that a retry goes on from it; with --into a folder for each stage lies in it.",
)
@click.option("--scratch", type=click.Path(path_type=Path), help="Where prepared data are copied on this node (default: TLIMB_SCRATCH).")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="With --into: stages at a time.")
@set_option
def stage_run(
    configs: tuple[Path, ...],
    out: Path | None,
    into: Path | None,
    parents: tuple[Path, ...],
    datasets: Path | None,
    threads: int | None,
    state: Path | None,
    scratch: Path | None,
    jobs: int,
    overrides: tuple[str, ...],
) -> None:
    """Run a stage, or several in one process: what every Nextflow task calls."""
    if (out is None) == (into is None):
        raise InputError("give either --out or --into", "--out DIR is the result folder of one stage; --into DIR gets a folder for each")
    if scratch is not None:
        os.environ["TLIMB_SCRATCH"] = str(scratch)
    from tlimb.run.pack import run_pack, taken

    if into is not None:
        if overrides:
            raise InputError("--set changes one stage, and goes with --out", "run that stage alone")
        status = run_pack(configs, into, parents=parents, datasets=datasets, threads=threads, state=state, jobs=jobs)
        click.get_current_context().exit(status)
    if len(configs) > 1:
        raise InputError(f"--out is for one stage, not for {len(configs)}", "give --into DIR")
    if not overrides and taken(configs[0], Path(str(out)), state):
        return
    arguments = [sys.executable, "-m", "tlimb.train", "stage", str(configs[0]), "--out", str(out)]
    for option, values in (("--parent", parents), ("--set", overrides)):
        for value in values:
            arguments += [option, str(value)]
    for option, given in (("--datasets", datasets), ("--threads", threads), ("--state", state)):
        if given is not None:
            arguments += [option, str(given)]
    # The training side takes over this process, so that signals of a scheduler reach it and the parent costs no memory.
    sys.stdout.flush()
    os.execv(sys.executable, arguments)


# ---------------------------------------------------------------------- data
@main.group()
def data() -> None:
    """See and check the data sets of the catalogue."""


@data.command("list", **_example("tlimb data list"))
@datasets_option
@json_option
def data_list(datasets: Path | None, as_json: bool) -> None:
    """List the data sets and their labels."""
    from tlimb.run.data import list_datasets

    list_datasets(datasets, as_json=as_json, echo=click.echo)


@data.command("check", **_example("tlimb data check ixi"))
@click.argument("name")
@datasets_option
@click.option("--quick", is_flag=True, help="Look at tables and file names only, open no image.")
@json_option
def data_check(name: str, datasets: Path | None, quick: bool, as_json: bool) -> None:
    """Say what a data set holds and what is wrong with it."""
    from tlimb.run.data import check_dataset

    problems = check_dataset(name, datasets, images=not quick, as_json=as_json, echo=click.echo)
    click.get_current_context().exit(1 if problems else 0)


@data.command("show", **_example("tlimb data show ixi sub-IXI002"))
@click.argument("name")
@click.argument("participant", required=False)
@click.option("--session", help="Of the participant (default: the first).")
@click.option("--at", metavar="X,Y,Z", help="Voxels to look at (default: the middle).")
@click.option("--volume", type=click.IntRange(1), default=1, show_default=True, help="Of a file with several.")
@datasets_option
@json_option
def data_show(
    name: str, participant: str | None, session: str | None, at: str | None, volume: int, datasets: Path | None, as_json: bool
) -> None:
    """List the participants of a data set, or draw the scan of one."""
    import shutil

    from tlimb.run.subjects import colourful, find, show_scan, show_subjects

    dataset = find(name, datasets)
    if participant is None:
        show_subjects(dataset, as_json=as_json, echo=click.echo)
        return
    try:
        place = [int(part) for part in at.split(",")] if at else None
    except ValueError:
        raise InputError(f"--at {at}: not whole numbers", "for example --at 20,24,20; of time series the number of a region") from None
    width, colour = min(160, shutil.get_terminal_size().columns), colourful()
    show_scan(dataset, participant, session, at=place, frame=volume - 1, width=width, colour=colour, echo=click.echo)


@data.command("add", **_example("tlimb data add /data/ixi --name ixi"))
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--name", help="What recipes call it (default: from the folder's name).")
@click.option("--datasets", type=click.Path(path_type=Path), default=Path("datasets.yaml"), show_default=True, help="The file to add to.")
def data_add(folder: Path, name: str | None, datasets: Path) -> None:
    """Add a folder to datasets.yaml: a first entry, to be read and mended by you."""
    from tlimb.catalogue.datasets import add_entry, suggest_entry

    called, entry = suggest_entry(folder, name)
    add_entry(datasets, called, entry)
    click.echo(f"added {called} to {datasets}; see what it holds with: tlimb data check {called}")


@data.command("import", **_example("tlimb data import mylab.data.MySet count=40 --name mine --trust"))
@click.argument("class_path", metavar="CLASS")
@click.argument("arguments", metavar="[KEY=VALUE]…", nargs=-1)
@click.option("--name", required=True, help="What recipes call it.")
@click.option("-o", "folder", type=click.Path(path_type=Path, file_okay=False), help="Where to write (default: a folder of that name).")
@click.option("--datasets", type=click.Path(path_type=Path), default=Path("datasets.yaml"), show_default=True, help="The file to add to.")
@click.option("--trust", is_flag=True, help="Run a class that lies in this folder.")
def data_import(class_path: str, arguments: tuple[str, ...], name: str, folder: Path | None, datasets: Path, trust: bool) -> None:
    """Write down a data set that is a class of your own, as images and a table."""
    from tlimb.run.data import import_class

    import_class(class_path, arguments, name, folder or Path(name), datasets, trusted=trust)
    click.echo(f"added {name} to {datasets}; see what it holds with: tlimb data check {name}")


# ---------------------------------------------------------------------- weights
@main.group()
def weights() -> None:
    """See what files of weights hold."""


@weights.command("inspect", **_example("tlimb weights inspect resnet_18_23dataset.pth"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--passport", type=click.Path(path_type=Path), help="A passport.yaml elsewhere than beside the file.")
@json_option
def weights_inspect(file: Path, passport: Path | None, as_json: bool) -> None:
    """Say what a file holds: container, layout, modules, which architectures fit, passport."""
    from tlimb.run.weights import inspect

    inspect(file, passport, as_json=as_json, echo=click.echo)


@weights.command("convert", **_example("tlimb weights convert old.pth --trust -o old.safetensors"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "out", type=click.Path(path_type=Path, dir_okay=False), help="Default: beside the file.")
@click.option("--trust", is_flag=True, help="Open the file though it may run code: you trust its author.")
def weights_convert(file: Path, out: Path | None, trust: bool) -> None:
    """Make a safetensors file of an old pickle that holds more than tensors."""
    from tlimb.run.weights import convert

    target = out or file.with_suffix(".safetensors")
    convert(file, target, trust=trust)
    click.echo(f"wrote {target}", err=True)


# ---------------------------------------------------------------------- recipes
@main.command("recipes", **_example("tlimb recipes"))
def list_recipes() -> None:
    """List the shipped recipes."""
    from tlimb.assets import asset

    for file in sorted(asset("recipes").glob("*.tlr")):
        first = next((line.lstrip("# ") for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")), "")
        click.echo(f"{file.stem:20} {first}")


@main.command(**_example("tlimb new brain-age --from demo"))
@click.argument("name", default="recipe")
@click.option("--from", "origin", default="demo", show_default=True, help="The shipped recipe, or a .tlr file, to start from.")
def new(name: str, origin: str) -> None:
    """Start a recipe from a shipped one."""
    from tlimb.assets import asset
    from tlimb.run.opening import read

    shipped = asset("recipes", f"{origin}.tlr")
    if not shipped.exists() and not Path(origin).exists():
        words = ", ".join(sorted(file.stem for file in asset("recipes").glob("*.tlr")))
        raise InputError(f"no recipe '{origin}'", f"available: {words}; or name a .tlr file")
    text = read(str(shipped if shipped.exists() else origin)).text
    target = Path(name if name.endswith(".tlr") else f"{name}.tlr")
    try:
        with target.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{target} exists", "choose another name") from None
    click.echo(f"wrote {target}; run it with: tlimb run {target}")


# ---------------------------------------------------------------------- app
@main.command(**_example("tlimb tui brain-age.tlr"))
@click.argument("path", metavar="[RECIPE|FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option("--web", is_flag=True, help="Serve it to a browser of this machine; whoever reaches the port can do what you can.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Of --web.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII characters only.")
@click.option("--trust", "trusted", is_flag=True, help="Run own components that lie beside the recipe.")
@store_option
@datasets_option
def tui(path: Path | None, web: bool, port: int, ascii_only: bool, trusted: bool, store: Path | None, datasets: Path | None) -> None:
    """Open the app: edit a recipe as text and as a graph, run it, compare results."""
    if web:
        from tlimb_tui.web import serve

        serve(path, port=port, ascii_only=ascii_only, trusted=trusted, store=store, datasets=datasets)
        return
    from tlimb_tui.start import start

    click.get_current_context().exit(start(path, ascii_only=ascii_only, trusted=trusted, store=store, datasets=datasets))
