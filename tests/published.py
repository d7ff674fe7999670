"""Where the data that others published lies, for the tests that need it."""

import os
from pathlib import Path

import pytest

from lrlab.published import FOLDER, available
from lrlab.published import published as read

os.environ.setdefault(FOLDER, str(Path(__file__).parents[2] / "shared" / "data"))


def published(name):
    """The path of a published file or folder. Skips where it is not there: the data do not come with the repository."""
    if not available(name):
        pytest.skip(f"{name} is not in {os.environ[FOLDER]}, and does not come with lrlab; name its folder in {FOLDER}")
    return read(name, "")
