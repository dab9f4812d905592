"""Draws figures with matplotlib, for papers and slides."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gdw_tf import files
from gdw_tf.data.figures import plain_text
from gdw_tf.report import palette
from gdw_tf.report.figures import Bars, Figure, Lines, Matrix, Series
from gdw_tf.report.svg import CELLS_WITH_VALUES, NAMED_CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_MARKERS = dict(zip(palette.MARKERS, "os^DP", strict=True))


def write(figures: Sequence[Figure], directory: Path) -> list[Path]:
    """Draws what there is to draw, a file a figure: `KEY.png`.

    Args:
        figures: the figures.
        directory: where to write; made where it is not there.

    Returns:
        The files.

    Raises:
        OSError: they cannot be written.
    """
    from matplotlib.figure import Figure as Canvas

    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in figures:
        if not figure.panels:
            continue
        columns = min(_COLUMNS, len(figure.panels))
        rows = -(-len(figure.panels) // columns)
        canvas = Canvas(figsize=(5 * columns, 4 * rows), layout="constrained")
        grid = canvas.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, figure.panels, strict=False):
            {Lines: _lines, Matrix: _matrix, Bars: _bars}[type(panel)](axes, panel)
            axes.set_title(plain_text(textwrap.fill(panel.title, 55)), fontsize=10)
        for axes in grid[len(figure.panels) :]:
            axes.axis("off")
        path = directory / f"{figure.key}.png"
        with files.written_aside(path) as aside:
            canvas.savefig(aside, dpi=110, format="png")
        written.append(path)
    return written


def _lines(axes: Axes, panel: Lines) -> None:
    for one in panel.series:
        colour, dashes = _colour(one), palette.DASHES[one.style % len(palette.DASHES)]
        look = {"color": colour, "linestyle": (0, dashes) if dashes else "solid"}
        marker = _MARKERS[palette.MARKERS[one.style % len(palette.MARKERS)]]
        name = plain_text(one.name if one.shade is None else one.label)
        if one.drawn == "steps":
            axes.stairs(one.y, one.x, label=name, **look)
            axes.stairs(one.y, one.x, fill=True, color=colour, alpha=0.15)
            continue
        if one.drawn == "points":
            axes.plot(one.x, one.y, marker, color=colour, label=name)
            continue
        if one.shade is None:
            look |= {"marker": marker, "markevery": max(1, len(one.x) // 6), "markersize": 4}
        axes.plot(one.x, one.y, label=name, **look)
        if one.spread is not None:
            low, high = one.y - one.spread, one.y + one.spread
            axes.fill_between(one.x, low, high, color=colour, alpha=0.15, linewidth=0)
        if one.mark:
            begin, end, value = one.mark
            axes.plot([begin, end], [value, value], color=colour, linewidth=5, alpha=0.7)
    if panel.log_x:
        axes.set_xscale("log")
    axes.set_xlabel(plain_text(panel.x_label))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)


def _matrix(axes: Axes, panel: Matrix) -> None:
    from matplotlib.colors import ListedColormap

    low, high = panel.limits
    shades = palette.shades("light")
    image = axes.imshow(panel.values, cmap=ListedColormap(shades), vmin=low, vmax=high)
    axes.figure.colorbar(image, ax=axes, shrink=0.8)
    count = len(panel.names)
    if count <= NAMED_CLASSES:
        names = [plain_text(name[:12]) for name in panel.names]
        axes.set_xticks(range(count), names, rotation=90 if max(map(len, names)) > 2 else 0)
        axes.set_yticks(range(count), names)
    axes.set(xlabel=panel.columns, ylabel=panel.rows)
    if count <= CELLS_WITH_VALUES:
        for (row, column), value in np.ndenumerate(panel.values):
            if np.isfinite(value):
                shade = shades[palette.level((value - low) / (high - low))]
                text = f"{value:.{panel.digits}f}"
                look = {"ha": "center", "va": "center", "fontsize": 7}
                axes.text(column, row, text, color=palette.text_on(shade), **look)


def _bars(axes: Axes, panel: Bars) -> None:
    for place, (values, style) in enumerate(zip(panel.values, panel.styles, strict=True)):
        colour = palette.LINES["light"][style % len(palette.LINES["light"])]
        axes.barh(place, np.median(values), color=colour, alpha=0.45)
        axes.plot(values, np.full(len(values), place), "k.", markersize=5)
    axes.set_yticks(range(len(panel.names)), [plain_text(name) for name in panel.names])
    axes.invert_yaxis()


def _colour(one: Series) -> str:
    if one.shade is not None:
        return palette.shades("light")[palette.level(0.45 + 0.55 * one.shade)]
    return palette.LINES["light"][one.style % len(palette.LINES["light"])]
