"""What the graph of a recipe shows: nodes in the order of the recipe, and links from earlier to later ones."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tlimb.catalogue.verbs import VERBS
from tlimb.recipe.tree import (
    Argument,
    Component,
    Constant,
    Data,
    Freeze,
    Items,
    Name,
    Number,
    Range,
    Rank,
    Recipe,
    Search,
    Size,
    Split,
    Target,
    Text,
    Training,
    Unfreeze,
    Value,
    file_source,
    stage_names,
    stage_parents,
)
from tlimb.stages.describe import phrases
from tlimb.stages.graph import StageGraph
from tlimb.stages.sweep import Axis, axes, seeds

NodeKind: TypeAlias = Literal["train", "evaluate", "data", "weights", "rank"]
LinkKind: TypeAlias = Literal["weights", "data", "rank"]
RANK = "rank:"


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Attributes:
        id: The name of a step, ``data:NAME``, ``weights:FILE`` or `RANK`; the digest where every stage is a node.
        number: Index of the statement that it stands for; None for data, files of weights, a rank that is not written, and single stages.
        kind: What it does.
        title: Its name.
        lines: What to say of it, in short phrases, the most important first.
        fold: How many stages it stands for.
    """

    id: str
    number: int | None
    kind: NodeKind
    title: str
    lines: tuple[str, ...] = ()
    fold: int = 1

    @property
    def times(self) -> str:
        """`` ×N`` where it stands for several stages."""
        return f" ×{self.fold}" if self.fold > 1 else ""

    @property
    def heading(self) -> str:
        """Its title with how many stages it stands for."""
        return f"{self.title}{self.times}"


@dataclass(frozen=True, slots=True)
class Link:
    """What one node gives another."""

    source: str
    target: str
    kind: LinkKind = "weights"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """Nodes, each after those that it links from; so there are no cycles."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        order = {node.id: place for place, node in enumerate(self.nodes)}
        if len(order) < len(self.nodes):
            raise ValueError("two nodes of a picture have the same id")
        for link in self.links:
            if not order[link.source] < order[link.target]:
                raise ValueError(f"a link of a picture runs backwards: {link.source} -> {link.target}")


def picture(recipe: Recipe, *, plan: StageGraph | None = None, data: bool = False) -> Picture:
    """The graph of a recipe: a node a step, sweeps folded. What a recipe with mistakes does not say is left out.

    Args:
        recipe: its tree; only what its nodes hold is used, not its text.
        plan: where known, how many stages a step really has.
        data: draw the data sets too.
    """
    ids, parents, grid = step_ids(recipe), stage_parents(recipe), axes(recipe)
    folds = {name: len(set(digests)) for name, digests in members(plan).items()} if plan and not _searching(plan) else {}
    trials = next((statement.trials for statement in recipe.statements if isinstance(statement, Search)), None)
    repeats = max(1, len(seeds(recipe)))
    nodes: list[Node] = []
    links: list[Link] = []
    bound: dict[int, frozenset[int]] = {}
    known: set[str] = set()
    for number, statement in enumerate(recipe.statements):
        name = ids[number]
        if not isinstance(statement, Training) or name is None:
            continue
        verb = VERBS.get(statement.verb)
        trains = verb is None or verb.trains
        parent, file = parents[number], file_source(statement)
        parent = parent if parent is not None and parent < number else None
        given = [(f"weights:{file.value}", "")] if file else []
        if data:
            given += _datasets(statement)
        for source, label in given:
            if source not in known:
                known.add(source)
                nodes.append(_source(recipe, source))
            links.append(Link(source, name, "weights" if source.startswith("weights:") else "data", label))
        has_weights = parent is not None or file is not None
        own = [axis.binds(name, trains=trains, has_weights=has_weights, from_file=file is not None) for axis in grid]
        mine = frozenset(place for place, binds in enumerate(own) if binds)
        bound[number] = mine | (bound.get(parent, frozenset()) if parent is not None else frozenset())
        if parent is not None:
            links.append(Link(str(ids[parent]), name))
        swept = ", ".join(grid[place].written.removeprefix(f"{name}.") for place in sorted(mine))
        lines = (*_phrases(statement, name), *([f"sweep {swept}"] if swept else []))
        fold = folds.get(name) or _fold([grid[place] for place in bound[number]], trials, repeats)
        nodes.append(Node(name, number, "train" if trains else "evaluate", name, lines, fold))
    ranked = _rank(recipe, plan, nodes, links)
    return Picture((*nodes, *ranked[:1]), (*links, *ranked[1:]))  # type: ignore[arg-type]


def stages_picture(graph: StageGraph) -> Picture:
    """Every stage of a plan as a node."""
    nodes, links = [], []
    kinds: Mapping[str, tuple[NodeKind, LinkKind]] = {
        "prepare": ("data", "data"),
        "weights": ("weights", "weights"),
        "fit": ("train", "weights"),
        "evaluate": ("evaluate", "weights"),
    }
    given = {stage.digest: kinds[stage.kind][1] for stage in graph.stages}
    for stage in graph.stages:
        nodes.append(Node(stage.digest, None, kinds[stage.kind][0], stage.name, (stage.digest[:8], *phrases(stage))))
        links += [Link(parent, stage.digest, given[parent]) for parent in dict.fromkeys(stage.parents)]
    return Picture(tuple(nodes), tuple(links))


def members(plan: StageGraph) -> dict[str, tuple[str, ...]]:
    """The digests of the stages that each node of the recipe's picture stands for, in the order of the variants."""
    found: dict[str, dict[str, None]] = {}
    for variant in plan.variants:
        for run in variant.runs:
            for name, digest in run.stages.items():
                found.setdefault(name, {})[digest] = None
    for stage in plan.stages:
        if stage.kind == "prepare":
            found.setdefault(f"data:{stage.name}", {})[stage.digest] = None
    return {name: tuple(digests) for name, digests in found.items()}


