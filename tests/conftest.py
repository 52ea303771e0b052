"""Shared fixtures: where real brain images lie, and a cache of our own."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One cache for all tests of a run, so that nothing of the user's is read or written; kept where the caller names one."""
    os.environ.setdefault("TLIMB_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real brain images."""
    folder = os.environ.get("TLIMB_REAL_DATA")
    if not folder:
        pytest.skip("TLIMB_REAL_DATA names no folder of real brain images (a clone has none)")
    return Path(folder)
