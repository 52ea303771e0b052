"""The command palette: every action of the registry by its words."""

from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tlimb_tui.actions import ACTIONS, SCOPES, Action, keys_of

if TYPE_CHECKING:
    from tlimb_tui.app import TlimbApp


class ActionCommands(Provider):
    """The actions."""

    async def search(self, query: str) -> Hits:
        """Those that fit what is typed."""
        matcher = self.matcher(query)
        for action in ACTIONS:
            text = self._text(action)
            if (score := matcher.match(text)) > 0:
                yield Hit(score, matcher.highlight(text), partial(self._run, action), help=action.help)

    async def discover(self) -> Hits:
        """All of them."""
        for action in ACTIONS:
            yield DiscoveryHit(self._text(action), partial(self._run, action), help=action.help)

    @property
    def _app(self) -> "TlimbApp":
        return cast("TlimbApp", self.app)

    def _text(self, action: Action) -> str:
        keys = keys_of(action, self._app.user_keys.keys)
        return f"{action.label} · {SCOPES[action.scope].partition(':')[0]}" + (f"  {keys}" if keys else "")

    def _run(self, action: Action) -> None:
        self.app.call_later(self._app.run_named, action)
