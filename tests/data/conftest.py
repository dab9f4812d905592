from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest


def pixels_of(seed: int, height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.RandomState(seed).randint(256, size=(height, width, 3)).astype(np.uint8)


@pytest.fixture
def write_image():
    """Writes an image of random pixels and returns the pixels; WebP without loss."""

    def write(path: Path, seed: int, height: int = 6, width: int = 8) -> np.ndarray:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = pixels_of(seed, height, width)
        options = {"lossless": True} if path.suffix == ".webp" else {}
        PIL.Image.fromarray(pixels).save(path, **options)
        return pixels

    return write


@pytest.fixture
def image_folder(tmp_path, write_image) -> Path:
    """A folder of two classes: train/ of 4 images each, meta/ and test/ of 2, all different."""
    seed = 0
    for part, count in (("train", 4), ("meta", 2), ("test", 2)):
        for label in ("cat", "dog"):
            for number in range(count):
                suffix = (".png", ".webp", ".bmp", ".PNG")[number]
                write_image(tmp_path / "tree" / part / label / f"{number}{suffix}", seed)
                seed += 1
    return tmp_path / "tree"


def windows_of(image: np.ndarray) -> dict[bytes, tuple[int, int, bool]]:
    """All crops of a padded image and their mirror images, computed with `numpy.pad`."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    windows = {}
    for top in range(9):
        for left in range(9):
            crop = padded[top : top + height, left : left + width]
            windows[crop.tobytes()] = (top, left, False)
            windows[crop[:, ::-1].tobytes()] = (top, left, True)
    return windows


@pytest.fixture
def possible_windows() -> Callable[[np.ndarray], dict[bytes, tuple[int, int, bool]]]:
    """All results of cropping and flipping an image, by their bytes."""
    return windows_of
