"""Components of a user's own: their arguments read from the source text. Nothing of it is imported or run on this side.

A class path (``mylab.nets.WideNet``) is looked up in the environment, then in the folders that the user trusts: those that the variable
TLIMB_CODE names, to which ``--trust`` adds the recipe's.
"""

import ast
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from tlimb.catalogue.docstrings import argument_texts, first_sentence
from tlimb.errors import InputError

GIVEN = {"self", "network", "objective", "unit", "terms", "params", "optimizer", "args", "kwargs"}
"""Arguments that a stage gives, not a recipe; `optimizer` is one of a schedule, but a recipe's of a scenario."""
BARE = {"torch", "lightning", "typing", "abc", "builtins"}
"""Packages whose base classes add no arguments to a component, such as torch.nn.Module."""
CODE = "TLIMB_CODE"
"""The variable that names folders with modules that may be run."""
_DEPTH = 8
_READ = ("LOADING", "views", "spatial_dims")
"""Class attributes that the compile side needs to know."""

Signature = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Own:
    """The user's code as seen from a recipe.

    Attributes:
        folder: That of the recipe.
        trusted: Folders whose modules may be run.
        known: Recorded signatures, for base classes.
    """

    folder: Path
    trusted: tuple[Path, ...] = ()
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def signature(self, class_path: str) -> Signature | None:
        """Help, parameters and such of a class, as in `signatures.json`; None where there is no such class that may be used.

        The key `open` says that it takes further arguments, which are not known here.
        """
        found = self._find(class_path)
        return None if found is None else self._describe(*found, depth=0)

    def refusal(self, class_path: str) -> InputError | None:
        """Why a class path cannot be used, if there is more to say than that it is not known."""
        module = class_path.rpartition(".")[0]
        if not module or self._source(module) is not None:
            return self._no_class(class_path) if module and self._find(class_path) is None else None
        file = _in_folder(module, self.folder)
        if file is None:
            return None
        where = os.path.relpath(file, self.folder)
        return InputError(
            f"the module {module} lies beside the recipe ({where}), and its code is run only if you say so",
            f"if you trust the code in {self.folder}, add --trust",
        )

    def code(self, config: Any) -> dict[str, str]:
        """SHA-256 of the user's code that a config names, by package or module: code that changes makes another stage."""
        found: dict[str, str] = {}
        for class_path in _class_paths(config) if self.trusted else ():
            top = class_path.partition(".")[0]
            if class_path in self.known or top in {*BARE, *found, "tlimb"} or _in_environment(top) is not None:
                continue
            if (fingerprint := self.fingerprint(top)) is not None:
                found[top] = fingerprint
        return found

    def fingerprint(self, top: str) -> str | None:
        """SHA-256 of the sources of a package or module of the user's; None where it is in no trusted folder."""
        files = self.files(top)
        digest = hashlib.sha256()
        for name, file in files.items():
            digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest() if files else None

    def files(self, top: str) -> dict[str, Path]:
        """The source files of a package or module of the user's, by path relative to its folder."""
        for folder in self.trusted:
            package, module = folder / top, folder / f"{top}.py"
            if found := sorted(package.rglob("*.py")) or ([module] if module.is_file() else []):
                return {file.relative_to(folder).as_posix(): file for file in found}
        return {}

    def _no_class(self, class_path: str) -> InputError | None:
        module, _, name = class_path.rpartition(".")
        tree = _parse(self._source(module))
        classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)] if tree else []
        return InputError(f"the module {module} has no class '{name}'", f"it has: {', '.join(classes)}") if classes else None

    def _source(self, module: str) -> Path | None:
        """The source file of a module that may be used."""
        return _in_environment(module) or next((file for folder in self.trusted if (file := _in_folder(module, folder))), None)

    def _find(self, class_path: str, depth: int = 0) -> tuple[ast.ClassDef | ast.FunctionDef, ast.Module, str] | None:
        """The definition behind a class path, its module's tree and name; a name that a module takes from another one is followed."""
        module, _, name = class_path.rpartition(".")
        tree = _parse(self._source(module)) if module and depth < _DEPTH else None
        if tree is None:
            return None
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return node, tree, module
        origin = _imports(tree, module, is_package=(self._source(module) or Path()).name == "__init__.py").get(name)
        return self._find(origin, depth + 1) if origin else None

    def _describe(self, node: ast.ClassDef | ast.FunctionDef, tree: ast.Module, module: str, depth: int) -> Signature:
        if isinstance(node, ast.FunctionDef):
            texts = argument_texts(ast.get_docstring(node) or "")
            parameters, is_open = _parameters(node, texts)
            return {"help": first_sentence(ast.get_docstring(node) or ""), "parameters": parameters, "open": is_open}
        init = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
        texts = argument_texts((ast.get_docstring(node) or "") + "\n" + ((ast.get_docstring(init) or "") if init else ""))
        found: Signature = {"help": first_sentence(ast.get_docstring(node) or ""), "parameters": [], "open": False}
        if init is not None:
            found["parameters"], found["open"] = _parameters(init, texts)
        elif any(_name(decorator).endswith("dataclass") for decorator in node.decorator_list):
            found["parameters"] = [
                _parameter(item.target.id, item.annotation, item.value, texts)
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            ]
        else:
            found["open"] = True  # what the base classes take
        if found["open"]:
            found["open"] = False
            for base in node.bases:
                inherited = self._base(base, tree, module, depth)
                names = {parameter["name"] for parameter in found["parameters"]}
                found["parameters"] += [parameter for parameter in inherited.get("parameters", ()) if parameter["name"] not in names]
                found["open"] = found["open"] or bool(inherited.get("open", False))
        for key, value in self._attributes(node, tree, module, depth).items():
            found[key] = value
        return found

    def _base(self, base: ast.expr, tree: ast.Module, module: str, depth: int) -> Mapping[str, Any]:
        """The signature of a base class; open where it cannot be found."""
        name = _name(base)
        local = next((item for item in tree.body if isinstance(item, ast.ClassDef) and item.name == name), None)
        if local is not None:
            return self._describe(local, tree, module, depth + 1) if depth < _DEPTH else {"open": True}
        first, _, rest = name.partition(".")
        path = _imports(tree, module, is_package=False).get(first, first) + (f".{rest}" if rest else "")
        if path in self.known:
            return self.known[path]
        if path.partition(".")[0] in BARE or "." not in path:
            return {}
        found = self._find(path)
        return self._describe(*found, depth=depth + 1) if found and depth < _DEPTH else {"open": True}

    def _attributes(self, node: ast.ClassDef, tree: ast.Module, module: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for base in reversed(node.bases):
            inherited = self._base(base, tree, module, depth)
            found |= {key: inherited[key] for key in ("loading", "views", "spatial_dims") if key in inherited}
        for item in node.body:
            match item:
                case (
                    ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as given)
                    | ast.Assign(targets=[ast.Name(id=name)], value=given)
                ):
                    pass
                case _:
                    continue
            if name in _READ:
                value = _literal(given)
                found[name.lower()] = list(value) if isinstance(value, tuple) else value
        return found


