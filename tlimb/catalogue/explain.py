"""What a word of the language means, in words: for `tlimb explain` and the reference page."""

from collections.abc import Iterator
from dataclasses import replace

from tlimb.catalogue.components import Component, Parameter
from tlimb.catalogue.fields import WITHOUT_CLASS, accepted
from tlimb.catalogue.keys import DEFAULTS, KEYS
from tlimb.catalogue.metrics import METRICS
from tlimb.catalogue.registry import Catalogue, nearest
from tlimb.catalogue.verbs import CLAUSES, VERBS
from tlimb.errors import InputError

SECTIONS = {"statements": "verb", "clauses": "clause", "keys": "key", "metrics": "metric"}


def explain(word: str, catalogue: Catalogue) -> str:
    """Everything the word means.

    Raises:
        InputError: nothing is called so.
    """
    found = list(_meanings(word, catalogue))
    if found:
        return "\n\n".join(found)
    words = [*VERBS, *CLAUSES, *KEYS, *METRICS, *(name for _, name in catalogue.components)]
    near = nearest(word, words)
    raise InputError(f"no word '{word}'", (f"did you mean '{near}'? " if near else "") + "list all words with: tlimb explain")


def overview(catalogue: Catalogue) -> str:
    """Every word by kind, with its one-line help."""
    groups: dict[str, list[tuple[str, str]]] = {
        "statements": [(verb.word, verb.help) for verb in VERBS.values()],
        "clauses": [(word, text.split(": ", 1)[1]) for word, text in CLAUSES.items()],
        "keys": [(key.word, key.help) for key in KEYS.values()],
        "metrics": [(metric.name, metric.help) for metric in METRICS.values()],
    }
    for (kind, word), component in catalogue.components.items():
        groups.setdefault(f"{kind} components", []).append((word, component.help))
    return "\n\n".join(f"{title}\n" + "\n".join(f"  {word:18} {text}" for word, text in rows) for title, rows in groups.items())


def _meanings(word: str, catalogue: Catalogue) -> Iterator[str]:
    if verb := VERBS.get(word):
        lines = [f"{word}: statement", f"  {verb.help}", f"  usage: {verb.usage}"]
        lines += [f"  {CLAUSES[clause]}" for clause in verb.clauses]
        yield "\n".join(lines)
    if word in CLAUSES:
        yield f"{word}: clause\n  {CLAUSES[word]}"
    if key := KEYS.get(word):
        lines = [f"{word}: key", f"  {key.help}", f"  stands for the config path {key.path}"]
        if parameter := _parameter(key.path, catalogue):
            default = "no default" if parameter.required else f"default {DEFAULTS.get(key.path, parameter.default)!r}"
            lines.append(f"  type {accepted(key.path, parameter.type)}, {default}")
            lines += [f"  {parameter.help}"] if key.path.partition(".")[0] in WITHOUT_CLASS else []
        yield "\n".join(lines)
    if metric := METRICS.get(word):
        better = "lower is better" if metric.direction == "min" else "higher is better"
        yield f"{word}: metric ({metric.task})\n  {metric.help} {better.capitalize()}."
    for (kind, name), component in catalogue.components.items():
        if name == word:
            yield _method(component, catalogue) if kind == "method" else _component(kind, component)
    if "." in word:
        for component in catalogue.components.values():
            if component.class_path == word:
                yield _component(component.kind, component)
                return


def _method(component: Component, catalogue: Catalogue) -> str:
    """A method's own arguments; those of every training stand with the word ``supervised``."""
    every = {parameter.name for parameter in catalogue.components["scenario", "supervised"].parameters}
    own = tuple(parameter for parameter in component.parameters if parameter.name not in every)
    text = _component("method", replace(component, parameters=own))
    term = f"\n  term of the loss {component.auxiliary}" if component.auxiliary else ""
    used = "\n  statements: " + ", ".join(VERBS[verb].usage for verb in component.verbs) if component.verbs else ""
    head, arguments, rest = text.partition("\n  arguments:")
    return f"{head}{term}{used}{arguments}{rest}\n  and those of every training: {', '.join(sorted(every))}"


def _component(kind: str, component: Component) -> str:
    lines = [f"{component.word}: {kind}", f"  {component.help}", f"  class {component.class_path}"]
    if component.arguments:
        lines.append("  with " + ", ".join(f"{key}={value!r}" for key, value in component.arguments.items()))
    lines += ["  arguments:"] if component.parameters else []
    for parameter in component.parameters:
        default = "required" if parameter.required else f"default {parameter.default!r}"
        lines.append(f"    {parameter.name}: {parameter.type} ({default})" + (f"\n        {parameter.help}" if parameter.help else ""))
    return "\n".join(lines)


def _parameter(path: str, catalogue: Catalogue) -> Parameter | None:
    section, _, name = path.rpartition(".")
    kind = {"scenario.optimizer": "optimizer"}.get(section, section)
    if section in WITHOUT_CLASS:
        return next((parameter for parameter in WITHOUT_CLASS[section] if parameter.name == name), None)
    return next((p for c in catalogue.components.values() if c.kind == kind and (p := c.parameter(name))), None)
