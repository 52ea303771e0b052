"""The views of the tabs beside the first."""

from importlib import import_module

from tlimb_tui.views import View


def _part(module: str, name: str) -> type[View]:
    try:
        found: type[View] = getattr(import_module(f"tlimb_tui.screens.{module}"), name)
    except (ImportError, AttributeError):
        return View
    return found


VIEWS = {
    "run": _part("run", "RunView"),
    "results": _part("results", "ResultsView"),
    "data": _part("data", "DataView"),
    "configs": _part("configs", "ConfigsView"),
}
