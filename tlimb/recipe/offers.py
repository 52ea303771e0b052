"""What fits at a place of a recipe: which statements can follow, ready to be inserted, and why the others cannot.

A draft of each statement is made from what the recipe, the catalogue and the data sets hold, and tried: the checker alone says what fits.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tlimb.catalogue.keys import DEFAULTS, KEYS
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.metrics import DEFAULT
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.verbs import VERBS, Verb
from tlimb.errors import Diagnostic, Edit, InputError
from tlimb.recipe import edit
from tlimb.recipe.parse import parse
from tlimb.recipe.render import position
from tlimb.recipe.settings import ranked_metrics, targets
from tlimb.recipe.tree import Recipe, Split, Statement, Target, Training, stage_names, stage_parents
from tlimb.recipe.trial import Trial, tried

TRIALS = 12
SEEDS = 3
PARTS = ("base 0.5", "target 0.5")


@dataclass(frozen=True, slots=True)
class Offer:
    """A statement that could be added.

    Attributes:
        word: Its verb.
        help: What it is for.
        usage: How it is written.
        statement: A text of it that is right at once; where none fits, the one that came closest.
        number: Its number in the recipe to be.
        trial: The change that adds it.
        reason: Why it does not fit; empty where it does.
    """

    word: str
    help: str
    usage: str
    statement: str = ""
    number: int = 0
    trial: Trial | None = None
    reason: str = ""


def offers(
    recipe: Recipe,
    number: int | None,
    catalogue: Catalogue,
    datasets: Mapping[str, Dataset],
    before: Iterable[Diagnostic] | None = None,
    *,
    between: bool = False,
) -> list[Offer]:
    """Every statement of the language that could stand there as an offer: what fits comes first, stages before the others.

    Args:
        recipe: the recipe.
        number: the statement that a stage is added after; None for none in particular.
        catalogue: the catalogue.
        datasets: the data sets.
        before: the mistakes of the recipe as it is, where they are known.
        between: put the stage on the link into `number` instead.
    """
    desk = _Desk(recipe, number, catalogue, datasets, None if before is None else tuple(before), between)
    verbs = [verb for verb in VERBS.values() if verb.form == "training"]
    verbs += [verb for verb in VERBS.values() if verb.form != "training" and not between]
    return sorted((desk.offer(verb) for verb in verbs), key=lambda offer: bool(offer.reason))


@dataclass(slots=True)
class _Desk:
    recipe: Recipe
    number: int | None
    catalogue: Catalogue
    datasets: Mapping[str, Dataset]
    before: tuple[Diagnostic, ...] | None
    between: bool
    names: list[str | None] = field(init=False)
    parents: list[int | None] = field(init=False)
    parts: dict[str, list[str]] = field(init=False)
    source: int | None = field(init=False)
    """The stage that a new one would continue."""

    def __post_init__(self) -> None:
        self.names, self.parents = stage_names(self.recipe), stage_parents(self.recipe)
        self.parts = {s.dataset: [part.name for part in s.parts] for s in self.recipe.statements if isinstance(s, Split)}
        chosen = self._stage(self.number)
        trained = [number for number in range(len(self.names)) if self._trains(number)]
        if chosen is None:
            self.source = max(trained, default=None)
        elif self.between or not self._trains(self.number):
            self.source = self.parents[self.number or 0]
        else:
            self.source = self.number

    def offer(self, verb: Verb) -> Offer:
        """The first draft of a verb that the checker finds right; else why not."""
        refused = ""
        draft = ""
        for statement in self._drafts(verb):
            if parse(statement).diagnostics:  # made of a line that cannot be read at the moment
                continue
            try:
                behind, edits = self._placed(verb, statement)
            except InputError as error:
                refused, draft = refused or error.message, draft or statement
                continue
            trial = tried(self.recipe.text, edits, self.catalogue, self.datasets, self.before)
            if not trial.problems:
                return Offer(verb.word, verb.help, verb.usage, statement, 0 if behind is None else behind + 1, trial)
            refused, draft = refused or trial.problems[0].message, draft or statement
        return Offer(verb.word, verb.help, verb.usage, draft, reason=refused or self._missing(verb))

    # ------------------------------------------------------------------ where
    def _placed(self, verb: Verb, statement: str) -> tuple[int | None, list[Edit]]:
        """Behind which statement a draft comes, and the edits that put it there."""
        node = parse(statement).recipe.statements[0]
        if self.between:
            assert self.number is not None
            return self.number - 1 if self.number else None, edit.insert_between(self.recipe, self.number, statement)
        if verb.form != "training":
            said = self._said(node)
            if said is not None:
                line, _ = position(self.recipe.text, self.recipe.statements[said].span.start)
                raise InputError(f"line {line} says it already; change it there")
            return edit.place(self.recipe, node), edit.put(self.recipe, statement)
        behind = self._behind(verb, node)
        source = self.source if isinstance(node, Training) and node.architecture is None else None
        return behind, edit.insert_after(self.recipe, behind, statement, source=source)

    def _behind(self, verb: Verb, node: Statement) -> int | None:
        """Behind what a new stage stands: it should not come between a stage and those that continue it by standing below."""
        if self._stage(self.number) is None:
            return edit.place(self.recipe, node)
        if not verb.trains:
            return self.number
        root = self.number or 0
        continues = isinstance(node, Training) and node.architecture is None
        while not (continues and root == self.source) and self.parents[root] is not None:
            root = self.parents[root] or 0
        return max([self.number or 0, root, *edit.heirs(self.recipe, root)])

    def _said(self, node: Statement) -> int | None:
        subject = edit.subject(node, self.names)
        return next((place for place, other in enumerate(self.recipe.statements) if edit.subject(other, self.names) == subject), None)

    # ------------------------------------------------------------------ drafts
    def _drafts(self, verb: Verb) -> Iterator[str]:
        """Texts of a statement, the most sensible first."""
        match verb.form:
            case "training":
                yield from self._stages(verb)
            case "version":
                yield f"{verb.word} 1"
            case "about":
                yield f'{verb.word} title="Untitled"'
            case "data":
                yield from (f"{verb.word} {word}" for word in self.catalogue.words("data") if word != DEFAULTS["data"])
            case "augment":
                yield from (f"{verb.word} {word}" for word in self.catalogue.words("augmentation")[:1])
            case "split":
                yield from (f"{verb.word} {name} into {', '.join(PARTS)}" for name in self._datasets() if name not in self.parts)
            case "set":
                yield from (f"{verb.word} {key.word} = {DEFAULTS[key.path]}" for key in KEYS.values() if key.path in DEFAULTS)
            case "sweep":
                yield from self._sweeps(verb)
            case "search":
                yield from (f"{verb.word} {word} {TRIALS}" for word in self.catalogue.words("search")[:1])
            case "repeat":
                yield f"{verb.word} {SEEDS}"
            case "rank":
                offered = ranked_metrics(self.recipe, self.datasets)
                best = [metric for metric in offered if metric.rpartition(".")[2] in DEFAULT.values()]
                yield from (f"{verb.word} by {metric}" for metric in (*best, *offered))

    def _sweeps(self, verb: Verb) -> Iterator[str]:
        """Axes that no sweep varies yet, of the chosen stage where that continues another one: so they share what is above."""
        own = self.source if self._stage(self.number) is not None else None
        stage = f"{self.names[own]}." if own is not None and self.parents[own] is not None else ""
        for key in KEYS.values():
            if (values := spread(DEFAULTS.get(key.path))) is not None:
                draft = f"{verb.word} {stage}{key.word} in {values}"
                if self._said(parse(draft).recipe.statements[0]) is None:
                    yield draft

    def _stages(self, verb: Verb) -> Iterator[str]:
        continues = verb.architecture == "none" or (verb.architecture == "optional" and self.source is not None)
        head = verb.word if continues else f"{verb.word} {self._architecture()}"
        methods = [word for word in self.catalogue.words("method") if verb.word in self.catalogue.components["method", word].verbs]
        for learned in self._learned(verb):
            on = f"{head} on {learned}"
            if "via" not in verb.required:
                yield on
                continue
            dataset, _, rest = learned.partition("[" if "[" in learned else ".")
            part = rest.partition("]")[0] if "[" in learned else None
            word = next(word for word in verb.required if word in ("using", "to"))
            for other in self._others(dataset, part, same=word == "using"):
                yield from (f"{on} {word} {other} via {method}" for method in methods)

    def _architecture(self) -> str:
        """The network of the nearest stage above, or the first of the catalogue."""
        for statement in reversed(self.recipe.statements[: len(self.names) if self.number is None else self.number + 1]):
            if isinstance(statement, Training) and statement.architecture is not None:
                return self.recipe.text[statement.architecture.span.start : statement.architecture.span.end]
        return self.catalogue.words("architecture")[0]

    def _learned(self, verb: Verb) -> Iterator[str]:
        """What a new stage could learn or test: for a further stage something that the one above has not learned."""
        above = self._targets(self.source)
        if not verb.trains:
            yield from self._tested(above)
            return
        if verb.architecture == "required" and self.source is not None and verb.word == "train":
            clause = self.recipe.statements[self.source].clause("on")  # type: ignore[union-attr]
            if clause is not None and all(target.label for target in above):
                yield self.recipe.text[above[0].span.start : above[-1].span.end]
        if verb.keeps_heads:
            yield from (_use(target.dataset, target.part, target.label) for target in above if target.label)
        known = {target.label for target in above}
        if self.between and self.number is not None:
            below = self._targets(self.number)
            if not self._trains(self.number):
                yield from (_use(above[0].dataset, above[0].part, target.label) for target in below if target.label and above)
            known |= {target.label for target in below}
        for dataset in self._datasets():
            labels = sorted(self._labels(dataset), key=lambda label: label in known)
            for part in self._parts_after(dataset, next((target.part for target in above if target.dataset == dataset), None)):
                if verb.word == "multitask":
                    yield from (" + ".join(_use(dataset, part, label) for label in labels[:count]) for count in (2, 1) if labels)
                else:
                    yield from (_use(dataset, part, label) for label in labels)

    def _tested(self, above: list[Target]) -> Iterator[str]:
        """What to test heads on: another data set with the label, another part, or the test subjects of the same."""
        heads = [target for target in above if target.label]
        for head in heads:
            for dataset in self._datasets():
                if self._comparable(head.dataset, dataset) and head.label in self._labels(dataset):
                    yield _use(dataset, None, head.label)
        for head in heads:
            yield from (_use(head.dataset, part, head.label) for part in self._parts_after(head.dataset, head.part))
        if not heads:
            yield from (_use(dataset, None, label) for dataset in self._datasets() for label in self._labels(dataset))

    def _others(self, dataset: str, part: str | None, *, same: bool) -> Iterator[str]:
        """Images beside those of a data set or a part of it."""
        yield from (_use(dataset, other, None) for other in self.parts.get(dataset, ()) if part is not None and other != part)
        yield from (other for other in self._datasets() if self._comparable(dataset, other))
        if same and part is None:
            yield dataset

    # ------------------------------------------------------------------ what there is
    def _missing(self, verb: Verb) -> str:
        if verb.form == "training":
            learns = any(self._labels(dataset) for dataset in self._datasets())
            return "there is no other data set or part: split one, or add a data set" if learns else "no data set has a label to learn"
        return {
            "split": "every data set is split already",
            "rank": "nothing is trained yet, so there is no metric",
            "sweep": "everything that has a usual range is swept already",
        }.get(verb.form, "there is nothing more to say")

    def _stage(self, number: int | None) -> Training | None:
        node = self.recipe.statements[number] if number is not None else None
        return node if isinstance(node, Training) else None

    def _trains(self, number: int | None) -> bool:
        stage = self._stage(number)
        return stage is not None and VERBS[stage.verb].trains

    def _targets(self, number: int | None) -> list[Target]:
        stage = self._stage(number)
        return targets(stage.clause("on")) if stage is not None else []

    def _datasets(self) -> list[str]:
        """The names of data sets that can be read: those of the stage above, of the recipe, of the catalogue."""
        used = [target.dataset for number in (self.source, *range(len(self.names))) for target in self._targets(number)]
        return [name for name in dict.fromkeys((*used, *self.datasets)) if self._can_be_read(name)]

    def _can_be_read(self, name: str) -> bool:
        try:
            return name in self.datasets and self.datasets[name].labels is not None
        except InputError:
            return False

    def _comparable(self, one: str, other: str) -> bool:
        """Whether another data set says something of one: made-up images say nothing of real ones."""
        return one != other and (self.datasets[one].format == "demo" or self.datasets[other].format != "demo")

    def _labels(self, name: str) -> list[str]:
        """The labels of a data set that can be learned."""
        if not self._can_be_read(name):
            return []
        return [key for key, label in self.datasets[name].labels.items() if label.kind == "number" or len(label.classes or ()) > 1]

    def _parts_after(self, dataset: str, part: str | None) -> list[str | None]:
        """The parts of a data set, those behind the given one first; the whole where it has none or the whole is given."""
        parts: list[str | None] = list(self.parts.get(dataset, ()))
        if not parts:
            return [None]
        if part is None:
            used = {target.part for number in range(len(self.names)) for target in self._targets(number) if target.dataset == dataset}
            return [None, *parts] if None in used else parts
        start = parts.index(part) + 1 if part in parts else 0
        return [*parts[start:], *parts[:start]]


def spread(value: object) -> str | None:
    """Values around one, as a sweep lists them; None where there is no usual range."""
    if isinstance(value, float) and value > 0:
        return f"[{', '.join(_short(value * factor) for factor in (0.1, 1, 10))}]"
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return f"[{max(value // 2, 1)}, {value}, {value * 2}]"
    return None


def _short(number: float) -> str:
    """A number as it is best read: 0.5, 20, 1e-4."""
    mantissa, exponent = f"{number:.0e}".split("e")
    plain, short = f"{number:g}", f"{mantissa}e{int(exponent)}"
    return short if float(short) == float(plain) and len(short) < len(plain) + (mantissa == "1") else plain


def _use(dataset: str, part: str | None, label: str | None) -> str:
    return dataset + (f"[{part}]" if part else "") + (f".{label}" if label else "")
