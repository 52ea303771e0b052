"""What can be added: every statement of the language, those that fit with a text that is right at once, the others with the reason."""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tlimb.recipe.offers import Offer
from tlimb.recipe.trial import Line


class AddPalette(ModalScreen[Offer | None]):
    """A list to choose a statement from. The lines below it are what the text will be."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Add", priority=True),
        Binding("escape", "dismiss(None)", "Close", priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(8)", show=False, priority=True),
        Binding("pageup", "move(-8)", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    AddPalette { align: center top; background: $background 40%; }
    AddPalette > Vertical {
        width: 96; max-width: 100%; height: auto; max-height: 100%; margin-top: 1; padding: 0 1;
        border: round $primary; background: $surface;
    }
    AddPalette Input { height: 1; border: none; padding: 0; background: $boost; }
    AddPalette OptionList {
        height: auto; max-height: 60vh; border: none; padding: 0; background: transparent; text-wrap: nowrap; text-overflow: ellipsis;
    }
    AddPalette #told { height: auto; max-height: 25vh; margin-top: 1; color: $text-muted; }
    """

    class Found(Message, bubble=False):
        """The offers were made in a thread."""

        def __init__(self, offers: Sequence[Offer]) -> None:
            super().__init__()
            self.offers = offers

    def __init__(self, title: str, find: Callable[[], Sequence[Offer]], preview: Callable[[Offer | None], None]) -> None:
        """Make it.

        Args:
            title: What is added to.
            find: The offers; it may read data sets, and so is called in a thread.
            preview: Told which offer is highlighted.
        """
        super().__init__()
        self._title, self._find, self._preview = title, find, preview
        self.offers: Sequence[Offer] | None = None
        self._shown: list[Offer] = []

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self._title
            box.border_subtitle = "type to find · ↑↓ · enter adds · esc"
            yield Input(placeholder="what to add", compact=True)
            options = OptionList(markup=False)
            options.can_focus = False
            yield options
            yield Static(id="told", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._list()
        self.run_worker(lambda: self.post_message(self.Found(self._find())), thread=True)

    def on_add_palette_found(self, message: Found) -> None:
        """Show the offers."""
        self.offers = message.offers
        self._list()

    @property
    def highlighted(self) -> Offer | None:
        """The offer at the cursor."""
        place = self.query_one(OptionList).highlighted
        return self._shown[place] if place is not None and place < len(self._shown) else None

    def _list(self) -> None:
        options = self.query_one(OptionList)
        wanted = self.query_one(Input).value.strip().casefold()
        options.clear_options()
        if self.offers is None:
            options.add_option(Option("looking at the data sets …", disabled=True))
            return
        self._shown = sorted(
            (offer for offer in self.offers if wanted in f"{offer.word} {offer.help} {offer.statement}".casefold()),
            key=lambda offer: (not offer.word.startswith(wanted), bool(offer.reason)),
        )
        options.add_options(Option(_row(offer)) for offer in self._shown)
        if not self._shown:
            options.add_option(Option("nothing is called so", disabled=True))
        options.highlighted = 0 if self._shown else None
        self._tell()

    def _tell(self) -> None:
        """Show what the highlighted offer would write."""
        offer = self.highlighted
        self._preview(offer)
        told: list[Content] = []
        if offer is not None:
            told.append(Content(f"{offer.help} {offer.usage}" if offer.usage not in offer.help else offer.help))
            if offer.trial is not None:
                told += list(diff(offer.trial.lines))
        self.query_one("#told", Static).update(Content("\n").join(told))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Find anew."""
        event.stop()
        self._list()

    def action_move(self, step: int) -> None:
        """Go up or down."""
        options = self.query_one(OptionList)
        if self._shown:
            options.highlighted = max(0, min(len(self._shown) - 1, (options.highlighted or 0) + step))
            self._tell()

    def action_choose(self) -> None:
        """Add it, if it fits."""
        offer = self.highlighted
        if offer is None or offer.trial is None:
            self.app.bell()
            return
        self.dismiss(offer)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click adds."""
        event.stop()
        self._tell()
        self.action_choose()


def _row(offer: Offer) -> Content:
    if offer.reason:
        return Content.styled(f"{offer.word:<14} {offer.reason}", "$foreground-disabled")
    return Content.assemble((f"{offer.word:<14} ", "bold"), offer.statement)


def diff(lines: Sequence[Line], most: int = 6) -> Iterator[Content]:
    """Lines that go and come, in their colours."""
    for line in lines[:most]:
        style = "$text-error" if line.sign == "-" else "$text-success"
        yield Content.styled(f"{line.number:>4} {line.sign} {line.text}", style)
    if len(lines) > most:
        yield Content.styled(f"     … {len(lines) - most} more lines", "$foreground-muted")
