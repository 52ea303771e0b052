"""Data modules: from prepared arrays to batches. `preparation` makes these, `inspect` and `look` read images, `demo` draws its own."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlimb.components.data.base import BaseDataModule
    from tlimb.components.data.bioimage import BioImageDataModule
    from tlimb.components.data.crop import CropCenterDataModule
    from tlimb.components.data.slices import SliceDataModule
    from tlimb.components.data.timeseries import TimeSeriesDataModule

__all__ = ["BaseDataModule", "BioImageDataModule", "CropCenterDataModule", "SliceDataModule", "TimeSeriesDataModule"]

_MODULES = {
    "BaseDataModule": "base",
    "BioImageDataModule": "bioimage",
    "CropCenterDataModule": "crop",
    "SliceDataModule": "slices",
    "TimeSeriesDataModule": "timeseries",
}


def __getattr__(name: str) -> Any:
    """Classes are loaded when they are first named: a module that only reads files must not wait for the training libraries."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
