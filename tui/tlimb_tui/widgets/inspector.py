"""The selected statement as a form: every field with its value or its default, and what gives it.

Where no statement is selected, all of them are listed.
"""

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.timer import Timer
from textual.widgets import ContentSwitcher, OptionList
from textual.widgets.option_list import Option

from tlimb.errors import InputError, Span
from tlimb.recipe.clauses import axis_of
from tlimb.recipe.form import Choice, Field, form, frozen_words, kind_of, layer_choices, subjects
from tlimb.recipe.offers import spread
from tlimb.recipe.parse import verb_of
from tlimb.recipe.patch import apply
from tlimb.recipe.render import position
from tlimb.recipe.settings import targets
from tlimb.recipe.tree import Target, Training, stage_names
from tlimb.recipe.trial import tried
from tlimb.run.anatomy import UnknownLayerError, anatomy_of, parameters_of
from tlimb.stages.graph import Stage
from tlimb_tui.actions import bindings
from tlimb_tui.document import shown
from tlimb_tui.views import View
from tlimb_tui.widgets.form import FieldEditor, LookUp, Outcome

OPEN = ("stage", "settings", "statement", "in order", "parts", "not known here")
"""Groups of fields that are open from the start; of the others what is given is shown."""
CLOSED = ("optimizer", "schedule", "training", "data", "trainer", "weights")
AFTER_S = 0.05
"""Seconds without a change of the text after which the form is made anew."""


Row = Field | str | int
"""A field, the heading of a group, or a statement by its number."""


class FieldList(OptionList):
    """The fields, a row each."""


