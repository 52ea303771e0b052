"""Emit a Nextflow project: one process per step of the recipe, one line of a table per job."""

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import jinja2
import yaml

from tlimb import __version__
from tlimb.emit.width import width
from tlimb.plainyaml import Dumper
from tlimb.stages.graph import Stage, StageGraph

TEMPLATES = (
    "main.nf.j2",
    "round.nf.j2",
    "parts/step.nf",
    "parts/helpers.nf",
    "nextflow.config.j2",
    "README.md.j2",
    "head.sbatch.j2",
    "conf/process.config",
    "conf/engine.config",
    "conf/profiles.config",
)
SEARCH_FORMAT = 1
LABELS = {"prepare": "process_medium", "weights": "process_medium", "fit": "process_gpu", "evaluate": "process_gpu"}


@dataclass(frozen=True, slots=True)
class Options:
    """What a project's defaults are: GPUs of a training job, and the image of the container profiles."""

    gpus: int = 1
    container: str = f"ghcr.io/tlimb/tlimb:{__version__}"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the recipe: its name in jobs.csv, its process, and the channel of the results that its jobs wait for."""

    name: str
    process: str
    label: str
    done: str


@dataclass(frozen=True, slots=True)
class Round:
    """A further round of a search: the name of its workflow, and the channels of the round before that it starts from."""

    number: int
    name: str
    asked: str
    done: str


def emit(
    graph: StageGraph,
    *,
    datasets_yaml: str,
    templates: Mapping[str, str],
    options: Options | None = None,
    code: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> dict[str, str]:
    """The files of the project by relative path.

    Args:
        graph: what is to be computed.
        datasets_yaml: the entries of the data sets that are used; the only place of paths.
        templates: the texts of `TEMPLATES` by name.
        options: defaults of the project.
        code: the sources of own components by relative path.
        only: digests of the stages to list as jobs, with all that they need; default: all.
    """
    options = options or Options()
    keys = {stage.digest: step_of(stage) for stage in graph.stages}
    searched = graph.search.steps if graph.search else ()
    rounds = _rounds(graph)
    names = _process_names(graph)
    ids = {stage.digest: job_id(stage) for stage in graph.stages}
    steps = _steps(graph, keys, names)
    plan = json.dumps(graph.document(), ensure_ascii=False) + "\n"

    environment = jinja2.Environment(
        loader=jinja2.DictLoader(dict(templates)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"groovy": _groovy, "comment": _one_line, "attach": lambda text, more: f"{text}{more}"}
    facts = {
        "version": __version__,
        "recipe": graph.recipe,
        "title": _one_line(str(graph.about.get("title", graph.recipe))),
        "identity": hashlib.sha256(plan.encode()).hexdigest()[:8],
        "steps": steps,
        "search": graph.search,
        "rounds": rounds,
        "searched": _searched(searched, names),
        "everything": _mixed(steps),
        "ranked": _mixed([step for step in steps if step.label != LABELS["prepare"]]) + ".map { _id, folder -> folder }",
        "width": width(graph),
        "gpus": options.gpus,
        "several": _several(graph, keys, names),
        "container": options.container,
        "code": code,
        "variants": len(graph.variants),
        "jobs": len(graph.stages),
        "profiles": ("apptainer", "docker", "k8s", "awsbatch", "googlebatch"),
    }
    files = {name.removesuffix(".j2"): environment.get_template(name).render(facts) for name in TEMPLATES if name.endswith(".j2")}
    if rounds:
        words = {f"{kind} {name}": names[kind, name].lower() for kind, name in searched}
        files["search.json"] = json.dumps(search_document(graph, words), ensure_ascii=False) + "\n"
    else:
        del files["round.nf"]
    jobs = [stage for stage in graph.stages if only is None or stage.digest in only]
    files["jobs.csv"] = table(jobs, {digest: names[key].lower() for digest, key in keys.items()}, ids)
    files["plan.json"] = plan
    files |= {f"code/{name}": text for name, text in (code or {}).items()}
    files["datasets.yaml"] = datasets_yaml
    files["recipe.tlr"] = graph.text
    dump = ConfigText()
    files |= {f"configs/{ids[stage.digest]}.yaml": dump(stage.config) for stage in graph.stages}
    return files


def processes(graph: StageGraph) -> dict[str, str]:
    """The name of the process whose task a stage is, by digest."""
    names = _process_names(graph)
    return {stage.digest: names[step_of(stage)] for stage in graph.stages}


def process_text(main: str, process: str) -> str:
    """A process of `main.nf`."""
    start = main.index(f"process {process} {{")
    return main[start : main.index("\n}\n", start) + 3]


class ConfigText:
    """Configs as `tlimb.configs.text.dump` writes them; text that many stages share is made once, a swept number beside its neighbours."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int, str], str] = {}
        self._pairs: dict[tuple[str, str], str] = {}

    def __call__(self, config: Mapping[str, Any]) -> str:
        """The YAML document of one stage, without `about`: jobs are cached by the size of this file, which titles must not change."""
        return "".join(
            f"digest: '{value}'\n" if key == "digest" else self._entry(key, value, 0) for key, value in config.items() if key != "about"
        )

    def _entry(self, key: str, value: Any, indent: int) -> str:
        """An entry of a mapping in block style."""
        memo = (key, indent, repr(value))
        if memo not in self._made:
            self._made[memo] = self._written(key, value, indent)
        return self._made[memo]

    def _written(self, key: str, value: Any, indent: int) -> str:
        if isinstance(value, dict) and value and len(key) < _SIMPLE:
            head = " " * indent + self._pair(key, None).removesuffix(" null")
            if any(isinstance(item, dict | list) for item in value.values()):
                return f"{head}\n" + "".join(self._entry(name, item, indent + 2) for name, item in value.items())
            line = f"{head} {{{', '.join(self._pair(name, item) for name, item in value.items())}}}\n"
            if len(line) <= _WIDTH:
                return line
        flow = None if isinstance(value, dict | list) else False
        text = yaml.dump({key: value}, default_flow_style=flow, width=_WIDTH - indent, **_AS_CONFIGS)
        return "".join(f"{' ' * indent}{line}" if line.strip() else line for line in text.splitlines(keepends=True))

    def _pair(self, key: str, value: Any) -> str:
        """An entry of a mapping in flow style, whose value is no collection."""
        memo = (key, repr(value))
        if memo not in self._pairs:
            self._pairs[memo] = yaml.dump({key: value}, default_flow_style=True, width=_ENDLESS, **_AS_CONFIGS).strip()[1:-1]
        return self._pairs[memo]


