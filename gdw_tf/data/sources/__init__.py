"""Where images come from: a registry of sources.

A source is one module of this package with a dictionary `LOADERS`, from a name to a function of
`data_dir` and `download` (see `Loader`) that returns a `Source`. The registry finds the modules by
itself, so adding a source is adding a file. A loader imports what it needs when it is called:
naming the sources must not need the packages of all of them.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol

from gdw_tf.data.sources.source import Source


class Loader(Protocol):
    """A function that loads one source."""

    def __call__(self, *, data_dir: str | None, download: bool) -> Source:
        """Loads the source; see `load`."""


def names() -> tuple[str, ...]:
    """Gives the names that `load` knows, in alphabetical order."""
    return tuple(sorted(_loaders()))


def load(name: str, *, data_dir: str | None = None, download: bool = True) -> Source:
    """Loads a clean data set into memory.

    Args:
        name: One of `names()`.
        data_dir: Folder of the prepared data of TensorFlow Datasets; `None` for its default,
            `~/tensorflow_datasets`. Sources that come with a Python package ignore it.
        download: Whether to download the data when they are not there.

    Returns:
        The data set. Equal arguments give the images in the same order.

    Raises:
        FileNotFoundError: If the data are not there and `download` is false.
        ValueError: If there is no source of that name.
    """
    loaders = _loaders()
    if name not in loaders:
        raise ValueError(
            f"Unknown data source. Received: name={name!r}; allowed: {', '.join(names())}."
        )
    return loaders[name](data_dir=data_dir, download=download)


def _loaders() -> dict[str, Loader]:
    found: dict[str, Loader] = {}
    for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        found.update(getattr(importlib.import_module(module.name), "LOADERS", {}))
    return found