class Inspector(View):
    """The form of the selected statement."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("inspector")]
    DEFAULT_CSS = """
    Inspector { layout: vertical; }
    Inspector ContentSwitcher { height: 1fr; }
    Inspector FieldList { height: 1fr; border: none; padding: 0; background: transparent; text-wrap: nowrap; text-overflow: ellipsis; }
    Inspector FieldList:focus { border: none; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._fields: tuple[Field, ...] = ()
        self._rows: list[Row] = []
        self._opened: set[str] = set()
        self._notes: dict[str, str] = {}
        self._soon: Timer | None = None
        self._number: int | None = None

    def compose(self) -> ComposeResult:
        with ContentSwitcher(initial="fields"):
            yield FieldList(id="fields", markup=False)
            yield FieldEditor(id="writing")

    # ------------------------------------------------------------------ news
    def recipe_changed(self) -> None:
        if self._soon is not None:
            self._soon.stop()
            self._soon = None
        if self.has_focus_within:
            self.fill()
        else:
            self._soon = self.set_timer(AFTER_S, self.fill)

    def selection_changed(self) -> None:
        self.recipe_changed()

    def plan_changed(self) -> None:
        self._note()
        self._show()

    def on_descendant_focus(self) -> None:
        """What gets the keys is up to date."""
        self._hurry()

    def _hurry(self) -> None:
        """Show now what would be shown in a moment."""
        if self._soon is not None:
            self._soon.stop()
            self._soon = None
            self.fill()

    # ------------------------------------------------------------------ rows
    @property
    def writing(self) -> bool:
        """Whether a field is being written."""
        return self.query_one(ContentSwitcher).current == "writing"

    @property
    def _list(self) -> FieldList:
        return self.query_one(FieldList)

    def fill(self) -> None:
        """Show the statement that is selected."""
        workspace, number = self.tlimb.workspace, self.tlimb.selected
        known = number if number is not None and number < len(workspace.recipe.statements) else None
        readable = known is not None and known not in workspace.broken
        found = form(workspace.recipe, known, workspace.catalogue, workspace.datasets) if known is not None and readable else ()
        moved = known != self._number
        changed = moved or found != self._fields or known is None or not readable
        self._fields, self._number = found, known
        self.border_title = f"inspector · {self._title()}" if known is not None else "inspector · all statements"
        self._keep_writing(moved=moved)
        noted = self._notes
        self._note()
        if changed or self._notes != noted:
            self._show(top=moved)

    def highlight(self, row: Row | None) -> None:
        """Put the cursor on a row, if it is there."""
        self._hurry()
        place = next((place for place, other in enumerate(self._rows) if _same(other, row)), None)
        if place is not None:
            self._list.highlighted = place

    def _keep_writing(self, *, moved: bool) -> None:
        """The field that is being written is that of the text as it is now; if it is gone, so is what was being written."""
        if not self.writing:
            return
        writing = self.query_one(FieldEditor)
        same = next((field for field in self._fields if not moved and _same(field, writing.field)), None)
        if same is None:
            self._close()
        else:
            writing.renew(same, partial(self._attempt, same))

    def _title(self) -> str:
        recipe = self.tlimb.workspace.recipe
        assert self._number is not None
        node = recipe.statements[self._number]
        verb = verb_of(recipe.text[node.span.start :])
        name = stage_names(recipe)[self._number]
        return verb if name in (verb, None) else f"{verb} {name}"

    def _show(self, *, top: bool = False) -> None:
        """Fill the list; the highlight stays on its field."""
        fields = self._list
        kept = self._row(fields.highlighted)
        self._rows = list(self._arranged())
        fields.clear_options()
        fields.add_options(Option(self._told(row), disabled=row in OPEN) for row in self._rows)
        places = [place for place, row in enumerate(self._rows) if not top and _same(row, kept)]
        first = next((place for place, row in enumerate(self._rows) if not isinstance(row, str)), None)
        fields.highlighted = places[0] if places else first
        if not self._rows:
            broken = self._number is not None
            told = "The line cannot be read: mend it in the text." if broken else "The recipe is empty: press a to add to it."
            fields.add_option(Option(Content.styled(told, "$foreground-muted"), disabled=True))

    def _arranged(self) -> Iterator[Row]:
        """Fields under their headings; what is given stands under a closed heading too. Statements where none is selected."""
        if self._number is None:
            yield from range(len(self.tlimb.workspace.recipe.statements))
        for group in dict.fromkeys(field.group for field in self._fields):
            fields = [field for field in self._fields if field.group == group]
            if group not in ("stage", "statement"):
                yield group
            for field in fields:
                if self._is_open(group) or field.origin not in ("default", "data"):
                    yield field

    def _is_open(self, group: str) -> bool:
        return (group in self._opened) != (not group.startswith(CLOSED))

    def _told(self, row: Row) -> Content:
        """A row: a heading with the number of its fields, or a field with its value and where that comes from."""
        if isinstance(row, int):
            recipe = self.tlimb.workspace.recipe
            span = recipe.statements[row].span
            line, _ = position(recipe.text, span.start)
            return Content.assemble((f"{line:>4}  ", "$foreground-muted"), shown(" ".join(recipe.text[span.start : span.end].split())))
        if isinstance(row, str):
            count = sum(field.group == row for field in self._fields)
            sign = {True: ("▾", "v"), False: ("▸", ">")}[self._is_open(row)][self.tlimb.ascii_only]
            return Content.styled(row if row in OPEN else f"{sign} {row}  ({count})", "$foreground-muted bold")
        width = 14 if self.size.width < 60 else 22
        parts: list[tuple[str, str]] = [(f"{row.name:<{width - 1}} ", "")]
        if row.origin == "default":
            parts.append((row.default or ("needed" if row.required else "-"), "$foreground-disabled"))
        else:
            parts.append((shown(row.value), "bold" if row.origin == "here" else ""))
        told = "  ".join(filter(None, (self._origin(row), self._notes.get(row.name, "") if row.group == "stage" else "")))
        if told:
            parts.append((f"  {told}", "$foreground-muted"))
        return Content.assemble(*parts)

    def _origin(self, field: Field) -> str:
        if field.number is None:
            return ""
        recipe = self.tlimb.workspace.recipe
        line, _ = position(recipe.text, recipe.statements[field.number].span.start)
        return {"sweep": f"swept in line {line}", "set": f"set in line {line}", "data": f"from line {line}"}.get(field.origin, "")

    def _row(self, place: int | None) -> Row | None:
        return self._rows[place] if place is not None and place < len(self._rows) else None

    # ------------------------------------------------------------------ notes
    def _note(self) -> None:
        """What there is to say of fields beyond their text: how much is frozen, what the targets are."""
        self._notes = {}
        if self._number is None or not self._fields:
            return
        node = self.tlimb.workspace.recipe.statements[self._number]
        if isinstance(node, Training):
            for word in ("on", "using", "to"):
                self._notes[word] = " + ".join(filter(None, map(self._of_target, targets(node.clause(word)))))
        stage = self._stage()
        if stage is None or stage.kind != "fit":
            return
        try:
            anatomy = anatomy_of(stage, store=self.tlimb.workspace.store, ask=False)
            if anatomy is not None and (counts := parameters_of(stage, anatomy))["frozen"]:
                self._notes["freeze"] = frozen_words(counts["frozen"], anatomy["encoder_parameters"])
        except UnknownLayerError:
            self._notes["freeze"] = "the network has no such layer"
        except InputError:
            return

    def _of_target(self, target: Target) -> str:
        """What a target is and how many subjects have it, once its tables are read."""
        workspace = self.tlimb.workspace
        if target.dataset not in workspace.datasets or not workspace.is_read(target.dataset):
            return ""
        try:
            dataset = workspace.datasets[target.dataset]
            label = dataset.labels.get(target.label or "")
            count = subjects(workspace.recipe, dataset, target.part, label.name if label is not None else None)
        except InputError:
            return ""
        return f"{kind_of(label, short=True)} · {count} subjects" if label is not None else f"{count} subjects"

    def _stage(self) -> Stage | None:
        """A stage of the plan that the statement stands for."""
        workspace = self.tlimb.workspace
        if workspace.plan is None or self._number is None or not isinstance(workspace.recipe.statements[self._number], Training):
            return None
        name = str(stage_names(workspace.recipe)[self._number])
        digest = next((run.stages[name] for variant in workspace.plan.variants for run in variant.runs if name in run.stages), None)
        return next((stage for stage in workspace.plan.stages if stage.digest == digest), None)

    # ------------------------------------------------------------------ writing
    def edit_field(self, name: str, *, group: str = "") -> bool:
        """Begin to write a field by its name; False if the statement has none of that name."""
        self.fill()
        for place, row in enumerate(self._rows):
            if isinstance(row, Field) and row.name == name and group in ("", row.group):
                self._list.highlighted = place
                self._open(row)
                return True
        return False

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Write the field, open its group, or go to the statement."""
        event.stop()
        row = self._chosen()
        if isinstance(row, str):
            self._opened ^= {row}
            self._show()
        elif isinstance(row, int):
            self.tlimb.editor.go(self.tlimb.workspace.recipe.statements[row].span)
            self.tlimb.select(row)
        elif row is not None:
            self._open(row)

    def _chosen(self) -> Row | None:
        """The row at the cursor, as it is in the text as it is now."""
        before = self._row(self._list.highlighted)
        self._hurry()
        return next((row for row in self._rows if _same(row, before)), None)

    def _open(self, field: Field, text: str | None = None) -> None:
        writing = self.query_one(FieldEditor)
        self.query_one(ContentSwitcher).current = "writing"
        own = field.value if field.origin in ("here", "sweep") else ""
        begin = own if text is None else text
        writing.open(field, partial(self._attempt, field), begin, look_up=self._look_up(field), begun=text is not None)

    def _look_up(self, field: Field) -> LookUp | None:
        if field.look_up is not None:
            return LookUp(field.look_up)
        if not field.of_layers:
            return None
        stage, store = self._stage(), self.tlimb.workspace.store
        if stage is None:
            return None
        known = None
        try:
            known = anatomy_of(stage, store=store, ask=False)
        except InputError as error:
            told = error.message
            return LookUp(lambda: (Choice("", told),))
        if known is not None:
            return LookUp(partial(layer_choices, known))

        def ask() -> tuple[Choice, ...]:
            found = anatomy_of(stage, store=store)
            if found is None:
                raise InputError("the layers depend on the size of the images: give data a size, or run the stage that prepares them")
            return layer_choices(found)

        return LookUp(ask, "list the layers (loads the network in a process of its own)")

    def _attempt(self, field: Field, text: str) -> Outcome:
        """What writing a text would do."""
        workspace = self.tlimb.workspace
        try:
            edits = field.write(text)
        except InputError as error:
            return Outcome(None, f"{error.message}; {error.hint}" if error.hint else error.message, "error")
        if not edits:
            return Outcome((), "nothing to take away" if not text else "")
        if workspace.in_the_way(edits) is not None:
            return Outcome(None, "the line cannot be read as it is: mend it in the text first", "error")
        after, inverse = apply(workspace.text, edits)
        if not workspace.can_check(after):
            return Outcome(tuple(edits))
        trial = tried(workspace.text, edits, workspace.catalogue, workspace.datasets)
        if not trial.problems:
            return Outcome(tuple(edits))
        here = [problem for problem in trial.problems if any(_touch(back.span, problem.span) for back in inverse)]
        problem = (here or trial.problems)[0]
        told = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
        return Outcome(tuple(edits), told if here else f"then: {told}", "error" if here else "warning")

    def on_field_editor_previewed(self, event: FieldEditor.Previewed) -> None:
        """The status line shows the change."""
        event.stop()
        self.tlimb.preview(event.edits)

    def on_field_editor_committed(self, event: FieldEditor.Committed) -> None:
        """Write it: one change of the text."""
        event.stop()
        number = self._number
        self._close()
        if event.edits:
            value = event.text or "taken away"
            self.tlimb.change(event.edits, f"{event.field.name} {value}")
            if self.tlimb.selected != number:
                self.tlimb.select(number)
        self.fill()

    def on_field_editor_dropped(self, event: FieldEditor.Dropped) -> None:
        """Leave it."""
        event.stop()
        self._close()

    def _close(self) -> None:
        self.tlimb.preview(None)
        had = self.query_one(FieldEditor).has_focus_within
        self.query_one(ContentSwitcher).current = "fields"
        if had:
            self._list.focus()

    # ------------------------------------------------------------------ actions
    def action_unset(self) -> None:
        """Take the value of a field away."""
        row = self._chosen()
        if not isinstance(row, Field):
            return
        outcome = self._attempt(row, "")
        if outcome.edits and outcome.severity != "error":
            self.tlimb.change(outcome.edits, f"{row.name} taken away")
        else:
            self.tlimb.say(outcome.message or "nothing to take away", severity="warning")
        self.fill()

    def action_sweep(self) -> None:
        """Sweep a field over values around its own."""
        row = self._chosen()
        if not isinstance(row, Field):
            return
        if axis_of(row.value) is not None:
            self._open(row)
            return
        self._open(row, _around(row))


def _around(field: Field) -> str:
    """Values to sweep a field over, to begin with."""
    value = field.value or field.default
    if field.of_layers:
        return f"[none, {value}, all]" if value not in ("none", "all") else "[none, all]"
    if field.choices and value in [choice.word for choice in field.choices]:
        return f"[{', '.join(choice.word for choice in field.choices[:3])}]"
    try:
        number: object = int(value)
    except ValueError:
        try:
            number = float(value)
        except ValueError:
            number = None
    return spread(number) or f"[{value}]"


def _touch(one: Span, other: Span) -> bool:
    return one.start <= other.end and other.start <= one.end


def _same(row: Row, other: Row | None) -> bool:
    if isinstance(row, Field) and isinstance(other, Field):
        return (row.group, row.name) == (other.group, other.name)
    return row == other
