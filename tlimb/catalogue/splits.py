"""Which participant trains, validates and tests: subject-level roles from hashes, equal in every stage of a recipe."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tlimb.catalogue.tables import did_you_mean
from tlimb.errors import InputError

RoleName = Literal["train", "val", "test"]
ROLES: tuple[RoleName, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Split:
    """How one data set is divided.

    `parts` are disjoint: an integer is a number of participants, a float a fraction of them. `val` and `test` are fractions of every part
    that is not itself named train, val or test.
    """

    parts: tuple[tuple[str, int | float], ...] = ()
    val: float = 0.15
    test: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        names = [name for name, _ in self.parts]
        fractions = sum(amount for _, amount in self.parts if isinstance(amount, float))
        if repeated := {name for name in names if names.count(name) > 1}:
            raise InputError(f"split: part '{sorted(repeated)[0]}' stands twice", "part names are unique")
        for name, amount in self.parts:
            if amount <= 0 or (isinstance(amount, float) and amount > 1):
                raise InputError(f"split: part '{name}' has the amount {amount}", "write a count (500) or a fraction between 0 and 1 (0.5)")
        if fractions > 1 + 1e-9:
            raise InputError(f"split: the fractions of the parts add up to {fractions:g}", "they may add up to 1 at most")
        if min(self.val, self.test) < 0 or self.val + self.test >= 1:
            raise InputError(f"split: val {self.val:g} and test {self.test:g} leave nobody to train on", "they must add up to less than 1")

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Split":
        """From the `split` of a `stage.yaml`: ``{parts: [[base, 100]], val: 0.15, test: 0.15, seed: 0}``, all optional."""
        known = {"parts", "val", "test", "seed"}
        for key in document.keys() - known:
            raise InputError(f"split: unknown key '{key}'", did_you_mean(key, known))
        values = dict(document)
        return cls(**{**values, "parts": tuple((str(name), amount) for name, amount in values.get("parts") or ())})

    def document(self) -> dict[str, Any]:
        """The inverse of `read`: plain lists and numbers."""
        return {"parts": [[name, amount] for name, amount in self.parts], "val": self.val, "test": self.test, "seed": self.seed}


@dataclass(frozen=True, slots=True)
class Role:
    """What one participant is used for."""

    part: str | None
    role: RoleName


def assign(participants: Mapping[str, str], split: Split) -> dict[str, Role]:
    """The role of each participant, in hash order.

    Each group draws u in [0, 1) as a SHA-256 of (seed, purpose, group), so it does not matter which others there are: with fractions,
    adding participants changes nobody's role. Parts by count take groups in order of u, so a smaller count is a subset of a larger one.

    Args:
        participants: Group (family, or the participant itself) by participant id; a group's members get the same part and role.
        split: The parts and fractions.

    Raises:
        InputError: the parts ask for more participants than there are.
    """
    members: dict[str, list[str]] = {}
    for participant, group in sorted(participants.items()):
        members.setdefault(group, []).append(participant)
    draws = {group: _draw(split.seed, "part", group) for group in members}
    ordered = sorted(members, key=lambda group: (draws[group], group))
    parts = _parts(ordered, draws, members, split)
    named = {name for name, _ in split.parts}
    test = 0.0 if "test" in named else split.test
    val = 0.0 if "val" in named else split.val
    return {
        participant: Role(parts.get(group), _role(parts.get(group), group, split.seed, val, test))
        for group in ordered
        for participant in members[group]
    }


def select(
    roles: Mapping[str, Role], part: str | None, role: RoleName, n: int | None = None, among: Collection[str] | None = None
) -> list[str]:
    """The participants a stage on `part` uses in `role`, in hash order.

    Every part shares the participants of a part named val (test); the part train also takes those that no part claims. Without `part`, all
    of the data set.

    Args:
        roles: What `assign` returns.
        part: A part of the data set, or None for all.
        role: train, val or test.
        n: Only the first n: the participants of n = 50 are among those of n = 100.
        among: Only these participants, e.g. those with a label.
    """
    shared: tuple[str | None, ...] = (part,)
    if role != "train" and part not in ("val", "test"):
        shared = (part, role, None) if part == "train" else (part, role)
    chosen = [
        participant
        for participant, info in roles.items()
        if info.role == role and (part is None or info.part in shared) and (among is None or participant in among)
    ]
    return chosen if n is None else chosen[:n]


def _parts(ordered: list[str], draws: Mapping[str, float], members: Mapping[str, list[str]], split: Split) -> dict[str, str]:
    """Part by group: fractions take fixed intervals at the upper end of u, counts the first groups below them that fit."""
    parts: dict[str, str] = {}
    upper = 1.0
    for name, amount in reversed(split.parts):
        if isinstance(amount, float):
            lower = upper - amount
            inside = {group for group in ordered if lower - 1e-12 <= draws[group] < upper}
            parts.update(dict.fromkeys(inside - parts.keys(), name))
            upper = lower
    total = sum(map(len, members.values()))
    free = sum(len(members[group]) for group in ordered if group not in parts)
    counts = [(name, int(amount)) for name, amount in split.parts if not isinstance(amount, float)]
    asked = sum(amount for _, amount in counts)
    if asked > free:
        listed = ", ".join(f"{name} {amount}" for name, amount in split.parts)
        left = "" if free == total else f", {free} outside the parts given as fractions"
        raise InputError(
            f"split: {listed} asks for {asked} participants, but there are {total}{left}", "ask for fewer, or give fractions (0.5)"
        )
    for name, amount in counts:
        room = amount
        for group in ordered:
            if group not in parts and len(members[group]) <= room:
                parts[group] = name
                room -= len(members[group])
    return parts


def _role(part: str | None, group: str, seed: int, val: float, test: float) -> RoleName:
    if (named := next((role for role in ROLES if role == part), None)) is not None:
        return named
    u = _draw(seed, "role", group)
    return "test" if u < test else "val" if u < test + val else "train"


def _draw(seed: int, purpose: str, group: str) -> float:
    digest = hashlib.sha256(f"{seed}\0{purpose}\0{group}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
