"""What there is to say of a data set, and of what is wrong with it, as coloured text."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from tlimb.catalogue.splits import Role
from tlimb.drawing.cells import plain
from tlimb.run.data import findings, look_lines
from tlimb.run.subjects import roles_text
from tlimb_tui.widgets.histogram import distributions

LISTED = 100
"""Findings of one kind that are listed."""


def overview_text(described: Mapping[str, Any], roles: Mapping[str, Role], width: int, colour: str, *, ascii_only: bool = False) -> Text:
    """Counts, roles in the recipe, problems in a word, and how labels are distributed.

    Args:
        described: See `tlimb.catalogue.listing.describe`.
        roles: Of participants in the recipe; empty where it does not use the data set.
        width: Columns there are.
        colour: Of bars.
        ascii_only: Without other characters.
    """
    said = Text()
    said.append(f"{described['name']}", style="bold")
    said.append(f" ({described['format']}): {described['participants']} participants, ")
    said.append(f"{described['with_image']} with images, {described['scans']} scans\n")
    if described["channels"] > 1:
        said.append(f"{described['channels']} images per scan\n")
    if described["groups"] != described["with_image"]:
        said.append(f"{described['groups']} families: their members share a role\n")
    if described["sites"]:
        said.append("sites: " + ", ".join(f"{site} {count}" for site, count in described["sites"].items()) + "\n")
    used = roles_text(roles)
    said.append(f"in this recipe: {used}\n" if used else "not used in this recipe\n", style="" if used else "dim")
    for kind, lines in findings(described, None).items():
        said.append(f"! {kind.replace('-', ' ')}: {len(lines)}\n", style="yellow")
    if not described["labels"]:
        said.append("no labels: there is nothing to learn from it but images\n", style="dim")
    said.append_text(distributions(described["labels"], width, colour, ascii_only=ascii_only))
    said.append(f"{described['root']}\n", style="dim")
    if described["source"]:
        said.append(f"described in {described['source']}", style="dim")
    return _plain(said) if ascii_only else said


def findings_text(described: Mapping[str, Any], inspected: Sequence[Mapping[str, Any]] | None, *, ascii_only: bool = False) -> Text:
    """What images look like and what is wrong; without `inspected` only what tables and names tell."""
    lines = [Text(line) for line in look_lines(inspected or [])]
    kinds = findings(described, inspected)
    for kind, messages in kinds.items():
        lines.append(Text(f"! {kind.replace('-', ' ')}: {len(messages)}", style="yellow"))
        lines += [Text(f"  {message}") for message in messages[:LISTED]]
        if len(messages) > LISTED:
            lines.append(Text(f"  … and {len(messages) - LISTED} more: tlimb data check {described['name']} --json"))
    if not kinds:
        lines.append(Text("no problems" + ("" if inspected is not None else " in its tables and names")))
    if inspected is None:
        lines.append(Text("\nc opens every image and looks for damaged, constant and copied ones", style="dim"))
    said = Text("\n").join(lines)
    return _plain(said) if ascii_only else said


def _plain(text: Text) -> Text:
    return Text("\n".join(map(plain, text.plain.splitlines())))
