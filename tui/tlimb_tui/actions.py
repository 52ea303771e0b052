"""Every key of the app and what it does: bindings, help screen, command palette and docs/tui.md are made from this table.

An action of scope ``edit`` is handled by ``action_<id>`` of the widget that binds that scope (see `bindings`), one of scope ``app`` by
the app. Keys are Textual's names, parted by commas; the first is the one that is shown. A user's own keys: `tlimb_tui.keymap`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType
from textual.keys import format_key

Scope = Literal["app", "edit", "graph", "editor", "inspector", "problems", "run", "results", "data", "scan", "configs"]

SCOPES: dict[Scope, str] = {
    "app": "Everywhere",
    "edit": "Edit: graph and inspector",
    "graph": "Edit: moving in the graph",
    "editor": "Edit: the text",
    "inspector": "Edit: the inspector",
    "problems": "Edit: the list of problems",
    "run": "Run",
    "results": "Results",
    "data": "Data",
    "scan": "Data: the scan",
    "configs": "YAML and Nextflow",
}
"""The scopes in the order of the help screen, with their headings."""

TAB_OF: dict[Scope, str] = {
    **dict.fromkeys(("edit", "graph", "editor", "inspector", "problems"), "edit"),
    **{scope: scope for scope in ("run", "results", "data", "configs")},
    "scan": "data",
}
"""The tab on which a scope is."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a user can do.

    Attributes:
        id: Its name: the handler is ``action_<id>``, and ``<scope>.<id>`` stands for it in a keymap.
        keys: Textual's key names, parted by commas; empty for what only the palette and the help screen offer.
        label: Two or three words, as at the bottom of the screen.
        help: One sentence.
        scope: Where the keys are bound.
        show: Whether it stands at the bottom of the screen.
        priority: Whether it comes before what the focused widget does with the key.
    """

    id: str
    keys: str
    label: str
    help: str
    scope: Scope
    show: bool = False
    priority: bool = False

    @property
    def name(self) -> str:
        """What a keymap calls it."""
        return f"{self.scope}.{self.id}"


ACTIONS: tuple[Action, ...] = (
    # ------------------------------------------------------------------ app (S)
    Action("tab_edit", "1,alt+1", "Edit", "Show the graph, the text and the inspector.", "app"),
    Action("tab_run", "2,alt+2", "Run", "Show what runs, and run the recipe.", "app"),
    Action("tab_results", "3,alt+3", "Results", "Show the ranking and the curves.", "app"),
    Action("tab_data", "4,alt+4", "Data", "Show the data sets of the catalogue.", "app"),
    Action("tab_configs", "5,alt+5", "YAML", "Show the configs and the Nextflow project that the recipe stands for.", "app"),
    Action("help", "question_mark,f1", "Keys", "Search all keys and actions; enter runs what is chosen.", "app", show=True),
    Action("open", "ctrl+o", "Open", "Open a recipe, or start a new one from a shipped one.", "app"),
    Action("save", "ctrl+s", "Save", "Save the recipe.", "app", show=True),
    Action("save_as", "", "Save as", "Save the recipe under another name.", "app"),
    Action("reload", "", "Reload", "Read the file and the data sets again; what was typed stays.", "app"),
    Action("change_theme", "", "Theme", "Choose a theme.", "app"),
    Action("change_light", "f9", "Light/dark", "Change between the light and the dark theme.", "app"),
    Action("next_pane", "f6", "Next pane", "Go to the next pane.", "app"),
    Action("quit", "ctrl+q", "Quit", "Leave; unsaved changes are asked about, a run goes on.", "app"),
    # ------------------------------------------------------------------ edit: problems, history, find (S)
    Action("next_problem", "full_stop,f8", "Next problem", "Go to the next problem of the recipe.", "edit"),
    Action("fix_problem", "comma,f7", "Fix it", "Apply the fix of the problem at the cursor, or of the next one that has one.", "edit"),
    Action("problems", "p", "Problems", "List all problems, or close the list.", "edit"),
    Action("find", "slash,ctrl+f", "Find", "Find a stage, or words in the text.", "edit", show=True),
    Action("undo", "u,ctrl+z", "Undo", "Take back the last change of the text, whoever made it.", "edit"),
    Action("redo", "ctrl+r,ctrl+y", "Redo", "Make the change again that was taken back.", "edit"),
    Action("inspect", "enter", "Inspector", "Open the selected statement in the inspector.", "edit"),
    Action("to_text", "t", "Text", "Go from the graph to the line of the selected statement.", "edit"),
    Action("to_graph", "escape", "Graph", "Go back to the graph.", "edit"),
    # ------------------------------------------------------------------ the text (S)
    Action("complete", "ctrl+@,ctrl+space", "Complete", "Offer what fits at the cursor.", "editor"),
    Action("select_all", "alt+a", "Select all", "Select the whole text.", "editor"),
    Action("toggle_comment", "ctrl+underscore,ctrl+slash", "Comment", "Turn the selected lines into comments, or back.", "editor"),
    # ------------------------------------------------------------------ graph (G)
    Action("go_right", "right,l", "To what follows", "Select the nearest stage that this one leads to.", "graph"),
    Action("go_left", "left,h", "To what it needs", "Select the nearest stage that this one needs.", "graph"),
    Action("go_up", "up,k", "Up", "Select the stage above.", "graph"),
    Action("go_down", "down,j", "Down", "Select the stage below.", "graph"),
    Action("cycle_parents", "left_square_bracket", "Next parent", "Go through the stages that this one needs.", "graph"),
    Action("cycle_children", "right_square_bracket", "Next child", "Go through the stages that this one leads to.", "graph"),
    Action("go_first", "home", "First", "Select the first stage.", "graph"),
    Action("go_last", "end", "Last", "Select the last stage.", "graph"),
    Action("activate", "enter", "Open", "Edit the stage in the inspector, or open a fold.", "graph", show=True),
    Action("toggle_mode", "v", "Boxes/rails", "Draw the graph as boxes, or as rails with one stage a row.", "graph"),
    Action("toggle_data", "x", "Data", "Draw the data sets and their edges, or leave them out.", "graph"),
    Action("toggle_folds", "z", "Fold", "Fold chains and siblings, or open the fold.", "graph"),
    # ------------------------------------------------------------------ edit: actions on the graph (E)
    Action("add", "a", "Add", "Add a statement after the selected one: what fits is offered, ready to be inserted.", "edit", show=True),
    Action("insert", "i", "Insert", "Put a stage on the link into the selected one.", "edit"),
    Action("connect", "c", "Connect", "Choose what the selected stage continues; tab: what continues it.", "edit", show=True),
    Action(
        "delete", "d,delete", "Delete", "Delete the selected statement; what continued it continues what stands above.", "edit", show=True
    ),
    Action("rename", "r", "Rename", "Give the selected stage a name; all references follow.", "edit"),
    Action("duplicate", "ctrl+d", "Duplicate", "Put a copy behind the selected statement.", "edit"),
    Action("bypass", "b", "Bypass", "Make the selected statement a comment; what continued it continues what stands above.", "edit"),
    Action("bring_back", "B", "Bring back", "Make the nearest bypassed statement one again.", "edit"),
    Action("move_up", "alt+up,K", "Move up", "Move the selected statement above the one before it; stages continue what they did.", "edit"),
    Action("move_down", "alt+down,J", "Move down", "Move the selected statement below the one after it.", "edit"),
    Action("statements", "o", "Statements", "List all statements, those for the whole recipe too, to open one in the inspector.", "edit"),
    Action("unset", "delete,backspace", "Unset", "Take the value of a field away.", "inspector", show=True),
    Action("sweep", "s", "Sweep", "Sweep a field over values around its own.", "inspector", show=True),
    # ------------------------------------------------------------------ run, results, data, configs (R)
    Action("run_all", "R", "Run all", "Run what is not finished, in the background: leaving does not stop it.", "app"),
    Action("run_stage", "f5", "Run stage", "Run the selected stage and what it needs.", "app", show=True),
    Action("stop", "s", "Stop", "Stop the run: it saves what is unfinished; a second time it ends at once.", "run", show=True),
    Action("fold", "space,enter", "Open", "Open a step into its stages, or close it.", "run"),
    Action("metric", "m", "Metric", "Draw the next metric of the stage.", "run", show=True),
    Action("table", "t", "Table", "Show the curves as a table, or back.", "run"),
    Action("log", "l", "Log", "On narrow screens: the log in place of the curves, or back.", "run"),
    Action("options", "o", "How to run", "Choose the engine, its profile, and how many stages at a time.", "run", show=True),
    Action("edit", "e", "Edit", "Go to the statement of the stage.", "run"),
    Action("mark", "space", "Mark", "Mark the row, so that its curves are drawn, or take the mark away.", "results", show=True),
    Action("by", "b", "Rank by", "Choose the validation metric that orders the rows.", "results", show=True),
    Action("metric", "m", "Metric", "Draw the next metric of the marked rows.", "results", show=True),
    Action("table", "t", "Table", "Show the curves as a table, or back.", "results"),
    Action("detail", "d", "Detail", "On narrow screens: the row in detail in place of the curves, or back.", "results"),
    Action("report", "w", "Report", "Write the report: one HTML file that holds all it shows.", "results", show=True),
    Action("open_report", "O", "Open report", "Open the report in the browser.", "results"),
    Action("check", "c", "Check", "Open every image of the data set and say what is wrong; again to stop.", "data", show=True),
    Action("add", "a", "Add a folder", "Describe a folder of images or a table in datasets.yaml.", "data", show=True),
    Action("page", "v", "Next page", "Overview, participants, scan, findings: the next one.", "data", show=True),
    Action("look_right", "right,l", "Right", "Move the place that is looked at to the subject's right.", "scan"),
    Action("look_left", "left,h", "Left", "Move it to the subject's left.", "scan"),
    Action("look_front", "up,k", "Front", "Move it to the front; of time series to the region above.", "scan"),
    Action("look_back", "down,j", "Back", "Move it to the back; of time series to the region below.", "scan"),
    Action("look_up", "pageup,plus", "Up", "Move it up.", "scan"),
    Action("look_down", "pagedown,minus", "Down", "Move it down.", "scan"),
    Action("look_middle", "home", "Middle", "Look at the middle.", "scan"),
    Action("next_volume", "right_square_bracket", "Next volume", "The next volume of a file with several.", "scan"),
    Action("last_volume", "left_square_bracket", "Volume before", "The volume before.", "scan"),
    Action("next_channel", "n", "Next image", "The next image of a scan with several.", "scan"),
    Action("page", "v", "YAML/Nextflow", "The stage's config, or the Nextflow process whose task it is.", "configs", show=True),
    Action("go", "enter", "Go there", "Go to the words of the recipe that the line comes from.", "configs", show=True),
    Action("copy", "y", "Copy", "Copy what is selected, or the whole text.", "configs", show=True),
    Action("write", "w", "Write", "Write the text to a file.", "configs", show=True),
)


def bindings(scope: Scope) -> list[Binding]:
    """The ``BINDINGS`` of the widget that handles a scope."""
    return [
        Binding(action.keys, action.id, action.label, show=action.show, priority=action.priority, id=action.name, tooltip=action.help)
        for action in ACTIONS
        if action.scope == scope and action.keys
    ]


def without_taken(own: Iterable[BindingType], *scopes: Scope) -> list[Binding]:
    """Bindings of a library's text field without the function and control keys that actions of these scopes have."""
    taken = {key.strip() for action in ACTIONS if action.scope in scopes for key in action.keys.split(",")}
    return [
        binding
        for binding in Binding.make_bindings(own)
        if binding.key not in taken or not ("+" in binding.key or re.fullmatch(r"f\d+", binding.key))
    ]


def action_of(name: str) -> Action:
    """The action that a keymap calls so."""
    return next(action for action in ACTIONS if action.name == name)


def keys_of(action: Action, keymap: Mapping[str, str]) -> str:
    """How the keys of an action are written, with a user's own keys."""
    return " ".join(key_text(key) for key in keymap.get(action.name, action.keys).split(",") if key.strip())


def key_text(key: str, *, ascii_only: bool = False) -> str:
    """How a key is written: ``^s``, ``f5``, ``.``."""
    *modifiers, last = key.strip().split("+")
    written = format_key(last)
    name = written if written.isascii() or not ascii_only else last
    return "".join("^" if modifier == "ctrl" else f"{modifier}+" for modifier in modifiers) + name
