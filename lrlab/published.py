"""Data that others published, under their licences: they do not come with lrlab, and the environment names their folder."""

import os
from pathlib import Path

from lrlab.refusal import Lacking

FOLDER = "LRLAB_DATA"


def published(name: str, source: str) -> Path:
    """The path of a published file or folder.

    Args:
        name: below the folder that LRLAB_DATA (or `lrlab run --data`) names.
        source: where the originals are, for whoever lacks them.

    Raises `Lacking` where it is not there.
    """
    if available(name):
        return _path(name)
    where = f"is not in {os.environ[FOLDER]}" if FOLDER in os.environ else "does not come with lrlab"
    raise Lacking(
        f"{name} {where}; it is made from {source}: name the folder that holds it with --data, or in {FOLDER}"
    )


def available(name: str) -> bool:
    """Whether a published file or folder is there."""
    return FOLDER in os.environ and _path(name).exists()


def _path(name: str) -> Path:
    return Path(os.environ[FOLDER]) / name
