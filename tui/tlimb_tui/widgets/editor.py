"""The text of the recipe: typed with colours, problems underlined, the selected statement marked, and completions."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.document._document import EditResult, Location, Selection
from textual.document._document_navigator import DocumentNavigator
from textual.document._edit import Edit as TextEdit
from textual.document._wrapped_document import WrappedDocument
from textual.geometry import Offset
from textual.strip import Strip
from textual.widgets import TextArea

from tlimb.catalogue.verbs import CLAUSES, VERBS
from tlimb.errors import Diagnostic, Edit, Span
from tlimb.recipe.complete import Completion, complete
from tlimb.recipe.patch import apply
from tlimb_tui.actions import bindings, without_taken
from tlimb_tui.document import RecipeDocument
from tlimb_tui.highlight import comments, words
from tlimb_tui.merge import difference
from tlimb_tui.views import View
from tlimb_tui.widgets.completion import CompletionList

if TYPE_CHECKING:
    from tlimb_tui.workspace import Workspace

_STEPS = 1000
"""Changes that can be taken back."""
_BETWEEN = ("by", "in", "for", "only")
_OPENS = re.compile(rf"(?:[.=(\[,]\s*|(?<![\w.])(?:{'|'.join((*VERBS, *CLAUSES, *_BETWEEN))})[ \t]+)\Z")
"""Where it helps to show what can follow though nothing is typed yet."""


class RecipeEditor(TextArea, View, inherit_bindings=False):
    """The text; every change of a recipe goes through it, so that undo takes back everything."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("editor"), *without_taken(TextArea.BINDINGS, "app", "edit", "editor")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"recipe--{kind}"
        for kind in ("verb", "clause", "key", "number", "string", "constant", "comment", "sign", "error", "warning", "mark")
    }
    DEFAULT_CSS = """
    RecipeEditor {
        padding: 0;
        & .recipe--verb { color: $text-primary; text-style: bold; }
        & .recipe--clause { color: $text-accent; }
        & .recipe--key { color: $text-secondary; }
        & .recipe--number { color: $text-warning; }
        & .recipe--string { color: $text-success; }
        & .recipe--constant { color: $text-warning; }
        & .recipe--comment { color: $foreground-muted; text-style: italic; }
        & .recipe--sign { color: $foreground-muted; }
        & .recipe--error { color: $text-error; text-style: underline; }
        & .recipe--warning { text-style: underline; }
        & .recipe--mark { color: $primary; }
    }
    """

    def __init__(self, text: str, *, id: str | None = None) -> None:
        super().__init__(text, id=id, show_line_numbers=True, max_checkpoints=_STEPS, highlight_cursor_line=False)
        self._typed = False
        self._offered_at = -1

    @property
    def workspace(self) -> "Workspace":
        """The recipe."""
        return self.tlimb.workspace

    # ------------------------------------------------------------------ document
    def _set_document(self, text: str, language: str | None) -> None:
        """As in TextArea, with a document that keeps the file's characters."""
        self.document = RecipeDocument(text)
        self.wrapped_document = WrappedDocument(self.document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        self._build_highlight_map()
        self.move_cursor((0, 0))
        self._rewrap_and_refresh_virtual_size()

    def _watch_language(self, language: str | None) -> None:
        """The colours come from the recipe's own grammar; TextArea would load the text anew here."""

    def _recompute_cursor_offset(self) -> None:
        """As in TextArea, which asks for a line that an undo has taken away if a scrollbar comes or goes with it."""
        row, column = self.cursor_location
        place = (row, column) if row < self.document.line_count else self.document.end
        self._cursor_offset = self.wrapped_document.location_to_offset(place)

    @property
    def exact(self) -> RecipeDocument:
        """The document, by its type."""
        return cast(RecipeDocument, self.document)

    def _replace_via_keyboard(self, insert: str, start: Location, end: Location) -> EditResult | None:
        """What is typed or pasted ends its lines as the file does."""
        return super()._replace_via_keyboard(
            insert.replace("\r\n", "\n").replace("\r", "\n").replace("\n", self.document.newline), start, end
        )

    def apply(self, edits: Sequence[Edit]) -> None:
        """Make edits of the text as one step of the history."""
        first, last = min(edit.span.start for edit in edits), max(edit.span.end for edit in edits)
        start, end = self.exact.get_location_from_index(first), self.exact.get_location_from_index(last)
        first, last = self.exact.get_index_from_location(start), self._after(end, last)
        after, _ = apply(self.text, edits)
        if after == self.text:
            return
        new = after[first : len(after) - (len(self.text) - last)]
        self.history.checkpoint()
        self.edit(TextEdit(new, start, self.exact.get_location_from_index(last), maintain_selection_offset=True))
        self.history.checkpoint()

    def _after(self, location: Location, offset: int) -> int:
        """The offset itself, or the one after the line ending that it is within."""
        at = self.exact.get_index_from_location(location)
        return offset if at == offset else at + len(self.text[at : at + 2])

    def take(self, text: str) -> None:
        """Replace the whole text as one step of the history."""
        if text != self.text:
            self.apply([difference(self.text, text)])

    # ------------------------------------------------------------------ places
    @property
    def offset_of_cursor(self) -> int:
        """Where the cursor stands in the text."""
        return self.exact.get_index_from_location(self.cursor_location)

    def go(self, span: Span, *, select: bool = False) -> None:
        """Put the cursor at a span, or select it."""
        length = len(self.text)
        start = self.exact.get_location_from_index(min(span.start, length))
        end = self.exact.get_location_from_index(min(span.end, length)) if select else start
        self.history.checkpoint()
        self.selection = Selection(end, start)
        self.scroll_cursor_visible(center=True)

    # ------------------------------------------------------------------ the app's news
    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Tell the app."""
        event.stop()
        self.tlimb.text_changed(self.text)

    def on_text_area_selection_changed(self, event: TextArea.SelectionChanged) -> None:
        """Select the statement at the cursor."""
        event.stop()
        self.tlimb.cursor_moved(self.offset_of_cursor)
        if self.text == self.workspace.text and not self._typed and self.offset_of_cursor != self._offered_at:
            self.completions.close()

    def recipe_changed(self) -> None:
        """Show other problems, the mark at another place, and what fits at the cursor."""
        self._line_cache.clear()
        self.refresh()
        if self._typed:
            self._typed = False
            self._offer()
        else:
            self.completions.close()

    def selection_changed(self) -> None:
        """Move to the selected statement, if the cursor is elsewhere."""
        number = self.tlimb.selected
        if number is not None and self.workspace.statement_at(self.offset_of_cursor) != number and self.text == self.workspace.text:
            self.go(self.workspace.recipe.statements[number].span)
        self._line_cache.clear()
        self.refresh()

    # ------------------------------------------------------------------ drawing
    def get_line(self, line_index: int) -> Text:
        """A line with its colours."""
        line = super().get_line(line_index)
        start = self.exact.get_index_from_location((line_index, 0))
        end = start + len(line)
        if self.text == self.workspace.text:
            pieces = self.workspace.pieces
            for piece in pieces[max(0, bisect_right(pieces, start, key=lambda piece: piece.span.start) - 1) :]:
                if piece.span.start > end:
                    break
                for first, last, kind in words(piece.text):
                    if kind != "name":
                        self._paint(line, kind, piece.span.start + first - start, piece.span.start + last - start)
        for first, last, kind in comments(line.plain):
            line.stylize(self._style(kind), first, last)
        for problem in self.workspace.diagnostics if self.text == self.workspace.text else ():
            if problem.span.start <= end and start <= problem.span.end:
                self._paint(line, problem.severity, *self._seen(problem, start))
        return line

    @staticmethod
    def _seen(problem: Diagnostic, start: int) -> tuple[int, int]:
        """The columns of a problem, at least one."""
        return problem.span.start - start, max(problem.span.end, problem.span.start + 1) - start

    def _paint(self, line: Text, kind: str, first: int, last: int) -> None:
        if last > 0 and first <= len(line):
            line.stylize(self._style(kind), max(0, first), last)

    def _style(self, kind: str) -> Style:
        """The colour of a kind without its background, which may be that of a selection."""
        style = self.get_component_rich_style(f"recipe--{kind}")
        return Style(color=style.color, bold=style.bold, italic=style.italic, underline=style.underline)

    def render_line(self, y: int) -> Strip:
        """A line with the mark of the selected statement between its number and its text."""
        strip = super().render_line(y)
        number = self.tlimb.selected
        if number is None or number >= len(self.workspace.recipe.statements) or self.text != self.workspace.text:
            return strip
        place = self.scroll_offset.y + y
        lines = self.wrapped_document._offset_to_line_info
        if place >= len(lines):
            return strip
        span = self.workspace.recipe.statements[number].span
        start = self.exact.get_index_from_location((lines[place][0], 0))
        if not (start < span.end and span.start < start + max(1, len(self.document.get_line(lines[place][0])))):
            return strip
        width = self.gutter_width
        under = next(iter(strip.crop(width - 1, width)), Segment(" ")).style or Style()
        mark = Strip([Segment("|" if self.tlimb.ascii_only else "▌", under + self._style("mark"))])
        return Strip.join([strip.crop(0, width - 1), mark, strip.crop(width)])

    def notify_style_update(self) -> None:
        """Colours of another theme."""
        self._line_cache.clear()
        super().notify_style_update()

    # ------------------------------------------------------------------ keys
    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        """All that can be printed; Textual does not know the character of the slash."""
        return key == "slash" or super().check_consume_key(key, character)

    @property
    def completions(self) -> CompletionList:
        """What fits at the cursor."""
        return self.screen.query_one(CompletionList)

    def _offer(self, *, asked: bool = False) -> None:
        """Show what fits at the cursor, where it helps or is asked for."""
        offset = self._offered_at = self.offset_of_cursor
        found = self._fitting(offset)
        typed = self.text[found.span.start : offset]
        helps = asked or bool(typed) or _OPENS.search(self.text[:offset]) is not None
        exact = [choice.word for choice in found.choices] == [typed]
        x, y = self.cursor_screen_offset
        self.completions.offer(found.choices if helps and not exact else (), Offset(x - len(typed) - 1, y + 1))

    def _fitting(self, offset: int) -> Completion:
        workspace = self.workspace
        spans = [piece.span for piece in workspace.pieces]
        return complete(workspace.recipe, offset, workspace.catalogue, workspace.datasets, spans)

    def _complete(self, word: str) -> None:
        """Take a choice."""
        found = self._fitting(self.offset_of_cursor)
        self._typed = word.endswith(("=", "."))
        self.history.checkpoint()
        self._replace_via_keyboard(word, self.exact.get_location_from_index(found.span.start), self.cursor_location)
        self.history.checkpoint()
        self.completions.close()

    def action_complete(self) -> None:
        """Offer what fits here."""
        self._offer(asked=True)
        if not self.completions.display:
            self.tlimb.say("nothing fits here that is known")

    async def _on_key(self, event: events.Key) -> None:
        """Keys of the list where it is open; else what is typed is typed."""
        if event.key == "tab" and self.text != self.workspace.text:
            self.tlimb.text_changed(self.text)  # typed so fast that the list was not there yet
        chosen = self.completions.chosen
        if chosen is not None and event.key in ("up", "down", "tab", "enter", "escape"):
            if event.key == "enter" and not self.completions.moved:
                self.completions.close()
            else:
                event.stop()
                event.prevent_default()
                if event.key in ("up", "down"):
                    self.completions.move(1 if event.key == "down" else -1)
                elif event.key == "escape":
                    self.completions.close()
                else:
                    self._complete(chosen)
                return
        self._typed = event.is_printable or (event.key == "backspace" and chosen is not None)
        await super()._on_key(event)

    async def _on_mouse_move(self, event: events.MouseMove) -> None:
        """Say what is wrong under the mouse."""
        offset = self.exact.get_index_from_location(self.get_target_document_location(event))
        told = [f"{problem.message}\n{problem.hint}".strip() for problem in self._problems_at(offset)]
        self.tooltip = Content("\n\n".join(told)) if told else None
        await super()._on_mouse_move(event)

    def _problems_at(self, offset: int) -> list[Diagnostic]:
        found = self.workspace.problems
        return [problem for problem in found if problem.span.start <= offset < max(problem.span.end, problem.span.start + 1)]

    def on_blur(self) -> None:
        """The list goes with the cursor."""
        self.completions.close()

    def action_toggle_comment(self) -> None:
        """Comment the selected lines out, or in again where all of them are comments."""
        (first, _), (last, column) = sorted(self.selection)
        last -= last > first and column == 0
        rows = [row for row in range(first, last + 1) if self.document.get_line(row).strip()]
        edits = []
        marked = all(self.document.get_line(row).lstrip().startswith("#") for row in rows)
        for row in rows:
            line = self.document.get_line(row)
            start = self.exact.get_index_from_location((row, 0))
            if marked:
                place = start + line.index("#")
                edits.append(Edit(Span(place, place + (2 if line.lstrip().startswith("# ") else 1)), ""))
            else:
                edits.append(Edit(Span(start, start), "# "))
        self.tlimb.change(edits, "comment" if not marked else "no comment")
