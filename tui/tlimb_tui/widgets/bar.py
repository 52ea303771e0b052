"""The line at the top: the recipe, the tabs, and how things stand."""

from typing import ClassVar

from textual import events
from textual.content import Content
from textual.style import Style

from tlimb_tui.views import View

TABS = {"edit": "Edit", "run": "Run", "results": "Results", "data": "Data", "configs": "YAML"}
"""The tabs in order, by the ids of their views."""

GOES = "goes"
"""Where the action of a part of the line stands in its style; Textual's own links have one colour for all."""


class Bar(View):
    """File, tabs, problems. Everything in it can be clicked."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"bar--tab", "bar--current", "bar--bad", "bar--good", "bar--name"}
    DEFAULT_CSS = """
    Bar {
        height: 1;
        background: $panel;
        color: $foreground;
        & > .bar--name { text-style: bold; }
        & > .bar--current { background: $primary; color: $background; text-style: bold; }
        & > .bar--bad { color: $text-error; }
        & > .bar--good { color: $foreground-muted; }
    }
    """

    def recipe_changed(self) -> None:
        self.refresh()

    def plan_changed(self) -> None:
        self.refresh()

    def states_changed(self) -> None:
        self.refresh()

    def tab_changed(self) -> None:
        """Another tab is shown."""
        self.refresh()

    def render(self) -> Content:
        """As much as there is room for: first goes what is said elsewhere too."""
        room = self.size.width
        for parts in (
            (self._file(long=True), self._tabs(), self._state(long=True), self._link("^p palette", "app.command_palette")),
            (self._file(long=True), self._tabs(), self._state(long=True)),
            (self._file(long=False), self._tabs(), self._state(long=True)),
            (self._file(long=False), self._tabs(), self._state(long=False)),
            (self._tabs(), self._state(long=False)),
        ):
            if sum(part.cell_length for part in parts) + len(parts) <= room:
                break
        else:
            parts = (self._tabs(names=False), self._state(long=False))
        last = parts[-1]
        spread = [parts[0], *(piece for part in parts[1:-1] for piece in (Content(" "), part))] if len(parts) > 2 else [parts[0]]
        gap = room - sum(part.cell_length for part in spread) - last.cell_length
        return Content.assemble(*spread, Content(" " * max(1, gap)), last)

    def _link(self, text: str, action: str, style: str = "") -> Content:
        look = self.get_visual_style(f"bar--{style}") if style else Style()
        return Content(text).stylize(look + Style.from_meta({GOES: action}))

    async def on_click(self, event: events.Click) -> None:
        """Do what was clicked."""
        event.stop()
        if action := event.style.meta.get(GOES):
            await self.run_action(action)

    def _file(self, *, long: bool) -> Content:
        workspace = self.tlimb.workspace
        name = str(workspace.path) if long and workspace.path is not None else workspace.name
        return self._link(f" {name}{' *' if workspace.dirty else ''} ", "app.open", "name")

    def _tabs(self, *, names: bool = True) -> Content:
        parts = []
        for number, (tab, label) in enumerate(TABS.items(), 1):
            current = tab == self.tlimb.tab
            text = f"{number} {label}" if names or current else str(number)
            text = f"[{text}]" if current else f" {text} "
            parts.append(self._link(text, f"app.tab_{tab}", "current" if current else "tab"))
        return Content.assemble(*parts)

    def _state(self, *, long: bool) -> Content:
        workspace = self.tlimb.workspace
        problems = workspace.problems
        sign = "!" if self.tlimb.ascii_only else "✖"
        parts = []
        if states := self.tlimb.states:
            running = len(states.runs)
            if running:
                text = f"{'*' if self.tlimb.ascii_only else '◐'} {states.progress:.0%}" + (" running" if long else "")
                parts.append(self._link(f" {text} ", "app.tab_run"))
        if problems:
            count = len(problems)
            text = f"{sign} {count} problem{'s' * (count != 1)}" if long else f"{sign}{count}"
            parts.append(self._link(f" {text} ", "app.problems", "bad"))
        elif workspace.reading:
            parts.append(self._link(" reading data " if long else " … ", "app.problems", "good"))
        elif long:
            parts.append(self._link(" no problems ", "app.problems", "good"))
        return Content.assemble(*parts)
