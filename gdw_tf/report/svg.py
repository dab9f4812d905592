"""Draws panels as SVG that stands in a page and takes its colours from it.

Colours are classes of the page's style sheet, so a figure is light or dark as the page is: `s0` and
on for lines, `q0` to `q15` for shades. A panel is 360 units wide, about the width of a phone.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from gdw_tf.report import palette
from gdw_tf.report.figures import Bars, Lines, Matrix, Panel, Series, limits, ticks

WIDTH = 360
_HEIGHT, _TOP, _BOTTOM, _LEFT = 228, 10, 40, 44
_LETTER = 6.6
"""About the width of a letter."""
NAMED_CLASSES, CELLS_WITH_VALUES = 20, 12
"""Up to this many classes, their names, or the values of their pairs, are written."""


def draw(panel: Panel, key: str) -> str:
    """Draws a panel.

    Args:
        panel: what it shows.
        key: a name for it that nothing else in the page has.

    Returns:
        An `<svg>` element with its title and its text alternative.
    """
    drawn, height = {Lines: _lines, Matrix: _matrix, Bars: _bars}[type(panel)](panel)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{html.escape(panel.title)}</title>'
        f'<desc id="{key}-d">{html.escape(panel.alt)}</desc>'
        f"{drawn}</svg>"
    )


def swatch(series: Series) -> str:
    """The piece of a line that stands in a legend."""
    if series.drawn == "points":
        drawn = _marker(series.style, 14, 6)
    else:
        drawn = f'<path class="line" {_dashes(series.style)} d="M0 6h28"/>'
        if series.drawn == "line" and series.shade is None:
            drawn += _marker(series.style, 14, 6)
    look = f'class="swatch {_colour(series)}" viewBox="0 0 28 12"'
    return f'<svg {look} aria-hidden="true">{drawn}</svg>'


def _lines(panel: Lines) -> tuple[str, float]:
    labels = [_shortened(one.label, 12) for one in panel.series]
    right = max([8.0, *(_LETTER * len(label) + 16 for label in labels if label)])
    x_of = np.log10 if panel.log_x else np.asarray
    shown = [x_of(one.x) for one in panel.series]
    low_x, high_x = min(one.min() for one in shown), max(one.max() for one in shown)
    if any(one.drawn == "points" for one in panel.series) or low_x == high_x:
        room = 0.05 * (high_x - low_x) or 0.5
        low_x, high_x = low_x - room, high_x + room
    steps = any(one.drawn == "steps" for one in panel.series)
    low_y, high_y = limits(
        [one.y + sign * _spread(one) for one in panel.series for sign in (-1, 1)],
        floor=0.0 if steps else None,
    )

    def across(x: np.ndarray | float) -> np.ndarray:
        return _LEFT + (x_of(x) - low_x) / (high_x - low_x) * (WIDTH - _LEFT - right)

    def down(y: np.ndarray | float) -> np.ndarray:
        share = (np.asarray(y) - low_y) / (high_y - low_y)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)

    parts = []
    for y in ticks(low_y, high_y):
        parts.append(f'<path class="grid" d="M{_LEFT} {down(y):.1f}H{WIDTH - right:.1f}"/>')
        parts.append(_text(_LEFT - 5, float(down(y)) + 4, f"{y:.6g}", "tick end"))
    for x in _ticks_across(panel, low_x, high_x):
        place = float(across(x))
        parts.append(f'<path class="axis" d="M{place:.1f} {_HEIGHT - _BOTTOM}v4"/>')
        parts.append(_text(place, _HEIGHT - _BOTTOM + 16, f"{x:.6g}", "tick middle"))
    parts.append(f'<path class="axis" d="M{_LEFT} {_HEIGHT - _BOTTOM}H{WIDTH - right:.1f}"/>')
    middle = (_LEFT + WIDTH - right) / 2
    parts.append(_text(middle, _HEIGHT - 6, panel.x_label, "tick middle"))
    for one in panel.series:
        parts.append(f'<g class="{_colour(one)}">{_series(one, across, down)}</g>')
    ends = [float(down(one.mark[2] if one.mark else one.y[-1])) for one in panel.series]
    heights = _apart(ends, 13, _TOP, _HEIGHT - _BOTTOM - 6)
    for one, label, end, height in zip(panel.series, labels, ends, heights, strict=True):
        if label:
            leader = f"M{WIDTH - right + 2:.1f} {end:.1f}L{WIDTH - right + 10:.1f} {height:.1f}"
            text = _text(
                WIDTH - right + 12, height + 4, label, "label" if one.shade is None else ""
            )
            parts.append(f'<g class="{_colour(one)}"><path class="leader" d="{leader}"/>{text}</g>')
    return "".join(parts), _HEIGHT


def _series(one: Series, across, down) -> str:
    if one.drawn == "steps":
        points = np.stack([np.repeat(across(one.x), 2)[1:-1], np.repeat(down(one.y), 2)], axis=1)
        floor = float(down(0.0))
        area = f"{_path(points)}V{floor:.1f}H{points[0, 0]:.1f}Z"
        line = f'<path class="line" {_dashes(one.style)} d="{_path(points)}"/>'
        return f'<path class="band" d="{area}"/>{line}'
    points = np.stack([across(one.x), down(one.y)], axis=1)
    known = np.isfinite(points).all(axis=1)
    if one.drawn == "points":
        return "".join(_marker(one.style, *point) for point in points[known])
    parts = []
    if one.spread is not None:
        upper = np.stack([across(one.x), down(one.y + one.spread)], axis=1)[known]
        lower = np.stack([across(one.x), down(one.y - one.spread)], axis=1)[known]
        parts.append(f'<path class="band" d="{_path(np.concatenate([upper, lower[::-1]]))}Z"/>')
    dashes = _dashes(one.style)
    parts.append(f'<path class="line" {dashes} d="{_path(points[known])}"/>')
    if one.shade is None:
        every = max(1, len(points) // 6)
        start = min(one.style * every // 4, max(0, len(points) - 1))
        parts += [
            _marker(one.style, *point) for point in points[start::every] if all(point == point)
        ]
    if one.mark:
        begin, end, value = one.mark
        parts.append(
            f'<path class="mark" d="M{across(begin):.1f} {down(value):.1f}H{across(end):.1f}"/>'
        )
    return "".join(parts)


def _matrix(panel: Matrix) -> tuple[str, float]:
    count = len(panel.names)
    names = [_shortened(name, 9) for name in panel.names]
    is_named = count <= NAMED_CLASSES
    left = 8 + (_LETTER * max(map(len, names)) if is_named else 4 * _LETTER)
    is_upright = is_named and max(map(len, names)) > 2
    top = 36 + (_LETTER * max(map(len, names)) if is_upright else 10)
    side = (WIDTH - left - 4) / count
    low, high = panel.limits
    shares = (panel.values - low) / (high - low)
    parts = [_text(2, 12, f"rows: {panel.rows}; columns: {panel.columns}", "tick")]
    of_level: dict[int, list[str]] = {}
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            corner = f"M{left + column * side:.1f} {top + row * side:.1f}"
            of_level.setdefault(palette.level(share), []).append(
                f"{corner}h{side:.1f}v{side:.1f}h-{side:.1f}z"
            )
    parts += [f'<path class="q{one}" d="{"".join(of_level[one])}"/>' for one in sorted(of_level)]
    if count <= CELLS_WITH_VALUES:
        for (row, column), share in np.ndenumerate(shares):
            if np.isfinite(share):
                value = f"{panel.values[row, column]:.{panel.digits}f}"
                x, y = left + (column + 0.5) * side, top + (row + 0.5) * side + 3.5
                parts.append(_text(x, y, value, f"cell t{palette.level(share)}"))
    for place in range(0, count, 1 if is_named else -(-count // 10)):
        name = names[place] if is_named else str(place)
        at = (place + 0.5) * side
        parts.append(_text(left - 4, top + at + 4, name, "tick end"))
        if is_upright:
            x, y = left + at + 4, top - 5
            turn = f'transform="rotate(-90 {x:.1f} {y:.1f})"'
            parts.append(_text(x, y, name, "tick", turn))
        else:
            parts.append(_text(left + at, top - 5, name, "tick middle"))
    bottom = top + count * side + 8
    width = (WIDTH - left - 4) / palette.LEVELS
    for one in range(palette.LEVELS):
        x = left + one * width
        parts.append(
            f'<path class="q{one}" d="M{x:.1f} {bottom:.1f}h{width:.2f}v8h-{width:.2f}z"/>'
        )
    parts.append(_text(left, bottom + 21, f"{low:.{panel.digits}f}", "tick"))
    parts.append(_text(WIDTH - 4, bottom + 21, f"{high:.{panel.digits}f}", "tick end"))
    return "".join(parts), round(bottom + 28)


def _bars(panel: Bars) -> tuple[str, float]:
    medians = [float(np.median(values)) for values in panel.values]
    scale = (WIDTH - 8) / (max(float(np.max(values)) for values in panel.values) or 1.0)
    parts, row = [], 36
    for place, (name, values, median) in enumerate(
        zip(panel.names, panel.values, medians, strict=True)
    ):
        y = 4 + place * row
        dots = "".join(
            f'<circle class="seed" cx="{max(4.0, value * scale):.1f}" cy="{y + 22}" r="3"/>'
            for value in values
        )
        said = f"{_shortened(name, 44)}: {median:.{panel.digits}f}"
        parts.append(_text(0, y + 10, said, "tick strong"))
        style, size = _style(panel.styles[place]), f'width="{median * scale:.1f}" height="14"'
        bar = f'<rect class="bar" x="0" y="{y + 15}" {size} rx="2"/>'
        parts.append(f'<g class="{style}">{bar}{dots}</g>')
    return "".join(parts), 8 + len(panel.names) * row


def _ticks_across(panel: Lines, low: float, high: float) -> np.ndarray:
    if not panel.log_x:
        found = ticks(low, high)
        return found[found == found.round()] if panel.whole_x else found
    of_tens = 10.0 ** np.arange(np.floor(low), np.ceil(high) + 1)
    every = np.concatenate([of_tens, 2 * of_tens, 5 * of_tens])
    return np.sort(every[(np.log10(every) >= low) & (np.log10(every) <= high)])


def _apart(heights: Sequence[float], distance: float, top: float, bottom: float) -> np.ndarray:
    """Moves heights as far from each other as their labels need, within the panel where it can."""
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights, float)[order]
    for place in range(1, len(placed)):
        placed[place] = max(placed[place], placed[place - 1] + distance)
    if len(placed) and placed[-1] > bottom:
        placed[-1] = bottom
        for place in range(len(placed) - 2, -1, -1):
            placed[place] = min(placed[place], placed[place + 1] - distance)
    result = np.empty_like(placed)
    result[order] = np.maximum(placed, top)
    return result


def _spread(one: Series) -> np.ndarray:
    return np.zeros_like(one.y) if one.spread is None else one.spread


def _colour(one: Series) -> str:
    if one.shade is not None:
        return f"r{palette.level(0.45 + 0.55 * one.shade)}"
    return _style(one.style)


def _style(style: int) -> str:
    return f"s{style % len(palette.LINES['light'])}"


def _dashes(style: int) -> str:
    dashes = palette.DASHES[style % len(palette.DASHES)]
    return f'stroke-dasharray="{" ".join(map(str, dashes))}"' if dashes else ""


def _marker(style: int, x: float, y: float) -> str:
    outline = {
        "circle": "m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",
        "square": "m-3 -3h6v6h-6z",
        "triangle": "m0 -4l3.8 6.6h-7.6z",
        "diamond": "m0 -4.2l4 4.2l-4 4.2l-4 -4.2z",
        "cross": "m-3.6 -1.2h2.4v-2.4h2.4v2.4h2.4v2.4h-2.4v2.4h-2.4v-2.4h-2.4z",
    }[palette.MARKERS[style % len(palette.MARKERS)]]
    return f'<path class="dot" d="M{x:.1f} {y:.1f}{outline}"/>'


def _path(points: np.ndarray) -> str:
    pairs = (f"{x:.1f} {y:.1f}" for x, y in points)
    return f"M{'L'.join(pairs)}"


def _text(x: float, y: float, text: str, classes: str, more: str = "") -> str:
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(text)}</text>'


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
