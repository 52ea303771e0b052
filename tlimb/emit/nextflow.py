"""Emit a Nextflow project: one process per step of the recipe, one line of a table per job."""

import csv
import hashlib
import io
import json
import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

import jinja2
import yaml

from tlimb import __version__
from tlimb.emit.lengths import ways
from tlimb.emit.packs import StepKey, packs, step_of
from tlimb.emit.width import width
from tlimb.plainyaml import Dumper
from tlimb.stages.graph import Stage, StageGraph

TEMPLATES = (
    "main.nf.j2",
    "round.nf.j2",
    "parts/step.nf",
    "parts/pack.nf",
    "parts/helpers.nf",
    "parts/tasks.nf",
    "nextflow.config.j2",
    "README.md.j2",
    "head.sbatch.j2",
    "conf/process.config",
    "conf/engine.config",
    "conf/profiles.config",
)
SEARCH_FORMAT = 1
HOURS = 24
"""The time limit of a training task, as the label says."""
SLACK = 4
"""A task may take so many times what is expected of it."""
LABELS = {"prepare": "process_medium", "weights": "process_medium", "fit": "process_gpu", "evaluate": "process_gpu"}


@dataclass(frozen=True, slots=True)
class Options:
    """How a project is made.

    Attributes:
        gpus: Of a training job.
        container: The image of the container profiles.
        pack: How many stages of a step share a task, for those where it is more than one.
        lengths: Seconds that each stage is expected to take, by digest, or none where they are not known.
    """

    gpus: int = 1
    container: str = f"ghcr.io/tlimb/tlimb:{__version__}"
    pack: Mapping[StepKey, int] = field(default_factory=dict)
    lengths: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the recipe.

    Attributes:
        name: In jobs.csv.
        process: Of its jobs.
        label: Of its process.
        done: The channel of the results that its jobs wait for.
        packed: Whether some of its jobs share a task, which then is of a process of its own.
    """

    name: str
    process: str
    label: str
    done: str
    packed: bool

    @property
    def results(self) -> tuple[str, ...]:
        """The channels of its own results."""
        return (f"{self.process}.out", f"unpacked({self.process}_PACK.out)") if self.packed else (f"{self.process}.out",)


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
    together = packs(graph, options.pack)
    steps = _steps(graph, keys, names, options.pack)
    plan = json.dumps(_document(graph, options.lengths), ensure_ascii=False) + "\n"

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
        "searched": _searched(searched, names, options.pack),
        "everything": _mixed(steps),
        "ranked": _mixed([step for step in steps if step.label != LABELS["prepare"]]) + ".map { _id, folder -> folder }",
        "packed": bool(options.pack),
        "width": width(graph),
        "gpus": options.gpus,
        "selectors": _selectors(graph, keys, names, options, together),
        "container": options.container,
        "code": code,
        "variants": len(graph.variants),
        "jobs": len(graph.stages),
        "profiles": ("apptainer", "docker", "k8s", "awsbatch", "googlebatch"),
    }
    files = {name.removesuffix(".j2"): environment.get_template(name).render(facts) for name in TEMPLATES if name.endswith(".j2")}
    if rounds:
        words = {f"{kind} {name}": names[kind, name].lower() for kind, name in searched}
        sizes = {words[" ".join(key)]: size for key, size in options.pack.items() if key in searched}
        files["search.json"] = json.dumps(search_document(graph, words, sizes), ensure_ascii=False) + "\n"
    else:
        del files["round.nf"]
    order = ways(graph, options.lengths)
    jobs = [stage for stage in graph.stages if only is None or stage.digest in only]
    longest = sorted(jobs, key=lambda stage: -order[stage.digest])
    files["jobs.csv"] = table(longest, {digest: names[key].lower() for digest, key in keys.items()}, ids, together)
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
        self._seen: dict[tuple[str, int], tuple[Any, str]] = {}
        """By name and identity of a part that many configs share, with the part, whose place in memory must not go to another one."""
        self._pairs: dict[tuple[str, str], str] = {}

    def __call__(self, config: Mapping[str, Any]) -> str:
        """The YAML document of one stage, without `about`: jobs are cached by the size of this file, which titles must not change."""
        return "".join(
            f"digest: '{value}'\n" if key == "digest" else self._part(key, value) for key, value in config.items() if key != "about"
        )

    def _part(self, key: str, value: Any) -> str:
        found = self._seen.get((key, id(value)))
        if found is None:
            found = self._seen[key, id(value)] = value, self._entry(key, value, 0)
        return found[1]

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


def _process_names(graph: StageGraph) -> dict[StepKey, str]:
    """The process of each step, those of a search included."""
    keys = [*map(step_of, graph.stages), *(graph.search.steps if graph.search else ())]
    return _names(list(dict.fromkeys(keys)), ("RANK", "ASK", "ROUND", *(round_.name for round_ in _rounds(graph))))


def _names(keys: list[StepKey], reserved: tuple[str, ...]) -> dict[StepKey, str]:
    """A process name for each step: letters, digits and _, unique whatever the case, none of those reserved."""
    taken = set(reserved)
    names = {}
    for key in sorted(keys, key=lambda key: key[0] not in ("prepare", "weights")):
        stem = _safe(key[1]).upper()
        stem = stem if stem[0].isalpha() else f"STEP_{stem}"
        name, count = stem, 1
        while not taken.isdisjoint((name, f"{name}_PACK")):
            count += 1
            name = f"{stem}_{count}"
        taken |= {name, f"{name}_PACK"}
        names[key] = name
    return names


def search_document(graph: StageGraph, words: Mapping[str, str], sizes: Mapping[str, int]) -> dict[str, Any]:
    """What a round of a search is asked for with: recipe, trials and stages so far; no titles, which must change no later round.

    Args:
        graph: As far as it is known.
        words: Kind and name of a step that differs between trials, and what jobs.csv calls it.
        sizes: How many of its jobs share a task, by that word.
    """
    assert graph.search
    document = graph.document()
    stages = [{**stage, "config": {k: v for k, v in stage["config"].items() if k != "about"}} for stage in document["stages"]]
    kept = {key: document[key] for key in ("recipe", "variants", "search")}
    packed = {"pack": dict(sizes)} if sizes else {}
    return {"format": SEARCH_FORMAT, **kept, **graph.search.source, "steps": dict(words), **packed, "stages": stages}


def table(stages: Iterable[Stage], words: Mapping[str, str], ids: Mapping[str, str], together: Mapping[str, str]) -> str:
    """jobs.csv: id, step, config, the blank-separated ids of the jobs that it waits for, and the pack that it is in, if any.

    Args:
        stages: A line each.
        words: Step by digest.
        ids: Id by digest.
        together: Pack by digest.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "step", "config", "needs", "pack"])
    for stage in stages:
        id_ = ids[stage.digest]
        needs = " ".join(ids[parent] for parent in dict.fromkeys(stage.parents))
        rows.writerow([id_, words[stage.digest], f"configs/{id_}.yaml", needs, together.get(stage.digest, "")])
    return text.getvalue()