def trusted_folders() -> tuple[Path, ...]:
    """Folders whose modules the user trusts, as the variable TLIMB_CODE names them."""
    return tuple(Path(folder) for folder in os.environ.get(CODE, "").split(os.pathsep) if folder)


def trust(folder: Path) -> None:
    """Trust the modules of a folder in this process and those that it starts."""
    if folder not in trusted_folders():
        os.environ[CODE] = os.pathsep.join(map(str, (*trusted_folders(), folder)))


def _parameters(function: ast.FunctionDef, texts: Mapping[str, str]) -> tuple[list[dict[str, Any]], bool]:
    """The parameters that a recipe may give, and whether there are further ones."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [*zip(positional, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    given = GIVEN - {"optimizer"} if any(argument.arg == "network" for argument, _ in pairs) else GIVEN
    found = [
        _parameter(argument.arg, argument.annotation, default, texts)
        for argument, default in pairs
        if argument.arg not in given and not argument.arg.startswith("_")
    ]
    return found, arguments.kwarg is not None


def _parameter(name: str, annotation: ast.expr | None, default: ast.expr | None, texts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "type": ast.unparse(annotation) if annotation else "any",
        "default": None if default is None else _literal(default),
        "required": default is None,
        "help": texts.get(name, ""),
    }


def _literal(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
    return value if isinstance(value, int | float | str | bool | list | tuple | dict | None) else ast.unparse(node)


def _imports(tree: ast.Module, module: str, *, is_package: bool) -> dict[str, str]:
    """The full path of each name that a module takes from elsewhere, also where only a type checker sees it take it."""
    found: dict[str, str] = {}
    checked = (item for node in tree.body if isinstance(node, ast.If) and _name(node.test).endswith("TYPE_CHECKING") for item in node.body)
    for node in (*checked, *tree.body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
    return found


def _name(node: ast.expr) -> str:
    """The dotted name of a base class or decorator; empty for anything else."""
    node = node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Subscript) else node
    try:
        return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
    except ValueError:
        return ""


def _parse(file: Path | None) -> ast.Module | None:
    """The syntax tree of a source file.

    Raises:
        InputError: it is not Python.
    """
    return _parsed(file, file.stat().st_mtime_ns) if file is not None and file.suffix == ".py" else None


@lru_cache(maxsize=64)
def _parsed(file: Path, _mtime_ns: int) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{file.name} is not Python: {error}", "mend the file") from None


def _in_folder(module: str, folder: Path) -> Path | None:
    place = folder.joinpath(*module.split("."))
    candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _in_environment(module: str) -> Path | None:
    """The source of an installed module; packages are looked through, not imported.

    `python -m` puts the present folder first on the path: it counts only where PYTHONPATH names it.
    """
    first, *others = sys.path
    paths: list[str] | None = [*([] if not first or Path(first) == Path.cwd() else [first]), *others, *_named_paths()]
    spec = None
    name = ""
    for piece in module.split("."):
        name = f"{name}.{piece}" if name else piece
        spec = PathFinder.find_spec(name, paths)
        if spec is None:
            return None
        paths = list(spec.submodule_search_locations) if spec.submodule_search_locations is not None else []
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def _named_paths() -> list[str]:
    """Folders that the user has put on Python's path: there the present one counts too."""
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _class_paths(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        if isinstance(config.get("class_path"), str):
            yield config["class_path"]
        for value in config.values():
            yield from _class_paths(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _class_paths(value)
