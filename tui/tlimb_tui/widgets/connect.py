"""Strips above the status line that take the keys for a moment: choose what to connect a stage with, or say yes to a change."""

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

LETTERS = string.ascii_lowercase


class Strip(Widget, can_focus=True):
    """A few lines with keys of their own. Escape, and losing the keys, takes it away."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back", priority=True)]
    DEFAULT_CSS = """
    Strip { height: auto; max-height: 6; padding: 0 1; background: $panel; color: $foreground; border-left: thick $primary; }
    """

    class Left(Message):
        """Nothing is to be done."""

        def __init__(self, strip: "Strip") -> None:
            super().__init__()
            self.strip = strip

    def action_leave(self) -> None:
        """Do nothing."""
        self.post_message(self.Left(self))

    def on_blur(self) -> None:
        """Whoever goes elsewhere wants nothing of it."""
        self.post_message(self.Left(self))


class Confirm(Strip):
    """A change that is told before it is made: enter, or the key that asked for it, makes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "agree", "Do it", priority=True)]

    class Agreed(Message):
        """It is to be made."""

        def __init__(self, strip: "Confirm") -> None:
            super().__init__()
            self.strip = strip

    def __init__(self, head: str, told: Sequence[str], keys: Sequence[str], act: Callable[[], None]) -> None:
        """Make it.

        Args:
            head: What is to be done.
            told: What follows from it.
            keys: The keys that make it, beside enter.
            act: Makes it.
        """
        super().__init__()
        self.head, self.told, self.keys, self.act = head, told, keys, act

    def render(self) -> Content:
        """What would happen, and how to say yes."""
        lines = [Content.assemble((self.head, "bold"), (f"   enter or {self.keys[0]} does it · esc does not", "$foreground-muted"))]
        return Content("\n").join([*lines, *(Content(line) for line in self.told)])

    def on_key(self, event: events.Key) -> None:
        """The key that asked says yes."""
        if event.key in self.keys:
            event.stop()
            event.prevent_default()
            self.action_agree()

    def action_agree(self) -> None:
        """Make the change."""
        self.post_message(self.Agreed(self))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stage that another could be connected with: its number and name, and why not; empty where it fits."""

    number: int
    name: str
    reason: str


class Connect(Strip):
    """Choose a stage by its letter, or with the arrows and enter; tab turns the direction round."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "connect", "Connect", priority=True),
        Binding("tab", "turn", "Other direction", priority=True),
        Binding("right,down", "move(1)", show=False, priority=True),
        Binding("left,up", "move(-1)", show=False, priority=True),
    ]

    class Chosen(Message):
        """A candidate was chosen."""

        def __init__(self, strip: "Connect", number: int) -> None:
            super().__init__()
            self.strip, self.number = strip, number

    class Highlighted(Chosen):
        """A candidate is at the cursor."""

    class Turned(Message):
        """The other direction is wanted."""

        def __init__(self, strip: "Connect") -> None:
            super().__init__()
            self.strip = strip

    def __init__(self, name: str, candidates: Sequence[Candidate], *, outward: bool) -> None:
        """Make it.

        Args:
            name: The stage.
            candidates: The other stages.
            outward: The candidates would continue the stage; else it would continue one of them.
        """
        super().__init__()
        self.stage, self.candidates, self.outward = name, candidates, outward
        self.fitting = [candidate for candidate in candidates if not candidate.reason]
        self.letters: Mapping[str, Candidate] = dict(zip(LETTERS, self.fitting, strict=False))
        self._place: int | None = None

    def render(self) -> Content:
        """The question, the candidates, and why the others are none."""
        question = f"which stage shall continue '{self.stage}'?" if self.outward else f"what shall '{self.stage}' continue?"
        lines = [Content.assemble((question, "bold"), ("   a letter connects · tab turns it round · esc", "$foreground-muted"))]
        parts: list[str | tuple[str, str]] = []
        for place, candidate in enumerate(self.fitting):
            letter = LETTERS[place] if place < len(LETTERS) else " "
            parts += [(f" {letter} ", "bold reverse"), (f" {candidate.name} ", "reverse" if place == self._place else ""), " "]
        lines.append(Content.assemble(*parts) if parts else Content("no stage fits"))
        refused = [candidate for candidate in self.candidates if candidate.reason and candidate.name != self.stage]
        told = " · ".join(f"{candidate.name}: {candidate.reason}" for candidate in refused)
        if told:
            lines.append(Content.styled(f"not {told}", "$foreground-muted"))
        return Content("\n").join(lines)

    def on_key(self, event: events.Key) -> None:
        """A letter chooses."""
        if event.character in self.letters:
            event.stop()
            event.prevent_default()
            self.post_message(self.Chosen(self, self.letters[event.character or ""].number))

    def action_move(self, step: int) -> None:
        """Go through the candidates."""
        if self.fitting:
            here = self._place
            self._place = (0 if step > 0 else len(self.fitting) - 1) if here is None else (here + step) % len(self.fitting)
            self.refresh()
            self.post_message(self.Highlighted(self, self.fitting[self._place].number))

    def action_connect(self) -> None:
        """Choose the candidate at the cursor."""
        if self._place is None:
            self.app.bell()
            return
        self.post_message(self.Chosen(self, self.fitting[self._place].number))

    def action_turn(self) -> None:
        """The other direction."""
        self.post_message(self.Turned(self))
