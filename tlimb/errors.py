"""Errors as data: a user's mistake is a `Diagnostic` in a recipe or an `InputError` elsewhere; both name a way out."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of character offsets in a recipe's text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text of a span by `new`."""

    span: Span
    new: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake in a recipe: a stable code, the exact span, what is wrong, the way out and, where possible, the fix as edits."""

    code: str
    span: Span
    message: str
    hint: str = ""
    fix: tuple[Edit, ...] = ()
    severity: Literal["error", "warning"] = "error"


class TlimbError(Exception):
    """A failure with a message for the user; the command line prints it without a traceback."""

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message if not hint else f"{message}\n  {hint}")
        self.message = message
        self.hint = hint


class InputError(TlimbError):
    """The input (arguments, data, config) is wrong: exit status 2."""

    exit_status = 2


@dataclass(slots=True)
class RecipeError(Exception):
    """A recipe with mistakes; holds all of them."""

    diagnostics: list[Diagnostic] = field(default_factory=list)


CODES = {
    "bad-dataset": "The entry of datasets.yaml is wrong, or its files are not there.",
    "bad-escape": "A string holds a backslash that escapes nothing; write \\\\ for a backslash.",
    "bad-name": "A name is not made of letters, digits and _.",
    "bad-number": "A number is not written as one.",
    "bad-split": "The parts of a split overlap, are empty or ask for more subjects than there are.",
    "bad-target": "The target cannot be learned, e.g. it has one class only.",
    "bad-value": "A value is not of the type that its argument takes.",
    "early-stopping": "A search cannot stop its trials early: it has no later rounds, or stages do not monitor its metric.",
    "duplicate-clause": "A clause stands twice in a statement.",
    "duplicate-key": "A key is given twice.",
    "duplicate-name": "Two stages have the same name.",
    "duplicate-statement": "A statement that may stand once stands twice.",
    "duplicate-target": "Two targets of a stage have the same label, and so the same head.",
    "incomplete-statement": "A statement ends too early.",
    "leakage": "Test subjects of a stage were seen upstream, in training or validation.",
    "mismatched-bracket": "A bracket is closed by one of another kind.",
    "line-endings": "Lines of the file end in different ways, which other programs may change.",
    "misplaced-version": "`tlr 1` does not stand in the first line.",
    "missing-architecture": "The statement needs a network.",
    "missing-clause": "The statement needs a clause.",
    "missing-label": "A data set is named, but not what to learn of it.",
    "no-head": "An evaluated stage has no head for that label.",
    "no-parent": "There is no stage to continue.",
    "no-stage": "The recipe trains nothing.",
    "no-subjects": "A role (train, val, test) of a stage has no labelled subjects.",
    "no-weights": "The named stage trains nothing, so it has no weights.",
    "not-a-whole-number": "A count is not a whole number.",
    "own-code": "A component of your own cannot be used: it is not trusted, is not there, or is not Python.",
    "range-without-search": "A continuous axis needs a search.",
    "search-without-sweep": "A search has no axis to draw from.",
    "reserved-name": "A stage has the name of a key.",
    "stray-character": "A character that means nothing in the language.",
    "test-selection": "Something would be chosen by a test metric.",
    "too-deep": "Brackets are nested too deeply.",
    "unclosed-bracket": "A bracket is not closed.",
    "unclosed-string": "A string is not closed.",
    "unexpected-architecture": "The statement continues a network and takes none.",
    "unexpected-clause": "The statement takes no such clause.",
    "unexpected-text": "The statement goes on where it should end.",
    "unknown-architecture": "No architecture of that name.",
    "unused-label": "A label stands where images train without labels.",
    "wrong-method": "The method is none of that statement, or not for that kind of target.",
    "unknown-argument": "The component has no such argument.",
    "unknown-augmentation": "No augmentation of that name.",
    "unknown-clause": "No clause of that name.",
    "unknown-data": "No DataModule of that name.",
    "unknown-dataset": "No data set of that name in datasets.yaml.",
    "unknown-layer": "The network has no layer of that name to freeze.",
    "unknown-logger": "No logger of that name.",
    "unknown-key": "No key or config path of that name in the stage.",
    "unknown-method": "No method of that name.",
    "unknown-metric": "No metric of that name, or no stage has it.",
    "unknown-optimizer": "No optimizer of that name.",
    "unknown-part": "The data set is not split into such a part.",
    "unknown-schedule": "No learning-rate schedule of that name.",
    "unknown-search": "No search of that name.",
    "unknown-source": "`from` names something that weights cannot be read from.",
    "unknown-stage": "No stage of that name above.",
    "unknown-statement": "No statement starts with that word.",
    "unknown-target": "The data set has no such label.",
    "unknown-version": "The recipe is written for a newer version of the language.",
}
"""What each code of a diagnostic means."""
