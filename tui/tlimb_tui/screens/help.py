"""All keys and actions, made from the registry; enter runs what is chosen."""

from collections.abc import Sequence

from textual.content import Content

from tlimb_tui.actions import ACTIONS, SCOPES, Action, keys_of
from tlimb_tui.keymap import keymap_file
from tlimb_tui.screens.chooser import Chooser, Row


class Help(Chooser[Action]):
    """The help screen."""

    TITLE_TEXT = "keys and actions"
    PROMPT = "what do you want to do? type a word or a key"
    FOOT = "enter runs it · esc goes back"

    def __init__(self, keymap: dict[str, str]) -> None:
        super().__init__()
        self.keymap = keymap

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("Vertical").border_subtitle = f"your own keys: {keymap_file()}"

    def rows(self, wanted: str) -> Sequence[Row[Action]]:
        """Actions by scope."""
        found: list[Row[Action]] = []
        words = wanted.casefold().split()
        for scope, heading in SCOPES.items():
            found.append(Row(Content.styled(heading, "bold $text-primary")))
            for action in ACTIONS:
                keys = keys_of(action, self.keymap)
                text = f"{keys} {action.label} {action.help} {heading}".casefold()
                if action.scope == scope and all(word in text for word in words):
                    found.append(
                        Row(Content.assemble((f"  {keys:<12} ", "$text-accent"), (f"{action.label:<16} ", "bold"), action.help), action)
                    )
        return found
