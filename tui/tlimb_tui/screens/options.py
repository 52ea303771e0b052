"""How to run: engine, profile, jobs, threads."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, RadioButton, RadioSet

from tlimb.run.background import Options

ENGINES = {"local": "this machine", "nextflow": "Nextflow: clusters, clouds"}


class RunOptions(ModalScreen[Options | None]):
    """A small form; escape changes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]
    DEFAULT_CSS = """
    RunOptions { align: center middle; }
    RunOptions > Vertical {
        width: 64; max-width: 100%; height: auto; max-height: 100%; padding: 0 1; border: round $primary; background: $surface;
    }
    RunOptions RadioSet { border: none; width: 1fr; padding: 0; height: auto; background: $surface; }
    RunOptions .line { height: 1; }
    RunOptions .line Label { width: 10; }
    RunOptions .line Input { width: 1fr; }
    RunOptions .hint { color: $text-muted; height: auto; }
    RunOptions .problem { color: $text-error; height: auto; }
    RunOptions .foot { height: auto; align-horizontal: right; }
    RunOptions Button { margin-left: 1; min-width: 8; }
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    def compose(self) -> ComposeResult:
        options = self.options
        with Vertical() as box:
            box.border_title = "how to run"
            with RadioSet(id="engine"):
                for name, words in ENGINES.items():
                    yield RadioButton(f"{name} ({words})", value=name == options.engine, id=name)
            for name, value, hint in (
                ("jobs", options.jobs, "stages at a time; as many as cores or GPUs allow"),
                ("threads", options.threads, "CPU threads of a stage; cores divided by jobs"),
                ("profile", options.profile, "of Nextflow: standard, slurm, slurm,apptainer …"),
            ):
                with Horizontal(classes="line"):
                    yield Label(name)
                    yield Input("" if value is None else str(value), placeholder=hint, id=name, compact=True)
            yield Label("", id="problem", classes="problem", markup=False)
            with Horizontal(classes="foot"):
                yield Button("Take it", id="take", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        self._arrange()

    def on_radio_set_changed(self, event: RadioSet.Changed) -> None:
        """What the engine has no use for is dim."""
        event.stop()
        self._arrange()

    def _arrange(self) -> None:
        nextflow = self._engine() == "nextflow"
        for name in ("jobs", "threads"):
            self.query_one(f"#{name}", Input).disabled = nextflow
        self.query_one("#profile", Input).disabled = not nextflow

    def _engine(self) -> str:
        pressed = self.query_one(RadioSet).pressed_button
        return str(pressed.id) if pressed is not None else self.options.engine

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take it."""
        event.stop()
        self._take()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take it, or not."""
        event.stop()
        if event.button.id == "take":
            self._take()
        else:
            self.dismiss(None)

    def _take(self) -> None:
        nextflow = self._engine() == "nextflow"
        numbers: dict[str, int | None] = {"jobs": None, "threads": None}
        for name in () if nextflow else numbers:
            text = self.query_one(f"#{name}", Input).value.strip()
            if text and not (text.isdecimal() and int(text) > 0):
                self.query_one("#problem", Label).update(f"{name}: '{text}' is not a whole number above 0")
                self.query_one(f"#{name}", Input).focus()
                return
            numbers[name] = int(text) if text else None
        profile = self.query_one("#profile", Input).value.strip() if nextflow else ""
        self.dismiss(Options(engine=self._engine(), profile=profile, **numbers))  # type: ignore[arg-type]
