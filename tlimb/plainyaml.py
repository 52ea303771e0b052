"""YAML in which 1e-4 is a number, as people write it; PyYAML takes it for text, so both sides have to know."""

import re

import yaml

_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
_FLOAT, _FIRST = "tag:yaml.org,2002:float", list("-+0123456789")


FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Reads what `Dumper` wrote, in C where that is there; 1e-4 of other writers stays text."""


class Loader(yaml.SafeLoader):
    """Reads 1e-4 as a number."""


class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes text that `Loader` would read as a number, as a digest such as 12345678e9012345 may look like one."""


Loader.add_implicit_resolver(_FLOAT, _EXPONENT, _FIRST)
Dumper.add_implicit_resolver(_FLOAT, _EXPONENT, _FIRST)
