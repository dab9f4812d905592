"""Where images come from: a registry of sources.

A source is one module of this package with a dictionary `LOADERS`, from a name to a function that
returns a `Source`, and takes `data_dir` and `download` as far as it needs them. The registry finds
the modules by itself, so adding a source is adding a file (its flags default to those of
"tfds:NAME", unless `gdw_tf.settings` has others for it). A loader imports what it needs when it is
called: naming the sources must not need the packages of all of them.

A loader may take further keyword arguments, which `load` passes on; the command line has
`--image_size`, `--human_labels` and the like for them. A name of the form "tfds:NAME" stands for a
family: the loader is called for every name that begins with "tfds:", with the rest as its `name`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gdw_tf.data.sources.source import Source

_FAMILY = ":NAME"


def names() -> tuple[str, ...]:
    """Gives the names that `load` knows, in alphabetical order; a family is one, as "tfds:NAME"."""
    return tuple(sorted(_loaders()))


def registered_name(name: str) -> str:
    """Gives the one of `names()` that stands for a name: its family's, or the name itself.

    Raises:
        ValueError: If there is no source of that name.
    """
    family, _, member = name.partition(":")
    registered = family + _FAMILY if member else name
    if registered not in names():
        raise ValueError(
            f"Unknown data source. Received: name={name!r}; allowed: {', '.join(names())}."
        )
    return registered


def load(
    name: str, *, data_dir: str | None = None, download: bool = True, **options: Any
) -> Source:
    """Loads a data set; images in files stay there.

    Args:
        name: One of `names()`; in place of NAME stands any name that the family knows.
        data_dir: Folder of the data; for the sources of TensorFlow Datasets that of the prepared
            data, `None` for its default, `~/tensorflow_datasets`. Sources that come with a Python
            package ignore it.
        download: Whether to download the data when they are not there.
        **options: What else the source's loader takes. `None` stands for its default.

    Returns:
        The data set. Equal arguments give the images in the same order.

    Raises:
        FileNotFoundError: If the data are not there and `download` is false.
        OSError: If the data cannot be read.
        ValueError: If there is no source of that name, it does not take an option, or the data
            are not as they should be.
    """
    registered = registered_name(name)
    loader = _loaders()[registered]
    options = {option: value for option, value in options.items() if value is not None}
    taken = {
        parameter.name: parameter
        for parameter in inspect.signature(loader).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for option in options:
        if option not in taken:
            allowed = ", ".join(sorted({"data_dir", *taken} - {"name", "download"}))
            raise ValueError(
                f"Data set {name} does not take {option}. Received: {option}={options[option]}; "
                f"allowed: {allowed}."
            )
    if registered.endswith(_FAMILY):
        options["name"] = name.partition(":")[2]
    places = {"data_dir": data_dir, "download": download}
    options |= {place: value for place, value in places.items() if place in taken}
    try:
        return loader(**options)
    except tf.errors.OpError as error:
        reason = error.message.rpartition("}} ")[2]  # without the operation's name
        raise OSError(f"The data of {name} cannot be read: {reason}") from error


def _loaders() -> dict[str, Callable[..., Source]]:
    found: dict[str, Callable[..., Source]] = {}
    for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        found.update(getattr(importlib.import_module(module.name), "LOADERS", {}))
    return found
