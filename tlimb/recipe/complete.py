"""What can be typed at a place of a recipe: the words that the grammar takes there, as far as the catalogue knows them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lark import Token, UnexpectedInput

from tlimb.catalogue.fields import choices
from tlimb.catalogue.keys import KEYS, SECTIONS, full_path, kind_at
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.metrics import METRICS
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.verbs import CLAUSES, VERBS, Verb
from tlimb.errors import InputError, Span
from tlimb.recipe.check import ABOUT
from tlimb.recipe.form.field import Choice
from tlimb.recipe.mistakes import KEYWORDS
from tlimb.recipe.parse import interactive, read, verb_of
from tlimb.recipe.settings import ranked_metrics
from tlimb.recipe.tree import Recipe, Split, Training, stage_names

_WORD = re.compile(r"[^\W\d]?[\w\-]*\Z")
_LAYERS = (Choice("none", "freeze nothing"), Choice("all", "train only the heads"))


@dataclass(frozen=True, slots=True)
class Completion:
    """What is replaced, and what can stand there; the likeliest first."""

    span: Span
    choices: tuple[Choice, ...]


def complete(
    recipe: Recipe, offset: int, catalogue: Catalogue, datasets: Mapping[str, Dataset], statements: Iterable[Span] | None = None
) -> Completion:
    """What can be typed at an offset of a recipe's text.

    Args:
        recipe: the recipe; statements that cannot be read at the moment may be missing from it.
        offset: where the cursor is.
        catalogue: the catalogue.
        datasets: the data sets.
        statements: where the statements of the text are, if that is known.
    """
    text = recipe.text
    start = _statement_start(text, offset, [reading.span for reading in read(text)] if statements is None else statements)
    head = text[start:offset]
    if _inside(text[text.rfind("\n", 0, offset) + 1 : offset]):
        return Completion(Span(offset, offset), ())
    match = _WORD.search(head)
    typed = match.group() if match else ""
    before = head[: len(head) - len(typed)]
    if not before.strip():
        found: Iterable[Choice] = (Choice(verb.word, verb.help) for verb in VERBS.values())
    else:
        found = _Place(recipe, start, catalogue, datasets).choices(before)
    return Completion(Span(offset - len(typed), offset), tuple(_fitting(found, typed)))


def _statement_start(text: str, offset: int, statements: Iterable[Span]) -> int:
    """Where the statement that is typed at an offset starts: the offset itself where a new one would."""
    before = [span for span in statements if span.start < offset]
    if before and (offset <= before[-1].end or not text[before[-1].end : offset].strip(" \t")):
        return before[-1].start
    return offset


def _inside(line: str) -> bool:
    """Whether the end of a part of a line is within a string or a comment."""
    quoted = False
    for character in line:
        if character == '"':
            quoted = not quoted
        elif character == "#" and not quoted:
            return True
    return quoted


def _fitting(found: Iterable[Choice], typed: str) -> Iterator[Choice]:
    """The choices that start with what is typed, then those that hold it; one that is typed in full is no help."""
    wanted = typed.casefold()
    unique = list({choice.word: choice for choice in found}.values())
    yield from (choice for choice in unique if choice.word.casefold().startswith(wanted))
    if len(wanted) > 1:
        yield from (choice for choice in unique if wanted in choice.word.casefold()[1:] and not choice.word.casefold().startswith(wanted))


@dataclass(frozen=True, slots=True)
class _Place:
    recipe: Recipe
    start: int
    catalogue: Catalogue
    datasets: Mapping[str, Dataset]

    def choices(self, before: str) -> list[Choice]:
        """What fits behind a part of a statement."""
        verb = VERBS.get(verb_of(before))
        if verb is None:
            return []
        dotted = ""
        if before.endswith("."):  # the part of a path before the dot
            dotted = re.search(r"[\w.\-]*\Z", before).group()  # type: ignore[union-attr]
            before = before[: len(before) - len(dotted)]
        state = interactive(before, verb.form)
        try:
            tokens = list(state.iter_parse())
        except UnexpectedInput:
            return []
        accepted: set[str] = state.accepts()  # type: ignore[no-untyped-call]
        found = list(self._names(verb, tokens, dotted)) if "PATH" in accepted or "LABEL" in accepted else []
        if dotted:
            return found
        if "CONSTANT" in accepted and not found:
            found += [Choice(word) for word in ("true", "false", "none", "off")]
        used = {token.type for token in tokens}
        words = [KEYWORDS[name] for name in accepted if name in KEYWORDS and (name not in used or name not in _CLAUSE_NAMES)]
        ordered = sorted(words, key=lambda word: verb.clauses.index(word) if word in verb.clauses else len(verb.clauses))
        found += [Choice(word, CLAUSES.get(word, "")) for word in ordered if word in verb.clauses or word not in CLAUSES]
        return found

    # ------------------------------------------------------------------ names
    def _names(self, verb: Verb, tokens: Sequence[Token], dotted: str) -> Iterator[Choice]:
        opened, clause, subject = _context(tokens)
        last = tokens[-1].type if tokens else ""
        if opened is not None:
            bracket, owner, key = opened
            if bracket == "[" and key is None and (last == "_LBRACKET") and verb.form == "training":
                yield from self._parts(owner)
            elif bracket == "[" and key is None:
                yield from self._values(subject)
            elif last == "EQUALS":
                yield from self._argument_values(self._kind(verb, clause, subject), owner, key or "")
            elif last in ("_LPAR", "_COMMA"):
                yield from self._arguments(self._kind(verb, clause, subject), owner)
            return
        if clause in ("ON", "USING", "TO"):
            yield from self._targets(dotted, labels=clause == "ON") if last in (clause, "_PLUS", "_TIMES") else ()
            if last == "_RBRACKET" and dotted:
                yield from self._labels(subject)
        elif clause == "WITH" or verb.form == "about":
            if last == "EQUALS":
                yield from self._values(subject)
            else:
                yield from (Choice(word) for word in ABOUT) if verb.form == "about" else self._settings(dotted, stages=False)
        elif clause == "FROM":
            yield from self._stages()
        elif clause == "VIA":
            yield from self._words("method", verb.word)
        elif clause in ("FREEZE", "UNFREEZE", "ONLY"):
            yield from _LAYERS
        elif clause == "BY":
            yield from self._metrics(dotted)
        elif clause == "FOR":
            yield from self._datasets()
        elif clause is None:
            yield from self._subject(verb, last, subject, dotted)

    def _subject(self, verb: Verb, last: str, subject: str, dotted: str) -> Iterator[Choice]:
        """What a statement starts with after its verb."""
        if verb.form in ("set", "sweep"):
            if last == "EQUALS":
                yield from self._values(subject)
            elif not last:
                yield from self._settings(dotted, stages=True)
        elif verb.form == "split" and not last:
            yield from self._datasets()
        elif kind := {"data": "data", "augment": "augmentation", "search": "search"}.get(verb.form):
            yield from self._words(kind) if last in ("", "_COMMA") else ()
        elif verb.form == "training" and not last and verb.architecture != "none":
            yield from self._words("architecture")

    def _kind(self, verb: Verb, clause: str | None, subject: str) -> str:
        """The kind of the component whose brackets are open."""
        if clause == "VIA":
            return "method"
        if clause == "WITH" or verb.form in ("set", "sweep"):
            return kind_at(full_path(self._scoped(subject))) or ""
        return {"data": "data", "augment": "augmentation", "search": "search"}.get(verb.form, "architecture")

    # ------------------------------------------------------------------ words
    def _words(self, kind: str, verb: str | None = None) -> Iterator[Choice]:
        for word in self.catalogue.words(kind):
            component = self.catalogue.components[kind, word]
            if verb is None or verb in component.verbs:
                yield Choice(word, component.help)

    def _arguments(self, kind: str, word: str) -> Iterator[Choice]:
        component = self.catalogue.find(kind, word) if kind else None
        yield from (Choice(f"{parameter.name}=", parameter.help) for parameter in (component.parameters if component else ()))

    def _argument_values(self, kind: str, word: str, key: str) -> Iterator[Choice]:
        component = self.catalogue.find(kind, word) if kind else None
        parameter = component.parameter(key) if component else None
        yield from (Choice(value) for value in (choices(parameter.type) if parameter else ()))

    def _settings(self, dotted: str, *, stages: bool) -> Iterator[Choice]:
        """Keys; behind a dot, the keys of a stage or the fields of a section."""
        names = [name for name in stage_names(self.recipe) if name]
        if dotted:
            head = self._scoped(dotted.rstrip("."))
            yield from (Choice(key.word, key.help) for key in KEYS.values() if dotted.rstrip(".") in names)
            kinds = {"data": "data", "architecture": "architecture", "trainer": "trainer", "scenario": "scenario"}
            kind = kinds.get(head) or kind_at(full_path(head))
            for word in self.catalogue.words(kind) if kind else ():
                yield from (Choice(item.name, item.help) for item in self.catalogue.components[kind or "", word].parameters)
            return
        end = "" if stages else "="
        yield from (Choice(f"{key.word}{end}", key.help) for key in KEYS.values())
        yield from (Choice(f"{name}.", "settings of this stage only") for name in (names if stages else ()))
        yield from (Choice(f"{section}.", "a section of the config") for section in SECTIONS if section != "seed")

    def _values(self, written: str) -> Iterator[Choice]:
        """Values of a setting."""
        path = full_path(self._scoped(written))
        if kind := kind_at(path):
            yield from self._words(kind)
            return
        section, _, name = path.rpartition(".")
        kind = kind_at(section) or section
        for word in self.catalogue.words(kind):
            if (parameter := self.catalogue.components[kind, word].parameter(name)) is not None:
                yield from (Choice(value, parameter.help) for value in choices(parameter.type))

    def _scoped(self, written: str) -> str:
        head, _, rest = written.partition(".")
        return rest if rest and head in stage_names(self.recipe) else written

    def _stages(self) -> Iterator[Choice]:
        """Stages that stand above and train."""
        for node, name in zip(self.recipe.statements, stage_names(self.recipe), strict=True):
            if isinstance(node, Training) and name and node.span.start < self.start and VERBS[node.verb].trains:
                yield Choice(name, " ".join(self.recipe.text[node.span.start : node.span.end].split()))

    def _metrics(self, dotted: str) -> Iterator[Choice]:
        offered = ranked_metrics(self.recipe, self.datasets) or [f"val.{name}" for name in METRICS]
        for metric in offered:
            if metric.startswith(dotted):
                yield Choice(metric.removeprefix(dotted), METRICS[metric.rpartition(".")[2]].help)

    # ------------------------------------------------------------------ data sets
    def _datasets(self, end: str = "") -> Iterator[Choice]:
        for name in self.datasets:
            yield Choice(name + end, self._about(name))

    def _about(self, name: str) -> str:
        try:
            dataset = self.datasets[name]
            return f"{dataset.format}: {', '.join(dataset.labels)}"
        except InputError as error:
            return error.message

    def _targets(self, dotted: str, *, labels: bool) -> Iterator[Choice]:
        yield from self._labels(dotted.rstrip(".")) if dotted else self._datasets()

    def _labels(self, name: str) -> Iterator[Choice]:
        try:
            dataset = self.datasets[name]
            for word, label in dataset.labels.items():
                said = f"{len(label.classes or ())} classes" if label.kind == "category" else label.unit or "a number"
                yield Choice(word, f"{said}, {dataset.listing().label_counts.get(word, 0)} participants")
        except (KeyError, InputError):
            return

    def _parts(self, name: str) -> Iterator[Choice]:
        for node in self.recipe.statements:
            if isinstance(node, Split) and node.dataset == name:
                yield from (Choice(f"{part.name}]", f"{part.amount:g} of {name}") for part in node.parts)


_CLAUSE_NAMES = {word.upper() for word in CLAUSES}


def _context(tokens: Sequence[Token]) -> tuple[tuple[str, str, str | None] | None, str | None, str]:
    """Where the end of a statement's tokens is.

    Returns:
        The innermost open bracket with the name before it and the key that is being given a value; the word of the clause; and the
        last name outside of brackets, of a setting its key.
    """
    opened: list[tuple[str, str, str | None]] = []
    clause: str | None = None
    subject = name = ""
    for token in tokens:
        if token.type in KEYWORDS and not opened and token.type not in ("AT", "LR", "LOG", "IN", "INTO"):
            clause, subject = token.type, ""
        elif token.type in ("PATH", "LABEL"):
            name = str(token)
            if not opened and token.type == "PATH":
                subject = subject if tokens and _is_value(tokens, token) else name
        elif token.type == "EQUALS" and opened:
            opened[-1] = (*opened[-1][:2], name)
        elif token.type == "_COMMA" and opened:
            opened[-1] = (*opened[-1][:2], None)
        elif token.type == "_LPAR":
            opened.append(("(", name, None))
        elif token.type == "_LBRACKET":
            opened.append(("[", name, None))
        elif token.type in ("_RPAR", "_RBRACKET") and opened:
            opened.pop()
    return (opened[-1] if opened else None), clause, subject


def _is_value(tokens: Sequence[Token], token: Token) -> bool:
    """Whether a name is the value of a setting."""
    place = next(place for place, other in enumerate(tokens) if other is token)
    return place > 0 and tokens[place - 1].type == "EQUALS"
