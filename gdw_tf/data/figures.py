"""Pictures of a noisy training set. They need matplotlib, which nothing else here does."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np

from gdw_tf.data.images import as_array
from gdw_tf.data.noise import TABLE_CLASSES
from gdw_tf.data.prepare import NoisyData
from gdw_tf.data.random import generator

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SHEET_ROWS, SHEET_COLUMNS = 6, 10
NAME_LENGTH = 16
"""Letters of a class's name that there is room for."""
_WRONG = "tab:red"


def check_matplotlib() -> None:
    """Checks that pictures can be made.

    Raises:
        ValueError: If matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError(
            'Pictures need matplotlib, which is not installed: pip install "gdw_tf[report]"'
        )


def class_histogram(noisy: NoisyData) -> Figure:
    """Draws how many training images each class has, by true class and by label given.

    Args:
        noisy: The data, of C classes.

    Returns:
        The figure; the true classes are left out where they are not known.
    """
    classes = np.arange(noisy.num_classes)
    bars = {"label given": np.bincount(noisy.y_train, minlength=noisy.num_classes)}
    if noisy.y_true is not None:
        bars = {"true class": np.array(noisy.class_counts)} | bars
    figure = _figure(min(25, max(6, 0.25 * noisy.num_classes)), 4)
    axes = figure.subplots()
    width = 0.8 / len(bars)
    for place, (name, counts) in enumerate(bars.items()):
        axes.bar(classes + (place - (len(bars) - 1) / 2) * width, counts, width, label=name)
    _name_classes(axes.xaxis, noisy)
    axes.margins(x=0.02)
    axes.set_ylabel("training images")
    axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure


def noise_matrix(noisy: NoisyData) -> Figure:
    """Draws the realised noise: shares of the labels given, by true class.

    Args:
        noisy: The data, of C classes, the true ones known.

    Returns:
        The figure; up to `TABLE_CLASSES` classes, with the shares in percent.
    """
    size = min(20, max(5, 0.5 * noisy.num_classes))
    figure = _figure(size + 1, size)
    axes = figure.subplots()
    shares = noisy.noise_matrix
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, shrink=0.8, label="share of the true class's images", format="{x:.0%}")
    font_size = 10 if noisy.num_classes <= TABLE_CLASSES else 6
    _name_classes(axes.xaxis, noisy, fontsize=font_size)
    _name_classes(axes.yaxis, noisy, fontsize=font_size)
    axes.set_xlabel("label given")
    axes.set_ylabel("true class")
    if noisy.num_classes <= TABLE_CLASSES:
        for (row, column), share in np.ndenumerate(shares):
            if share:
                color = "white" if share > 0.5 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=color)
    return figure


def contact_sheet(noisy: NoisyData, seed: int) -> Figure:
    """Draws training images with their labels; those of wrong labels are marked.

    The images are drawn at random from all, so about as many are marked as there are wrong labels
    in the training set; they stand in the order of their true classes.

    Args:
        noisy: The data.
        seed: Seed of the draw, 0 or more.

    Returns:
        The figure: up to `SHEET_ROWS` x `SHEET_COLUMNS` images. Over each stands the label given;
        a wrong one in red, with the true class below it.
    """
    count = min(SHEET_ROWS * SHEET_COLUMNS, len(noisy.y_train))
    chosen = generator(seed, "contact sheet").permutation(len(noisy.y_train))[:count]
    true = noisy.y_train if noisy.y_true is None else noisy.y_true
    chosen = chosen[np.argsort(true[chosen], kind="stable")]
    images = as_array(noisy.x_train[chosen])
    figure = _figure(1.3 * SHEET_COLUMNS, 1.7 * SHEET_ROWS)
    axes = figure.subplots(SHEET_ROWS, SHEET_COLUMNS).ravel()
    for axis in axes:
        axis.axis("off")
    names = _short_names(noisy)
    for axis, image, given_class, true_class in zip(
        axes, images, noisy.y_train[chosen], true[chosen], strict=False
    ):
        # One channel is brightness, on whatever scale the images have; else it is RGB.
        pixels = image if image.shape[-1] == 3 else image[..., 0]
        axis.imshow(pixels, cmap="gray", vmin=0, vmax=images.max())
        title, color = names[given_class], "black"
        if given_class != true_class:
            title, color = f"{title}\n(is {names[true_class]})", _WRONG
            axis.patch.set(edgecolor=color, linewidth=4)
            axis.axis("on")
            axis.set(xticks=[], yticks=[])
        axis.set_title(title, color=color, fontsize=7)
    return figure


def _name_classes(axis: Axis, noisy: NoisyData, **font: float) -> None:
    """Writes the classes' names along an axis."""
    names = _short_names(noisy)
    upright = axis.axis_name == "x" and max(map(len, names)) > 3
    axis.set_ticks(np.arange(len(names)), names, rotation=90 if upright else 0, **font)


def _short_names(noisy: NoisyData) -> list[str]:
    return [
        plain_text(name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…")
        for name in noisy.class_names
    ]


def plain_text(text: str) -> str:
    """Keeps matplotlib from reading what stands between two dollars as a formula."""
    return text.replace("$", r"\$")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
