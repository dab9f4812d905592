"""Images that stay in their files until a batch needs them.

The images of a small data set are one array in memory. Those of a large one are files: a million
photographs are some hundred gigabytes of pixels, but only some hundred megabytes of paths.
`ImageFiles` holds the paths and can be indexed as the array could: `files[indices]` is the data set
of these files, so splits, noise and long tails need not know which of the two they work on.

A file is decoded by TensorFlow, without Python, so that a stream of batches reads many at once. The
whole image is brought to the size of the others; its aspect ratio is not kept. What is grey or has
a palette becomes RGB (a BMP with a palette is refused), transparency is dropped, and an orientation
noted beside the pixels (EXIF) is not applied.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf


class ImageFiles:
    """Image files of one size to be, a stand-in for an array of shape (N, height, width, 3).

    Args:
        root: The folder that the paths are relative to.
        paths: Paths of JPEG, PNG, WebP or BMP files, strings, or an array of bytes, shape (N,).
        image_size: (height, width) that every image is resized to.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        root: str | os.PathLike[str],
        paths: Iterable[str] | np.ndarray,
        image_size: tuple[int, int],
    ) -> None:
        self.root = os.fspath(root)
        # Of fixed width: a million Python strings would take ten times the room.
        self.paths = (
            paths
            if isinstance(paths, np.ndarray)
            else np.array([os.fsencode(path) for path in paths], dtype=np.bytes_)
        )
        self.image_size = tuple(image_size)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, height, width, 3)."""
        return (len(self.paths), *self.image_size, 3)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.paths)

    def __getitem__(self, indices: np.ndarray | slice) -> ImageFiles:
        """The images at these indices, still in their files."""
        return ImageFiles(self.root, self.paths[indices], self.image_size)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        """Refused: NumPy would otherwise try to read them one by one, as a sequence."""
        raise TypeError(
            f"Images in files are no array. Received: {len(self)} files in {self.root}."
        )

    def name(self, index: int) -> str:
        """The path of an image, relative to the root."""
        return os.fsdecode(self.paths[index])

    def full_path(self, index: int) -> str:
        """The path of an image."""
        return os.path.join(self.root, self.name(index))

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Reads and decodes one image, also within a graph.

        Args:
            index: A scalar integer.

        Returns:
            uint8, shape (height, width, 3).

        Raises:
            tf.errors.OpError: If the file cannot be read or decoded.
        """
        path = tf.strings.join([self.root, os.sep, self._path_tensor[index]])
        return decode_image(tf.io.read_file(path), self.image_size)

    def load_all(self, indices: tf.Tensor) -> tf.Tensor:
        """Reads and decodes images, several at a time, also within a graph.

        Args:
            indices: Integers, shape (B,).

        Returns:
            uint8, shape (B, height, width, 3).

        Raises:
            tf.errors.OpError: If a file cannot be read or decoded.
        """
        spec = tf.TensorSpec((*self.image_size, 3), tf.uint8)
        return tf.map_fn(self.load, indices, fn_output_signature=spec)

    @functools.cached_property
    def _path_tensor(self) -> tf.Tensor:
        # Once, and outside of any graph, which would hold a copy.
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(self.paths)


Images = np.ndarray | ImageFiles


def as_array(images: Images) -> np.ndarray:
    """Gives images as an array; those in files are read and decoded, all at once.

    Args:
        images: An array, or files of which at least one.

    Returns:
        An array of the same shape.
    """
    if not isinstance(images, ImageFiles):
        return images
    decoded = tf.data.Dataset.range(len(images)).map(
        images.load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return decoded.batch(len(images)).get_single_element().numpy()


def decode_image(
    contents: tf.Tensor | bytes, image_size: tuple[int, int] | None = None
) -> tf.Tensor:
    """Decodes an image and resizes it, with a triangle filter that covers what it shrinks.

    Args:
        contents: What stands in the file, a scalar string.
        image_size: (height, width) wanted; `None` for the size it has.

    Returns:
        uint8, shape (height, width, 3).

    Raises:
        tf.errors.InvalidArgumentError: If it is damaged or no image.
    """
    image = tf.io.decode_image(contents, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    return image if image_size is None else resize(image, image_size)


def resize(images: tf.Tensor, image_size: tuple[int, int]) -> tf.Tensor:
    """Resizes images, with a triangle filter that covers what it shrinks.

    Args:
        images: uint8, shape ([B,] height, width, channels).
        image_size: (height, width) wanted.

    Returns:
        uint8, of that size; the same pixels if they are of that size already.
    """
    resized = tf.image.resize(images, image_size, antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)
