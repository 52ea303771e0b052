"""What the keys of the graph change in the recipe: add, insert, connect, delete, rename, duplicate, bypass, move.

Every action shows what it will do to the text before it does it, and is one step for undo. The view that mixes `Editing` in has a
graph, an inspector and a status line.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from tlimb.drawing.picture import step_ids
from tlimb.errors import Edit, InputError
from tlimb.recipe import bypass, edit
from tlimb.recipe.connections import consequences, origins, successors
from tlimb.recipe.offers import Offer, offers
from tlimb.recipe.parse import verb_of
from tlimb.recipe.references import sources
from tlimb.recipe.tree import Recipe, Training, stage_names
from tlimb.recipe.trial import tried
from tlimb_tui.actions import action_of
from tlimb_tui.views import View
from tlimb_tui.widgets.connect import Candidate, Confirm, Connect, Strip
from tlimb_tui.widgets.graph import GraphView
from tlimb_tui.widgets.inspector import Inspector
from tlimb_tui.widgets.palette import AddPalette

Result = TypeVar("Result")


class Editing(View):
    """The actions of scope ``edit`` that change the recipe."""

    _strip: Strip | None = None

    # ------------------------------------------------------------------ what is chosen
    @property
    def _recipe(self) -> Recipe:
        return self.tlimb.workspace.recipe

    def _number(self, *, stage: bool = False) -> int | None:
        """The selected statement; where a stage is needed and none is selected, that is said."""
        number = self.tlimb.selected
        known = number is not None and number < len(self._recipe.statements)
        if known and number is not None and (not stage or isinstance(self._recipe.statements[number], Training)):
            return number
        self.tlimb.say("choose a stage first" if stage else "choose a statement first", severity="warning")
        return None

    def _made(self, change: Callable[[], list[Edit]]) -> list[Edit] | None:
        """The edits of a change; where it cannot be made, that is said."""
        try:
            return change()
        except InputError as error:
            self.tlimb.say(f"{error.message}; {error.hint}" if error.hint else error.message, severity="warning")
            return None

    def _called(self, number: int) -> str:
        """What a statement is called."""
        node = self._recipe.statements[number]
        return stage_names(self._recipe)[number] or verb_of(self._recipe.text[node.span.start :])

    # ------------------------------------------------------------------ add
    def action_add(self) -> None:
        """Choose a statement to add after the selected one."""
        number = self.tlimb.selected
        if number is not None and number >= len(self._recipe.statements):
            number = None
        after = f"after {self._called(number)}" if number is not None else "to the recipe"
        self._choose(f"add {after}", number, between=False)

    def action_insert(self) -> None:
        """Choose a stage to put on the link into the selected one."""
        number = self._number(stage=True)
        if number is None:
            return
        above = sources(self._recipe).get(number)
        if above is None:
            self.tlimb.say(f"'{self._called(number)}' continues nothing, so there is no link into it: a adds after it", severity="warning")
            return
        source = f"'{self._called(above)}'" if isinstance(above, int) else above
        self._choose(f"insert between {source} and '{self._called(number)}'", number, between=True)

    def _choose(self, title: str, number: int | None, *, between: bool) -> None:
        workspace = self.tlimb.workspace
        text = workspace.text

        def find() -> Sequence[Offer]:
            return offers(workspace.recipe, number, workspace.catalogue, workspace.datasets, between=between)

        def preview(offer: Offer | None) -> None:
            self.tlimb.preview(offer.trial.edits if offer is not None and offer.trial is not None else None)

        def chosen(offer: Offer | None) -> None:
            self.tlimb.preview(None)
            if offer is not None and offer.trial is not None and self.tlimb.change(offer.trial.edits, f"added {offer.word}", of=text):
                self._go(offer.number)

        self.app.push_screen(AddPalette(title, find, preview), chosen)

    def _go(self, number: int) -> None:
        """Select a statement that has just been written."""
        statements = self._recipe.statements
        if number < len(statements):
            self.tlimb.editor.go(statements[number].span)
            self.tlimb.select(number)

    # ------------------------------------------------------------------ connect
    def action_connect(self) -> None:
        """Choose what the selected stage continues."""
        number = self._number(stage=True)
        if number is not None:
            self._connect(number, outward=False)

    def _connect(self, number: int, *, outward: bool) -> None:
        workspace = self.tlimb.workspace
        find = successors if outward else origins

        def show(found: dict[int, str]) -> None:
            if workspace.recipe is not recipe:
                return
            candidates = [Candidate(other, self._called(other), reason) for other, reason in found.items()]
            strip = Connect(self._called(number), candidates, outward=outward)
            ids = step_ids(recipe)
            letters = {candidate.number: letter for letter, candidate in strip.letters.items()}
            self._open(strip)
            self.query_one(GraphView).letters = {
                str(ids[candidate.number]): (
                    letters.get(candidate.number, ""),
                    (candidate.reason or None) if candidate.number != number else None,
                )
                for candidate in candidates
                if ids[candidate.number] is not None
            }

        recipe = workspace.recipe
        self._beside(lambda: find(recipe, number, workspace.catalogue, workspace.datasets), show)

    def _edits_of(self, strip: Connect, other: int) -> list[Edit] | None:
        number = stage_names(self._recipe).index(strip.stage)
        child, source = (other, number) if strip.outward else (number, other)
        return self._made(lambda: edit.connect(self._recipe, child, source))

    def on_connect_highlighted(self, event: Connect.Highlighted) -> None:
        """Show what the connection would write."""
        event.stop()
        self.tlimb.preview(self._edits_of(event.strip, event.number))

    def on_connect_chosen(self, event: Connect.Chosen) -> None:
        """Connect."""
        event.stop()
        child = event.strip.stage if not event.strip.outward else self._called(event.number)
        source = self._called(event.number) if not event.strip.outward else event.strip.stage
        edits = self._edits_of(event.strip, event.number)
        self._close()
        if edits is not None and self.tlimb.change(edits, f"'{child}' continues '{source}'"):
            names = stage_names(self._recipe)
            if event.strip.stage in names:
                self._go(names.index(event.strip.stage))

    def on_connect_turned(self, event: Connect.Turned) -> None:
        """Choose in the other direction."""
        event.stop()
        number = stage_names(self._recipe).index(event.strip.stage)
        outward = not event.strip.outward
        self._close()
        self._connect(number, outward=outward)

    # ------------------------------------------------------------------ delete, bypass, duplicate, move
    def action_delete(self) -> None:
        """Delete the selected statement, after saying what follows."""
        number = self._number()
        if number is not None:
            self._confirm("delete", f"delete {self._called(number)}", number, edit.delete(self._recipe, number))

    def action_bypass(self) -> None:
        """Make the selected statement a comment, after saying what follows."""
        number = self._number()
        if number is not None:
            head = f"bypass {self._called(number)}: it stays as a comment, and comes back with {self._key('bring_back')}"
            self._confirm("bypass", head, number, edit.comment_out(self._recipe, number))

    def _confirm(self, action: str, head: str, number: int, edits: list[Edit]) -> None:
        workspace = self.tlimb.workspace
        text, called = workspace.text, self._called(number)
        told = consequences(self._recipe, number)
        if workspace.can_check(workspace.text):
            trial = tried(workspace.text, edits, workspace.catalogue, workspace.datasets)
            told += [f"then: {problem.message}" for problem in trial.problems[:2]]

        def act() -> None:
            if self.tlimb.change(edits, f"{action} {called}", of=text):
                count = len(self._recipe.statements)
                self._go(min(number, count - 1)) if count else self.tlimb.select(None)

        keys = [key.strip() for key in action_of(f"edit.{action}").keys.split(",")]
        self._open(Confirm(head, told, keys, act))
        self.tlimb.preview(edits)

    def on_confirm_agreed(self, event: Confirm.Agreed) -> None:
        """Do what was told."""
        event.stop()
        self._close()
        event.strip.act()

    def action_duplicate(self) -> None:
        """Put a copy behind the selected statement."""
        number = self._number()
        if number is None:
            return
        edits = self._made(lambda: edit.duplicate(self._recipe, number))
        if edits is not None and self.tlimb.change(edits, f"duplicate {self._called(number)}"):
            self._go(number + 1)

    def action_bring_back(self) -> None:
        """Make the nearest bypassed statement one again."""
        found = bypass.bypassed(self._recipe)
        if not found:
            self.tlimb.say(f"nothing is bypassed: {self._key('bypass')} makes a statement a comment", severity="warning")
            return
        here = self.tlimb.editor.offset_of_cursor
        nearest = min(found, key=lambda statement: abs(statement.span.start - here))
        edits = self._made(lambda: bypass.uncomment(self._recipe, nearest))
        if edits is not None and self.tlimb.change(edits, "brought back"):
            self._go(sum(other.span.start < nearest.span.start for other in self._recipe.statements))

    def action_move_up(self) -> None:
        """Move the selected statement above the one before it."""
        self._move(-1)

    def action_move_down(self) -> None:
        """Move the selected statement below the one after it."""
        self._move(1)

    def _move(self, step: int) -> None:
        number = self._number()
        if number is None:
            return
        behind = number + 1 if step > 0 else number - 2
        if not -2 < behind < len(self._recipe.statements):
            self.tlimb.say("there is nothing to move it past", severity="warning")
            return
        edits = self._made(lambda: edit.move(self._recipe, number, None if behind == -1 else behind))
        if edits is not None and self.tlimb.change(edits, f"move {self._called(number)}"):
            self._go(number + step)

    # ------------------------------------------------------------------ inspector
    def action_statements(self) -> None:
        """List all statements in the inspector."""
        number = self.tlimb.selected
        self.tlimb.select(None)
        self.show_pane("inspector")
        self.query_one(Inspector).highlight(number)

    def action_rename(self) -> None:
        """Write the name of the selected stage; references follow."""
        if self._number(stage=True) is not None:
            self.show_pane("inspector")
            self.query_one(Inspector).edit_field("name")

    def show_pane(self, pane: str) -> None:
        """Bring a pane to the screen; the view that mixes this in knows how."""
        raise NotImplementedError

    # ------------------------------------------------------------------ strips
    def _open(self, strip: Strip) -> None:
        self._close()
        self._strip = strip
        self.mount(strip, before=self.query_one("#status"))
        strip.focus()

    def _close(self) -> None:
        strip, self._strip = self._strip, None
        self.tlimb.preview(None)
        self.query_one(GraphView).letters = {}
        if strip is not None:
            strip.remove()
            self.show_pane("graph")

    def on_strip_left(self, event: Strip.Left) -> None:
        """The keys go back to the graph."""
        event.stop()
        if event.strip is self._strip:
            self._close()

    def _key(self, action: str) -> str:
        return action_of(f"edit.{action}").keys.partition(",")[0]

    def _beside(self, job: Callable[[], Result], then: Callable[[Result], None]) -> None:
        """Do something that may read data sets in a thread."""

        def whole() -> None:
            self.app.call_from_thread(then, job())

        self.run_worker(whole, thread=True, exclusive=True, group="editing")
