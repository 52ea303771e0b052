"""A picture of many nodes made smaller: chains and siblings become one node each."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tlimb.drawing.picture import Link, Node, Picture

MANY = 100
"""Nodes from which a picture is collapsed where nobody says otherwise."""
PREFIX = "group:"
STEPS = " steps"


@dataclass(frozen=True, slots=True)
class Collapsed:
    """The smaller picture, and the ids of the nodes that each group of it stands for."""

    picture: Picture
    groups: Mapping[str, tuple[str, ...]]

    def shown(self, node: str) -> str:
        """Where a node of the whole picture is in the smaller one."""
        return next((group for group, members in self.groups.items() if node in members), node)


def collapse(picture: Picture, opened: Collection[str] = ()) -> Collapsed:
    """Fold chains, and then nodes and chains that link from and to the same ones.

    Args:
        opened: groups that stay open.
    """
    chains = _merged(Collapsed(picture, {}), _chains(picture), opened)
    return _merged(chains, _siblings(chains.picture), opened)


def _neighbours(picture: Picture) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """Parents and children of each node."""
    parents: dict[str, set[str]] = {node.id: set() for node in picture.nodes}
    children: dict[str, set[str]] = {node.id: set() for node in picture.nodes}
    for link in picture.links:
        parents[link.target].add(link.source)
        children[link.source].add(link.target)
    return {node: frozenset(some) for node, some in parents.items()}, {node: frozenset(some) for node, some in children.items()}


def _foldable(node: Node) -> bool:
    return node.kind in ("train", "evaluate")


def _chains(picture: Picture) -> Iterable[list[Node]]:
    """Nodes of which each is the only child of the one before it and has no other parent."""
    parents, children = _neighbours(picture)
    by_id = {node.id: node for node in picture.nodes}
    chain_of: dict[str, list[Node]] = {}
    for node in filter(_foldable, picture.nodes):
        above = next(iter(parents[node.id])) if len(parents[node.id]) == 1 else None
        if above in chain_of and children[above] == {node.id}:
            chain_of[node.id] = chain_of[above]
        else:
            chain_of[node.id] = []
        chain_of[node.id].append(by_id[node.id])
    return {id(chain): chain for chain in chain_of.values()}.values()


def _siblings(picture: Picture) -> Iterable[list[Node]]:
    parents, children = _neighbours(picture)
    found: dict[object, list[Node]] = {}
    for node in filter(_foldable, picture.nodes):
        found.setdefault((node.kind, parents[node.id], children[node.id]), []).append(node)
    return found.values()


def _merged(made: Collapsed, found: Iterable[list[Node]], opened: Collection[str]) -> Collapsed:
    """The picture with each of the lists as one node, in the place of its first."""
    groups = dict(made.groups)
    new: dict[str, Node] = {}
    of: dict[str, str] = {}
    for nodes in found:
        name = PREFIX + nodes[0].id.removeprefix(PREFIX)
        if len(nodes) < 2 or name in opened:
            continue
        members = tuple(member for node in nodes for member in groups.pop(node.id, (node.id,)))
        new[nodes[0].id] = _group(name, nodes, len(members))
        of |= {node.id: name for node in nodes}
        groups[name] = members
    kept = tuple(new.get(node.id, node) for node in made.picture.nodes if node.id not in of or node.id in new)
    links: dict[tuple[str, str], Link] = {}
    for link in made.picture.links:
        source, target = of.get(link.source, link.source), of.get(link.target, link.target)
        if source != target:
            links[source, target] = Link(source, target, link.kind, link.label)
    return Collapsed(Picture(kept, tuple(links.values())), groups)


def _group(name: str, nodes: list[Node], count: int) -> Node:
    shared = [line for line in nodes[0].lines if not line.endswith(STEPS) and all(line in node.lines for node in nodes)]
    first, last = nodes[0].title.split(" … ")[0], nodes[-1].title.split(" … ")[-1]
    return Node(name, nodes[0].number, nodes[-1].kind, f"{first} … {last}", (f"{count}{STEPS}", *shared), sum(node.fold for node in nodes))
