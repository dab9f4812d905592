"""The audit as one HTML file without a server: who opens it decides about labels.

The page (page.html) shows examples with their given and their suggested label, most suspicious
first. What is decided there stays in the browser and is downloaded as the CSV file that
`gdw_tf.data.verified` reads.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from importlib import resources

import numpy as np
from PIL import Image

from gdw_tf.audit.ranking import Audit
from gdw_tf.data import NoisyData
from gdw_tf.data.digests import digest
from gdw_tf.data.images import ImageFiles, Images
from gdw_tf.data.scan import read_image
from gdw_tf.data.verified import image_name

LARGEST_SIDE = 128
"""Pixels of the longer side of an image in the page."""


def page(audit: Audit, noisy: NoisyData, chosen: Sequence[int], *, title: str, lead: str) -> str:
    """Makes the page.

    Args:
        audit: the evidence about the training set.
        noisy: the training set, images and class names.
        chosen: positions in it of the examples to show, in their order.
        title: the page's title.
        lead: a sentence below it.

    Returns:
        HTML that needs nothing else.
    """
    white = brightest(noisy.x_train)
    examples = [
        {
            "index": int(noisy.numbers[position]),
            "given": int(audit.given[position]),
            "suggested": int(audit.suggested[position]),
            "score": round(float(audit.score[position]), 4),
            "name": image_name(noisy.x_train, position),
            "image": data_address(thumbnail(noisy.x_train, position, white)),
        }
        for position in map(int, chosen)
    ]
    of_page = {
        "title": title,
        "lead": lead,
        "classes": list(noisy.class_names),
        "pairs": _pairs(audit.confusions),
        "has_paths": isinstance(noisy.x_train, ImageFiles),
        # The browser keeps decisions by the training set, whatever of it a page shows.
        "id": digest(
            noisy.training_digest().encode(),
            np.asarray(noisy.numbers).tobytes(),
            *(name.encode() + b"\0" for name in noisy.class_names),
        ).decode(),
        "examples": examples,
    }
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    # Within a script element only "</" and "<!--" would be read as HTML.
    return template.replace("$DATA", json.dumps(of_page).replace("<", "\\u003c"))


def _pairs(confusions: np.ndarray) -> list[list[int]]:
    """The pairs of a suggested class, another label given, and their number; most first."""
    others = confusions * (1 - np.eye(len(confusions), dtype=confusions.dtype))
    order = np.argsort(-others, axis=None, kind="stable")[: np.count_nonzero(others)]
    suggested, given = np.unravel_index(order, others.shape)
    return np.stack([suggested, given, others[suggested, given]], axis=1).tolist()


def brightest(images: Images) -> int:
    """The pixel that is to be shown white: digits have pixels up to 16, files up to 255."""
    return max(1, int(images.max())) if isinstance(images, np.ndarray) else 255


def thumbnail(images: Images, position: int, white: int) -> Image.Image:
    """A training image, no larger than `LARGEST_SIDE`, as bright as `white` lets it be.

    Of a file it is the image as it stands there, not as the network gets it.

    Raises:
        ValueError: the file cannot be read.
    """
    if isinstance(images, ImageFiles):
        try:
            pixels = read_image(images.full_path(position))
        except ValueError as error:
            raise ValueError(
                f"An image file can no longer be read: {images.name(position)}: {error}."
            ) from error
    else:
        pixels = images[position]
    pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1]
    pixels = np.round(pixels * (255.0 / white)).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return image


def data_address(image: Image.Image) -> str:
    """An image as an address that holds it."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