class _Dumper(Dumper):
    """YAML without anchors: a value that stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_WIDTH, _ENDLESS = 150, 1 << 30
_AS_CONFIGS: dict[str, Any] = {"Dumper": _Dumper, "sort_keys": False, "allow_unicode": True}
_SIMPLE = 100
"""Longer keys are written in another way."""


def job_id(stage: Stage) -> str:
    """The name of a stage's job and result folder: its last piece is the digest."""
    return f"{_safe(stage.name)}-{stage.digest}"


def step_of(stage: Stage) -> tuple[str, str]:
    """What makes stages tasks of one process: the step's name; preparing is one step for all data sets, so is reading weights."""
    return (stage.kind, stage.kind) if stage.kind in ("prepare", "weights") else (stage.kind, stage.name)


def _process_names(graph: StageGraph) -> dict[tuple[str, str], str]:
    """The process of each step, those of a search included."""
    keys = [*map(step_of, graph.stages), *(graph.search.steps if graph.search else ())]
    return _names(list(dict.fromkeys(keys)), ("RANK", "ASK", "ROUND", *(round_.name for round_ in _rounds(graph))))


def _names(keys: list[tuple[str, str]], reserved: tuple[str, ...]) -> dict[tuple[str, str], str]:
    """A process name for each step: letters, digits and _, unique whatever the case, none of those reserved."""
    taken = set(reserved)
    names = {}
    for key in sorted(keys, key=lambda key: key[0] not in ("prepare", "weights")):
        stem = _safe(key[1]).upper()
        stem = stem if stem[0].isalpha() else f"STEP_{stem}"
        name, count = stem, 1
        while name in taken:
            count += 1
            name = f"{stem}_{count}"
        taken.add(name)
        names[key] = name
    return names


