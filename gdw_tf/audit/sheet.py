"""A contact sheet: the most suspicious examples as one picture, given and suggested label below."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from gdw_tf.audit.page import brightest, thumbnail
from gdw_tf.audit.ranking import Audit
from gdw_tf.data import NoisyData

COLUMNS, SIDE, TEXT, GAP = 10, 96, 34, 8
LETTERS = 15
"""Of a class's name, which there is room for."""


def contact_sheet(audit: Audit, noisy: NoisyData, chosen: Sequence[int]) -> Image.Image:
    """Draws examples in rows of ten.

    Args:
        audit: the evidence about the training set.
        noisy: the training set, images and class names.
        chosen: positions in it of the examples, one at least, in their order.
    """
    rows = -(-len(chosen) // COLUMNS)
    columns = min(COLUMNS, len(chosen))
    size = (columns * (SIDE + GAP) + GAP, rows * (SIDE + TEXT + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    names, white = noisy.class_names, brightest(noisy.x_train)
    for place, position in enumerate(map(int, chosen)):
        row, column = divmod(place, COLUMNS)
        left, top = GAP + column * (SIDE + GAP), GAP + row * (SIDE + TEXT + GAP)
        image = thumbnail(noisy.x_train, position, white).convert("RGB")
        scale = SIDE / max(image.size)
        resized = image.resize(
            [max(1, round(side * scale)) for side in image.size],
            Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR,
        )
        sheet.paste(resized, (left, top))
        given, suggested = names[audit.given[position]], names[audit.suggested[position]]
        draw.text((left, top + SIDE + 1), given[:LETTERS], fill="#8a1538", font=font)
        draw.text((left, top + SIDE + 16), f"> {suggested}"[:LETTERS], fill="#00604a", font=font)
    return sheet