def step_ids(recipe: Recipe) -> list[str | None]:
    """The node of each statement: the name of its step, made different where a name is given twice; None where it has no node."""
    seen: set[str] = set()
    found: list[str | None] = []
    for number, (statement, name) in enumerate(zip(recipe.statements, stage_names(recipe), strict=True)):
        if isinstance(statement, Rank):
            name = RANK
        elif name in seen:
            name = f"{name}:{number}"
        if name is not None:
            seen.add(name)
        found.append(name)
    return found


def _phrases(statement: Training, name: str) -> Iterator[str]:
    """A statement in short phrases; the verb only where the name does not say it."""
    words = [] if name.rstrip("0123456789") == statement.verb else [statement.verb]
    if statement.architecture is not None:
        words.append(written(statement.architecture))
    if words:
        yield " ".join(words)
    via = statement.clause("via")
    if via is not None and isinstance(via.payload, Component):
        yield f"via {written(via.payload)}"
    for clause in sorted(statement.clauses, key=lambda clause: clause.word != "on"):
        match clause.payload:
            case Freeze(layer=layer, only=only):
                yield f"freeze {'only ' if only else ''}{written(layer)}"
            case Unfreeze(layer=layer, epoch=epoch):
                yield f"unfreeze {written(layer)} at {epoch}"
            case tuple(entries) if clause.word in ("on", "using", "to"):
                yield f"{clause.word} " + " + ".join(_target(entry) for entry in entries if isinstance(entry, Target))
            case tuple(entries):
                yield from (f"{entry.key}={written(entry.value)}" for entry in entries if isinstance(entry, Argument))
            case Name() | Text():
                pass  # `as` is the title, `from` a link
            case _ if clause.word == "elastic":
                yield f"elastic {written(clause.payload)}"  # type: ignore[arg-type]


def written(value: Value) -> str:
    """A value as one would write it, without the text that it came from."""
    match value:
        case Component(name=name, arguments=arguments):
            inner = ", ".join(f"{argument.key}={written(argument.value)}" for argument in arguments)
            return f"{name}({inner})" if inner else name
        case Items(values=values):
            return f"[{', '.join(map(written, values))}]"
        case Size(value=sides):
            return "x".join(map(str, sides))
        case Text(value=text):
            return f'"{text}"'
        case Constant(word=word):
            return word
        case Range(low=low, high=high, log=log):
            return f"{low:g}..{high:g}{' log' if log else ''}"
        case Number(value=number):
            return f"{number:g}"


def _target(target: Target) -> str:
    weight = f"{target.weight:g}*" if target.weight is not None else ""
    part = f"[{target.part}]" if target.part else ""
    return f"{weight}{target.dataset}{part}{f'.{target.label}' if target.label else ''}"


def _datasets(statement: Training) -> list[tuple[str, str]]:
    """The nodes of the data sets that a statement uses, each with how it is used where that is not plain."""
    found: dict[str, str] = {}
    for word, label in (("on", ""), ("using", "unlabelled"), ("to", "unlabelled")):
        clause = statement.clause(word)
        for target in clause.payload if clause is not None and isinstance(clause.payload, tuple) else ():
            if isinstance(target, Target):
                found.setdefault(f"data:{target.dataset}", label)
    return list(found.items())


def _source(recipe: Recipe, source: str) -> Node:
    kind, _, name = source.partition(":")
    if kind == "weights":
        return Node(source, None, "weights", name.replace("\\", "/").rpartition("/")[2] or name, ("weights",))
    module = None
    lines = []
    labels: dict[str, None] = {}
    for statement in recipe.statements:
        match statement:
            case Training(clauses=clauses):
                targets = [entry for clause in clauses if isinstance(clause.payload, tuple) for entry in clause.payload]
                labels |= {entry.label: None for entry in targets if isinstance(entry, Target) and entry.dataset == name and entry.label}
            case Data(component=component, dataset=dataset) if dataset in (None, name) and (module is None or dataset == name):
                module = component.name
            case Split(dataset=dataset, parts=parts) if dataset == name:
                lines = [f"{part.name} {part.amount:g}" for part in parts]
    return Node(source, None, "data", name, (*([", ".join(labels)] if labels else []), *([module] if module else []), *lines))


def _fold(bound: list[Axis], trials: int | None, repeats: int) -> int:
    """How many stages a step has, as far as the text alone tells."""
    count = math.prod(axis.size for axis in bound)
    if bound and trials is not None:
        count = min(count, trials)
    return max(1, int(count) if math.isfinite(count) else 1) * repeats


def _searching(plan: StageGraph) -> bool:
    return plan.search is not None and not plan.search.complete


def _rank(recipe: Recipe, plan: StageGraph | None, nodes: list[Node], links: list[Link]) -> tuple[Node | Link, ...]:
    """The rank and its links: from every step that no other continues. Without steps, and where no metric is known, there is none."""
    number = next((place for place, statement in enumerate(recipe.statements) if isinstance(statement, Rank)), None)
    statement = None if number is None else recipe.statements[number]
    metric = statement.metric if isinstance(statement, Rank) else plan.rank.metric if plan else ""
    continued = {link.source for link in links}
    ends = [node.id for node in nodes if node.id not in continued and node.kind in ("train", "evaluate")]
    if not ends or not metric:
        return ()
    return (Node(RANK, number, "rank", "rank", (metric,)), *(Link(end, RANK, "rank") for end in ends))
