"""Data modules: from prepared arrays to batches. `preparation` makes the arrays, `inspect` finds bad images, `demo` draws its own."""

from tlimb.components.data.base import BaseDataModule
from tlimb.components.data.bioimage import BioImageDataModule
from tlimb.components.data.crop import CropCenterDataModule
from tlimb.components.data.slices import SliceDataModule
from tlimb.components.data.timeseries import TimeSeriesDataModule

__all__ = ["BaseDataModule", "BioImageDataModule", "CropCenterDataModule", "SliceDataModule", "TimeSeriesDataModule"]
