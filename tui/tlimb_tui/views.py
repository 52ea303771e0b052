"""`View`: what every pane is, and how the app tells it of changes."""

from typing import TYPE_CHECKING, cast

from textual.widget import Widget

if TYPE_CHECKING:
    from tlimb_tui.app import TlimbApp


SHORT = 16
"""Rows below which the pane that has the keys has the screen."""


class View(Widget):
    """A pane. The app calls the hooks of all mounted views; each reads what it needs from ``self.tlimb``.

    A view that is not on the screen is told too: it may wait for `shown` with expensive work.
    """

    @property
    def tlimb(self) -> "TlimbApp":
        """The app, by its type."""
        return cast("TlimbApp", self.app)

    def recipe_changed(self) -> None:
        """The text of the recipe, and so its tree or its diagnostics, changed."""

    def plan_changed(self) -> None:
        """`workspace.plan` changed."""

    def states_changed(self) -> None:
        """`app.states` changed."""

    def selection_changed(self) -> None:
        """`app.selected` changed."""

    def shown(self) -> None:
        """The tab of this view was opened."""
