"""Write the pages that are made from the program: docs/errors.md, docs/components.md, the keys in docs/tui.md. `--check` only compares."""

import sys
from pathlib import Path

from tlimb.catalogue.keys import KEYS
from tlimb.catalogue.metrics import METRICS
from tlimb.catalogue.registry import load_catalogue
from tlimb.catalogue.verbs import CLAUSES, VERBS
from tlimb.errors import CODES
from tlimb_tui.actions import ACTIONS, SCOPES, key_text

DOCS = Path(__file__).parent
KEYS_BEGIN, KEYS_END = "<!-- keys: made from tui/tlimb_tui/actions.py by make docs -->", "<!-- end of keys -->"


def errors() -> str:
    """One row per code."""
    rows = [f"| `{code}` | {text} |" for code, text in sorted(CODES.items())]
    return "\n".join(
        ["# Errors of a recipe", "", "Made from `tlimb/errors.py` by `make docs`.", "", "| code | meaning |", "| --- | --- |", *rows, ""]
    )


def components() -> str:
    """Statements, clauses, keys, metrics and every component with its arguments."""
    lines = ["# Components", "", "Made from the catalogue by `make docs`; the same as `tlimb explain WORD`.", ""]
    lines += ["## Statements", "", "| statement | usage | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{verb.word}` | `{_cell(verb.usage)}` | {_cell(verb.help)} |" for verb in VERBS.values()]
    lines += ["", "## Clauses", "", "| clause | meaning |", "| --- | --- |"]
    lines += [f"| `{word}` | {_cell(text)} |" for word, text in CLAUSES.items()]
    lines += ["", "## Keys", "", "| key | config path | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{key.word}` | `{key.path}` | {_cell(key.help)} |" for key in KEYS.values()]
    lines += ["", "## Metrics", "", "| metric | task | better | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| `{m.name}` | {m.task} | {'lower' if m.direction == 'min' else 'higher'} | {_cell(m.help)} |" for m in METRICS.values()]
    kind = ""
    for (of, word), component in load_catalogue().components.items():
        if of != kind:
            kind = of
            lines += ["", f"## {kind.capitalize()}"]
        preset = ", ".join(f"{key}={value!r}" for key, value in component.arguments.items())
        lines += ["", f"### `{word}`", "", f"{component.help}. `{component.class_path}`" + (f" with {preset}." if preset else "."), ""]
        if component.parameters:
            lines += ["| argument | type | default | meaning |", "| --- | --- | --- | --- |"]
            for p in component.parameters:
                default = "required" if p.required else f"`{p.default!r}`"
                lines.append(f"| `{p.name}` | `{_cell(p.type)}` | {_cell(default)} | {_cell(p.help)} |")
    return "\n".join([*lines, ""])


def app() -> str:
    """docs/tui.md with every key of the app."""
    before, _, rest = (DOCS / "tui.md").read_text(encoding="utf-8").partition(KEYS_BEGIN)
    lines = [KEYS_BEGIN]
    for scope, title in SCOPES.items():
        lines += ["", f"### {title}", "", "| keys | does | name |", "| --- | --- | --- |"]
        for action in (action for action in ACTIONS if action.scope == scope):
            keys = " ".join(f"`{_cell(key)}`" for key in map(key_text, filter(None, action.keys.split(","))))
            lines.append(f"| {keys or 'palette'} | {_cell(action.help)} | `{action.name}` |")
    return before + "\n".join([*lines, "", KEYS_END]) + rest.partition(KEYS_END)[2]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def main() -> int:
    """Write the pages, or say which are stale."""
    stale = []
    for name, text in (("errors.md", errors()), ("components.md", components()), ("tui.md", app())):
        file = DOCS / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                file.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"stale: {', '.join(stale)}; run make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