def search_document(graph: StageGraph, words: Mapping[str, str]) -> dict[str, Any]:
    """What a round of a search is asked for with: recipe, trials and stages so far; no titles, which must change no later round.

    Args:
        words: kind and name of a step that differs between trials, and what jobs.csv calls it.
    """
    assert graph.search
    document = graph.document()
    stages = [{**stage, "config": {k: v for k, v in stage["config"].items() if k != "about"}} for stage in document["stages"]]
    kept = {key: document[key] for key in ("recipe", "variants", "search")}
    return {"format": SEARCH_FORMAT, **kept, **graph.search.source, "steps": dict(words), "stages": stages}


def table(stages: Iterable[Stage], words: Mapping[str, str], ids: Mapping[str, str]) -> str:
    """jobs.csv: id, step, config and the blank-separated ids of the jobs that it waits for; words and ids are by digest."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "step", "config", "needs"])
    for stage in stages:
        id_ = ids[stage.digest]
        needs = " ".join(ids[parent] for parent in dict.fromkeys(stage.parents))
        rows.writerow([id_, words[stage.digest], f"configs/{id_}.yaml", needs])
    return text.getvalue()


def _rounds(graph: StageGraph) -> list[Round]:
    """The rounds after the first, which is known when the project is compiled."""
    rounds: list[Round] = []
    for number in range(1, graph.search.rounds if graph.search else 1):
        before = rounds[-1].name if rounds else ""
        asked, done = (f"{before}.out.asked", f"{before}.out.done") if rounds else ("asked", "done")
        rounds.append(Round(number, f"ROUND_{number}", asked, done))
    return rounds


def _searched(searched: Iterable[tuple[str, str]], names: Mapping[tuple[str, str], str]) -> list[Step]:
    """The steps of a round, each after those whose results it can use; a job of an earlier round may be needed too."""
    steps: list[Step] = []
    for key in searched:
        done = ", ".join(f"{step.process}.out" for step in steps)
        steps.append(
            Step(name=names[key].lower(), process=names[key], label=LABELS[key[0]], done=f"known.mix({done})" if steps else "known")
        )
    return steps


def _steps(graph: StageGraph, keys: Mapping[str, tuple[str, str]], names: Mapping[tuple[str, str], str]) -> list[Step]:
    """The steps, each after those whose results it uses."""
    needs: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    for stage in graph.stages:
        needs.setdefault(keys[stage.digest], {}).update(dict.fromkeys(keys[parent] for parent in stage.parents))
    steps: dict[tuple[str, str], Step] = {}
    for key in TopologicalSorter(needs).static_order():
        done = _mixed([steps[need] for need in steps if need in needs[key]])
        steps[key] = Step(name=names[key].lower(), process=names[key], label=LABELS[key[0]], done=done)
    return list(steps.values())


def _several(graph: StageGraph, keys: Mapping[str, tuple[str, str]], names: Mapping[tuple[str, str], str]) -> dict[str, int]:
    """How many devices the jobs of a process have at most, where some have more than one."""
    several: dict[str, int] = {}
    for stage in graph.stages:
        if stage.devices > 1:
            process = names[keys[stage.digest]]
            several[process] = max(several.get(process, 1), stage.devices)
    return several


def _mixed(steps: list[Step]) -> str:
    """The Groovy expression of a channel with the results of all the steps."""
    if not steps:
        return "channel.empty()"
    first, *others = (f"{step.process}.out" for step in steps)
    return f"{first}.mix({', '.join(others)})" if others else first


def _safe(name: str) -> str:
    """The name in letters, digits and _ only; accents are dropped, anything else becomes _."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9_]", "_", plain) or "_"


def _groovy(text: str) -> str:
    """A Groovy string literal in which nothing is expanded."""
    return "'" + _one_line(text).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _one_line(text: str) -> str:
    """The text without line breaks and other control characters, which would end a comment."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
