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
