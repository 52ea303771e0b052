"""Write what the program knows of itself into docs/errors.md, docs/components.md and the keys of docs/tui.md. `--check` only compares."""

import sys
from pathlib import Path

from tlimb.catalogue.keys import KEYS
from tlimb.catalogue.metrics import METRICS
from tlimb.catalogue.registry import load_catalogue
from tlimb.catalogue.verbs import CLAUSES, VERBS
from tlimb.errors import CODES
from tlimb_tui.actions import ACTIONS, SCOPES, keys_of

DOCS = Path(__file__).parent
KEYS_FROM = "<!-- keys: made from tui/tlimb_tui/actions.py by `make docs` -->"
KEYS_TO = "<!-- end of keys -->"


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


def tui() -> str:
    """The page of the app with its keys as they are."""
    lines = []
    for scope, heading in SCOPES.items():
        actions = [action for action in ACTIONS if action.scope == scope]
        lines += ["", f"**{heading}**", "", "| keys | does | name |", "| --- | --- | --- |"] if actions else []
        for action in actions:
            keys = " ".join(f"`{key}`" for key in keys_of(action, {}).split())
            lines.append(f"| {keys.replace('|', chr(92) + '|')} | {_cell(action.help)} | `{action.name}` |")
    page = (DOCS / "tui.md").read_text(encoding="utf-8")
    before, rest = page.split(KEYS_FROM, 1)
    return f"{before}{KEYS_FROM}\n" + "\n".join(lines).lstrip("\n") + f"\n\n{KEYS_TO}{rest.split(KEYS_TO, 1)[1]}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def main() -> int:
    """Write the pages, or say which are stale."""
    stale = []
    for name, text in (("errors.md", errors()), ("components.md", components()), ("tui.md", tui())):
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