def _document(graph: StageGraph, lengths: Mapping[str, float]) -> dict[str, Any]:
    """The plan, with what stages are expected to take, for the report."""
    document = graph.document()
    for stage in document["stages"] if lengths else ():
        if stage["digest"] in lengths:
            stage["expected"] = {"seconds": round(lengths[stage["digest"]], 3)}
    return document


def _rounds(graph: StageGraph) -> list[Round]:
    """The rounds after the first, which is known when the project is compiled."""
    rounds: list[Round] = []
    for number in range(1, graph.search.rounds if graph.search else 1):
        before = rounds[-1].name if rounds else ""
        asked, done = (f"{before}.out.asked", f"{before}.out.done") if rounds else ("asked", "done")
        rounds.append(Round(number, f"ROUND_{number}", asked, done))
    return rounds


def _searched(searched: Iterable[StepKey], names: Mapping[StepKey, str], pack: Mapping[StepKey, int]) -> list[Step]:
    """The steps of a round, each after those whose results it can use; a job of an earlier round may be needed too."""
    steps: list[Step] = []
    for key in searched:
        done = ", ".join(channel for step in steps for channel in step.results)
        steps.append(
            Step(
                name=names[key].lower(),
                process=names[key],
                label=LABELS[key[0]],
                done=f"known.mix({done})" if steps else "known",
                packed=key in pack,
            )
        )
    return steps


def _steps(graph: StageGraph, keys: Mapping[str, StepKey], names: Mapping[StepKey, str], pack: Mapping[StepKey, int]) -> list[Step]:
    """The steps, each after those whose results it uses."""
    needs: dict[StepKey, dict[StepKey, None]] = {}
    for stage in graph.stages:
        needs.setdefault(keys[stage.digest], {}).update(dict.fromkeys(keys[parent] for parent in stage.parents))
    steps: dict[StepKey, Step] = {}
    for key in TopologicalSorter(needs).static_order():
        done = _mixed([steps[need] for need in steps if need in needs[key]])
        steps[key] = Step(name=names[key].lower(), process=names[key], label=LABELS[key[0]], done=done, packed=key in pack)
    return list(steps.values())


def _selectors(
    graph: StageGraph, keys: Mapping[str, StepKey], names: Mapping[StepKey, str], options: Options, together: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """What the tasks of a step ask for beyond their label: `devices` where some have more than one, `hours` where some may take longer."""
    devices: dict[StepKey, int] = {}
    seconds: dict[StepKey, dict[str, float]] = {}
    for stage in graph.stages:
        key, task = keys[stage.digest], together.get(stage.digest, stage.digest)
        devices[key] = max(devices.get(key, 1), stage.devices)
        tasks = seconds.setdefault(key, {})
        tasks[task] = tasks.get(task, 0.0) + options.lengths.get(stage.digest, 0.0)
    found = {}
    for key, count in devices.items():
        hours = math.ceil(SLACK * max(seconds[key].values()) / 3600)
        chosen = {word: value for word, value, usual in (("devices", count, 1), ("hours", hours, HOURS)) if value > usual}
        if chosen:
            found[f"'{names[key]}(_PACK)?'" if key in options.pack else names[key]] = chosen
    return found


def _mixed(steps: list[Step]) -> str:
    """The Groovy expression of a channel with the results of all the steps."""
    if not steps:
        return "channel.empty()"
    first, *others = (channel for step in steps for channel in step.results)
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
