"""Random recipes: every strategy draws the tokens of a piece of text together with the tree it must give."""

import re
from typing import Any, TypeAlias

from hypothesis import strategies as st

Piece: TypeAlias = tuple[list[str], Any]

CLAUSE_WORDS = ("on", "using", "to", "with", "as", "from", "via", "freeze", "unfreeze", "elastic", "allow")
CONSTANTS = {"true": True, "false": False, "off": False, "none": None}

NAMES = ["ukb", "hcp", "x_1", "über", "Δt", "lr", "log", "in", "by", "at", "for", "into", "data", "sweep", "finetune", *CLAUSE_WORDS]
words = st.sampled_from(NAMES)
paths = st.tuples(st.lists(words, min_size=1, max_size=3), st.sampled_from(["", ".0.conv1"])).map(
    lambda drawn: ".".join(drawn[0]) + drawn[1]
)
counts = st.integers(0, 10**6)
numbers = st.one_of(counts, st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: float(f"{value:.4g}")))
texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)


def written(value: int | float) -> str:
    return repr(value)


def quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def separated(pieces: list[Piece], comma: str = ",") -> Piece:
    tokens: list[str] = []
    for place, (piece, _) in enumerate(pieces):
        tokens += [comma, *piece] if place else piece
    return tokens, tuple(tree for _, tree in pieces)


number = numbers.map(lambda value: ([written(value)], ("Number", value)))
text = texts.map(lambda value: ([quoted(value)], ("Text", value)))
size = st.lists(st.integers(0, 300), min_size=2, max_size=4).map(lambda sides: (["x".join(map(str, sides))], ("Size", tuple(sides))))
constant = st.sampled_from(sorted(CONSTANTS)).map(lambda word: ([word], ("Constant", word)))
word = paths.map(lambda name: ([name], ("Component", name, ())))


def arguments(values: st.SearchStrategy[Piece], min_size: int = 1) -> st.SearchStrategy[Piece]:
    pair = st.tuples(paths, values)
    return st.lists(pair, min_size=min_size, max_size=3).map(
        lambda entries: separated([([key, "=", *tokens], ("Argument", key, tree)) for key, (tokens, tree) in entries])
    )


def components(values: st.SearchStrategy[Piece]) -> st.SearchStrategy[Piece]:
    return st.tuples(paths, arguments(values, min_size=0)).map(
        lambda drawn: ([drawn[0], "(", *drawn[1][0], ")"], ("Component", drawn[0], drawn[1][1]))
    )


def lists(values: st.SearchStrategy[Piece], min_size: int = 0) -> st.SearchStrategy[Piece]:
    def make(drawn: tuple[list[Piece], bool]) -> Piece:
        tokens, trees = separated(drawn[0])
        return ["[", *tokens, *([","] if drawn[1] and tokens else []), "]"], ("Items", trees)

    return st.tuples(st.lists(values, min_size=min_size, max_size=3), st.booleans()).map(make)


simple = st.one_of(number, text, size, constant, word)
values = st.recursive(simple, lambda inner: st.one_of(lists(inner), components(inner)), max_leaves=4)
component = st.one_of(word, components(simple))


@st.composite
def targets(draw: st.DrawFn) -> Piece:
    pieces: list[Piece] = []
    for _ in range(draw(st.integers(1, 3))):
        dataset, label = draw(words), draw(st.none() | words)
        part, weight = draw(st.none() | words), draw(st.none() | st.integers(1, 9))
        tokens = [] if weight is None else [str(weight), "*"]
        if part is None:
            tokens.append(dataset if label is None else f"{dataset}.{label}")
        else:
            tokens += [dataset, "[", part, "]", *([] if label is None else [f".{label}"])]
        pieces.append((tokens, ("Target", dataset, part, label, weight)))
    return separated(pieces, "+")


@st.composite
def clause(draw: st.DrawFn, word: str) -> Piece:
    layer = st.one_of(paths.map(lambda name: ([name], ("Component", name, ()))), constant)
    tokens: list[str]
    tree: Any
    match word:
        case "on" | "using" | "to":
            tokens, tree = draw(targets())
        case "with":
            tokens, tree = draw(arguments(values))
        case "as":
            name = draw(words)
            tokens, tree = [name], ("Name", name)
        case "from":
            name = draw(words)
            tokens, tree = draw(st.sampled_from([([name], ("Name", name)), ([quoted(name)], ("Text", name))]))
        case "via":
            tokens, tree = draw(component)
        case "freeze":
            (tokens, layer_tree), only = draw(layer), draw(st.booleans())
            tokens, tree = [*(["only"] if only else []), *tokens], ("Freeze", layer_tree, only)
        case "unfreeze":
            (tokens, layer_tree), epoch, lr = draw(layer), draw(counts), draw(st.none() | st.floats(1e-6, 1, allow_nan=False))
            tokens = [*tokens, "at", str(epoch), *([] if lr is None else ["lr", written(lr)])]
            tree = ("Unfreeze", layer_tree, epoch, lr)
        case "elastic":
            tokens, tree = draw(st.one_of(number, constant))
        case _:
            reason = draw(texts)
            tokens, tree = ["overlap", quoted(reason)], ("Allow", ("Text", reason))
    return [word, *tokens], ("Clause", word, tree)


