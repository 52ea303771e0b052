"""The views of the tabs beside the first."""

from tlimb_tui.screens.configs import ConfigsView
from tlimb_tui.screens.data import DataView
from tlimb_tui.screens.results import ResultsView
from tlimb_tui.screens.run import RunView
from tlimb_tui.views import View

VIEWS: dict[str, type[View]] = {"run": RunView, "results": ResultsView, "data": DataView, "configs": ConfigsView}
