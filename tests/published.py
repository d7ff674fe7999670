"""Where the data that others published lies, for the tests that need it: a folder that the environment names."""

import os
from pathlib import Path

import pytest

_HERE = Path(os.environ.get("LRLAB_DATA", Path(__file__).parents[2] / "shared" / "data"))


def published(name):
    """The path of a published file or folder.

    Skips where it is not there: the data are others', under their licences, and do not come with the repository.
    """
    if not (_HERE / name).exists():
        pytest.skip(f"{name} is not in {_HERE}, and does not come with lrlab; name its folder in LRLAB_DATA")
    return _HERE / name