@st.composite
def training(draw: st.DrawFn) -> Piece:
    verb = draw(st.sampled_from(["train", "pretrain", "finetune", "multitask", "semisupervise", "adapt", "evaluate"]))
    architecture = draw(st.none() | component.filter(lambda piece: piece[0][0] not in CLAUSE_WORDS))
    clauses = [draw(clause(word)) for word in draw(st.lists(st.sampled_from(CLAUSE_WORDS), unique=True, max_size=4))]
    tokens = [verb, *(architecture[0] if architecture else []), *(token for piece, _ in clauses for token in piece)]
    return tokens, ("Training", verb, architecture[1] if architecture else None, tuple(tree for _, tree in clauses))


@st.composite
def setting(draw: st.DrawFn) -> Piece:
    path = draw(paths)
    match draw(st.sampled_from(["tlr", "about", "data", "augment", "split", "set", "sweep", "range", "search", "repeat", "rank"])):
        case "tlr":
            return ["tlr", "1"], ("Version", 1)
        case "about":
            tokens, tree = draw(arguments(values))
            return ["about", *tokens], ("About", tree)
        case "data":
            (tokens, tree), dataset = draw(component), draw(st.none() | words)
            return ["data", *tokens, *([] if dataset is None else ["for", dataset])], ("Data", tree, dataset)
        case "augment":
            tokens, tree = separated(draw(st.lists(component, min_size=1, max_size=3)))
            return ["augment", *tokens], ("Augment", tree)
        case "split":
            dataset, drawn = draw(words), draw(st.lists(st.tuples(words, numbers), min_size=1, max_size=3))
            tokens, tree = separated([([name, written(amount)], ("Part", name, amount)) for name, amount in drawn])
            return ["split", dataset, "into", *tokens], ("Split", dataset, tree)
        case "set":
            tokens, tree = draw(values)
            return ["set", path, "=", *tokens], ("Set", path, tree)
        case "sweep":
            tokens, tree = draw(lists(values, min_size=1))
            return ["sweep", path, "in", *tokens], ("Sweep", path, tree)
        case "range":
            low, high, log = draw(numbers), draw(numbers), draw(st.booleans())
            tokens = ["sweep", path, "in", written(low), "..", written(high), *(["log"] if log else [])]
            return tokens, ("Sweep", path, ("Range", low, high, log))
        case "search":
            trials, metric = draw(st.none() | counts), draw(st.none() | paths)
            pieces, (_, method, given_) = draw(component)
            tokens = ["search", *pieces, *([] if trials is None else [str(trials)]), *([] if metric is None else ["by", metric])]
            return tokens, ("Search", method, trials, metric, given_)
        case "repeat":
            return ["repeat", "3"], ("Repeat", 3)
        case _:
            return ["rank", "by", path], ("Rank", path)


statements = st.one_of(training(), setting())
GAPS = ("", " ", "   ", "\t", "\n  ", '  # it\'s "here" ; [\n\t', "\n# at the margin\n ")


@st.composite
def laid_out(draw: st.DrawFn, tokens: list[str]) -> str:
    """The tokens with random blanks, breaks and comments between them."""
    line = tokens[0]
    for token in tokens[1:]:
        gap = draw(st.sampled_from(GAPS))
        if not gap and re.search(r"[\w.\-]$", line) and re.match(r"[\w.\-]", token) and token != ".." and not line.endswith(".."):
            gap = " "
        line += gap + token
    return line


@st.composite
def recipes(draw: st.DrawFn) -> tuple[str, tuple[Any, ...]]:
    """A recipe's text and the trees of its statements."""
    drawn = draw(st.lists(statements, max_size=4))
    written = ""
    for tokens, _ in drawn:
        written += draw(laid_out(tokens)) + draw(st.sampled_from(["\n", " ;", ";;\n", "\n\n\n", "  # end\n", "\n   # indented\n"]))
        if written.endswith(";\n") and draw(st.booleans()):
            written += "   "
    written += draw(st.sampled_from(["", "# the end", "\n"]))
    return written.replace("\n", draw(st.sampled_from(["\n", "\r\n"]))), tuple(tree for _, tree in drawn)
