"""What a docstring says of a component and of its arguments."""

import re


def first_sentence(document: str) -> str:
    """The first sentence of a docstring: the help of a component."""
    lines = [line for line in document.splitlines() if not line.startswith(("..", "  "))]
    paragraph = " ".join(lines).strip().split("  ")[0]
    return _clean(re.split(r"(?<=[.])\s", paragraph, maxsplit=1)[0])


def argument_texts(document: str) -> dict[str, str]:
    """The first paragraph about each argument of a Google-style (or Sphinx-style) docstring."""
    texts: dict[str, str] = {}
    name, indent = "", 0
    for line in document.splitlines():
        start = re.match(r"(\s+)(\w+)(?:\s*\([^:]*\))?:\s*(.*)", line)
        if start and (not name or len(start[1]) <= indent):
            name, indent = start[2], len(start[1])
            texts.setdefault(name, start[3].strip())
        elif name and line.strip() and len(line) - len(line.lstrip()) > indent and not texts[name].endswith("\0"):
            texts[name] += " " + line.strip()
        elif name and not line.strip():
            texts[name] += "\0"
        elif line and not line.startswith(" "):
            name = ""
    return {name: _clean(text.split("\0")[0]) for name, text in texts.items()}


def _clean(text: str) -> str:
    text = re.sub(r":\w+:`~?\.?([^`<]*?)(?:\s*<[^`]*>)?`", r"\1", text)
    return re.sub(r"\s+", " ", re.sub(r"`+|\*\*", "", text)).strip()
