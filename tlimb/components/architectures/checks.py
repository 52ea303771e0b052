"""Arguments that all architectures take, checked the same way."""

from collections.abc import Sequence

from tlimb.errors import InputError


def check_common(name: str, spatial_dims: int, dropout: float, dims: Sequence[int] = (1, 2, 3)) -> None:
    """Raise `InputError` unless the architecture has a form of so many dimensions and the rate of dropout is one."""
    if spatial_dims not in dims:
        *most, last = map(str, dims)
        shown = f"{', '.join(most)} or {last}"
        raise InputError(
            f"architecture: {name} has no {spatial_dims}-dimensional form", f"it has one of {shown} dimensions; change the data"
        )
    if not 0 <= dropout < 1:
        raise InputError(f"architecture: dropout is {dropout}; it is from 0 to below 1", "e.g. dropout=0.2")


def per_axis(name: str, value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """One positive whole number for each axis; a single one stands for all.

    Raises:
        InputError: there are more or fewer, or one is below 1.
    """
    values = (value,) * axes if isinstance(value, int) else tuple(map(int, value))
    if len(values) != axes or min(values) < 1:
        raise InputError(
            f"architecture: {name} is {shown(values)}; for images of {axes} axes it is one whole number from 1 on, or {axes} of them",
            f"e.g. {name}=2",
        )
    return values


def shown(size: Sequence[int]) -> str:
    """A size as recipes write it, e.g. 40x48x40."""
    return "x".join(map(str, size))
