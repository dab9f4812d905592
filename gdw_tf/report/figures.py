"""What a figure shows, in numbers and words: the part that does not depend on how it is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A line of a panel.

    Attributes:
        name: what the legend calls it.
        x, y: its points, float, (P,).
        style: which colour, dash and marker, counted from 0.
        shade: in the place of the colour, how far the line is along a scale, 0 to 1.
        spread: half the height of a band about the line, (P,).
        label: words at the line's end.
        mark: a part of the x axis and a value: a mean that was taken there.
        drawn: `"line"`; `"steps"`, of which y is one shorter than x, the edges; or `"points"`.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    style: int = 0
    shade: float | None = None
    spread: np.ndarray | None = None
    label: str = ""
    mark: tuple[float, float, float] | None = None
    drawn: str = "line"


@dataclasses.dataclass(frozen=True, eq=False)
class Lines:
    """A panel of lines, or of points.

    Attributes:
        title: what the y axis measures, or what the panel is about.
        x_label: what the x axis measures.
        series: the lines.
        alt: what is to be seen, in words.
        note: figures that stand below the panel.
        log_x: whether the x axis is logarithmic.
        whole_x: whether there is nothing between whole numbers on the x axis.
    """

    title: str
    x_label: str
    series: Sequence[Series]
    alt: str
    note: str = ""
    log_x: bool = False
    whole_x: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Matrix:
    """A panel of a matrix, whose values are shades.

    Attributes:
        title: what it is about.
        rows, columns: what these stand for.
        names: of the classes, C.
        values: float, (C, C); not a number where nothing is known.
        digits: after the point, in cells.
        alt: what is to be seen, in words.
        note: figures that stand below the panel.
        highest: the value of the darkest shade; default the highest one there is.
    """

    title: str
    rows: str
    columns: str
    names: Sequence[str]
    values: np.ndarray
    digits: int
    alt: str
    note: str = ""
    highest: float | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """The values of the lightest and of the darkest shade."""
        known = self.values[np.isfinite(self.values)]
        lowest = min(0.0, float(known.min()))
        highest = float(known.max()) if self.highest is None else self.highest
        return lowest, highest if highest > lowest else lowest + 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Bars:
    """A panel of a bar a name, each the median of points.

    Attributes:
        title: what is measured.
        names: of the bars.
        values: of each bar its points, one or more.
        styles: of each bar.
        digits: after the point, of the medians.
        alt: what is to be seen, in words.
        note: figures that stand below the panel.
    """

    title: str
    names: Sequence[str]
    values: Sequence[np.ndarray]
    styles: Sequence[int]
    digits: int
    alt: str
    note: str = ""


Panel = Lines | Matrix | Bars


@dataclasses.dataclass(frozen=True, eq=False)
class Figure:
    """A figure of the page.

    Attributes:
        key: its name in links and files.
        title: its heading.
        caption: what it shows, in a sentence.
        panels: what is drawn; none where all is missing.
        missing: a sentence each for what is not drawn, and why.
    """

    key: str
    title: str
    caption: str
    panels: Sequence[Panel]
    missing: Sequence[str] = ()

    @property
    def legend(self) -> list[Series]:
        """A series for each name that is drawn as a line, in order."""
        named: dict[str, Series] = {}
        for panel in self.panels:
            for one in panel.series if isinstance(panel, Lines) else ():
                named.setdefault(one.name, one)
        return list(named.values())


def ticks(low: float, high: float, most: int = 6) -> np.ndarray:
    """Round numbers from `low` to `high`, at most `most`, at least two.

    Args:
        low: the lower end.
        high: the upper end, above it.
        most: 3 or more.
    """
    rough = (high - low) / (most - 1)
    magnitude = 10.0 ** np.floor(np.log10(rough))
    step = next(one * magnitude for one in (1, 2, 2.5, 5, 10) if one * magnitude >= rough * 0.999)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return np.arange(first, last + 1) * step + 0.0  # no minus before a zero


def limits(values: Sequence[np.ndarray], floor: float | None = None) -> tuple[float, float]:
    """The ends of an axis that has room for all values.

    Args:
        values: arrays, of which what is not finite is left out.
        floor: the lower end, where it is not to follow the values.
    """
    all_values = np.concatenate([np.ravel(one) for one in values])
    all_values = all_values[np.isfinite(all_values)]
    if not all_values.size:
        return 0.0, 1.0
    low, high = float(all_values.min()), float(all_values.max())
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    low, high = low - room if low < 0 or low > room else min(low, 0.0), high + room
    return (low if floor is None else floor), high
