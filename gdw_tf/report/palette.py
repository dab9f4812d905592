"""Colours of the report, on light and on dark ground, that colour-blind readers tell apart.

Lines have the hues of Okabe and Ito ("Color Universal Design", 2008), darkened on light and
lightened on dark ground until they stand out from it, and differ in dashes and markers as well.
Shades, for quantities, go from the ground to one strong colour.
"""

from __future__ import annotations

import numpy as np

LINES = {
    "light": ("#0072b2", "#c44f00", "#007a59", "#a8437f", "#806000", "#3d4852", "#2f6fed"),
    "dark": ("#56b4e9", "#ff8a3d", "#2fc79a", "#e29bc5", "#f0c04a", "#c9d1d9", "#9db8ff"),
}
DASHES = ((), (7, 3), (2, 2.5), (9, 3, 2, 3))
MARKERS = ("circle", "square", "triangle", "diamond", "cross")

_SHADES = {"light": ("#f3f6fa", "#08407a"), "dark": ("#18212c", "#a8d4ff")}
LEVELS = 16
"""Shades of a scale."""


def shades(ground: str) -> list[str]:
    """The colours of the levels, `#rrggbb`, on `"light"` or `"dark"` ground."""
    low, high = (np.array(_channels(one)) for one in _SHADES[ground])
    return [
        "#" + "".join(f"{round(channel):02x}" for channel in low + share * (high - low))
        for share in np.linspace(0, 1, LEVELS)
    ]


def text_on(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour."""
    linear = [
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4
        for one in (channel / 255 for channel in _channels(colour))
    ]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"


def level(share: float) -> int:
    """The level of a share of the scale, 0 to 1."""
    return min(LEVELS - 1, max(0, int(share * LEVELS)))


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
