"""Looking at every image once before training: what cannot be read, and what leaks.

A training that ends in its third day at a broken file was three days too long, and a meta set
whose images are training images too teaches the weights of these by heart. So the files of a data
set are read, decoded and hashed, once, in parallel:

    found = scan(source)
    source = without(source, found.unreadable)

Unreadable files are left out if they are few; a leak is an error. The contents are compared, not
the names: a copy under another name is a leak too.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import io
import os
from collections.abc import Callable, Collection, Iterator

import numpy as np
import PIL.Image
import tensorflow as tf

from gdw_tf.checks import one_line
from gdw_tf.data.digests import DIGEST_BYTES, digest, row_digests
from gdw_tf.data.images import ImageFiles, Images, decode_image
from gdw_tf.data.sources.source import Source

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MAX_PIXELS = 50_000_000
"""Pixels of the largest image that is decoded: a small file can hold gigabytes of them."""
MAX_BYTES = 2**29
"""Bytes of the largest file that is read; `MAX_PIXELS` without any compression are fewer."""

_CHUNK = 4096  # results that wait at a time


@dataclasses.dataclass(frozen=True)
class Scan:
    """What `scan` found.

    Attributes:
        files: Number of files looked at.
        unreadable: The files that cannot be read or decoded, relative to the root of the data,
            each with the reason.
    """

    files: int
    unreadable: dict[str, str]


def scan(source: Source, *, max_unreadable: float = 0.05, allow_leak: bool = False) -> Scan:
    """Reads, decodes and hashes the images of a source, as far as there is something to find.

    That is all image files, and the training and meta images in memory if the meta set is one of
    its own. Of a data set in memory without one nothing is looked at.

    Args:
        source: The data set.
        max_unreadable: The largest share of files that may be unreadable, 0 to 1.
        allow_leak: Whether images of the clean set may be among the training images.

    Returns:
        What was found.

    Raises:
        ValueError: If more files are unreadable, or images leak.
    """
    unreadable: dict[str, str] = {}
    digests: dict[str, np.ndarray] = {}
    files = 0
    for part in source.parts:
        images = getattr(source, f"x_{part}")
        if isinstance(images, ImageFiles):
            files += len(images)
        elif source.x_meta is None or part == "test":
            continue
        digests[part] = _digests(images, unreadable)
    if len(unreadable) > max_unreadable * files:
        first = "; ".join(f"{path}: {reason}" for path, reason in list(unreadable.items())[:3])
        raise ValueError(
            f"Too many files are unreadable. Received: {len(unreadable)} of {files} ({first}); "
            f"allowed: max_unreadable={max_unreadable} of them."
        )
    if source.x_meta is not None and not allow_leak:
        _check_leak(source, digests)
    return Scan(files, unreadable)


def without(source: Source, paths: Collection[str]) -> Source:
    """Leaves files out of a source.

    Args:
        source: The data set.
        paths: Their paths relative to the root of the data, as `Scan.unreadable` has them.

    Returns:
        The same data set without these images and their labels.

    Raises:
        ValueError: If a class loses its last training image, or a part its last image.
    """
    if not paths:
        return source
    changes = {}
    for part in source.parts:
        images, labels = getattr(source, f"x_{part}"), getattr(source, f"y_{part}")
        if not isinstance(images, ImageFiles):
            continue
        kept = np.array([images.name(index) not in paths for index in range(len(images))], bool)
        changes |= {f"x_{part}": images[kept], f"y_{part}": labels[kept]}
        if part == "train" and source.y_given is not None:
            changes["y_given"] = source.y_given[kept]
        lost = np.setdiff1d(labels, labels[kept])
        if not kept.any() or part == "train" and lost.size:
            raise ValueError(
                f"No readable {part} image is left of class {source.class_names[lost[0]]}. "
                f"Received: {len(paths)} unreadable files."
            )
    return dataclasses.replace(source, **changes)


def first_unreadable(source: Source) -> tuple[str, str] | None:
    """Looks for an image file that cannot be read or decoded, in the order of the data.

    Returns:
        Its path and the reason; `None` if all can be read, or the images are in memory.
    """
    for part in source.parts:
        images = getattr(source, f"x_{part}")
        if not isinstance(images, ImageFiles):
            continue
        for index, result in _read(images, lambda contents: b""):
            if isinstance(result, str):
                return images.full_path(index), result
    return None


def failure_of_images(error: Exception, source: Source) -> str | None:
    """Says which image file can no longer be read, if that is what an error comes from."""
    unreadable = first_unreadable(source) if isinstance(error, tf.errors.OpError) else None
    if unreadable is None:
        return None
    return "An image file can no longer be read: {}: {}.".format(*unreadable)


def read_image(path: str, image_size: tuple[int, int] | None = None) -> np.ndarray:
    """Reads and decodes an image file as a training does.

    Args:
        path: The file.
        image_size: (height, width) that it is resized to; `None` for the size it has.

    Returns:
        uint8, shape (height, width, 3).

    Raises:
        ValueError: If it cannot be read or decoded, or holds too much; the message is the reason
            alone.
    """
    try:
        return _decoded(_contents(path), image_size).numpy()
    except Exception as error:  # a damaged file gets anything at all out of its decoder
        raise ValueError(_reason(error)) from error


def _read(
    images: ImageFiles, hashed: Callable[[bytes], bytes]
) -> Iterator[tuple[int, bytes | str]]:
    """Reads and decodes files, many at a time.

    Yields:
        The index of each, and the digest of its contents, or why it cannot be read or decoded.
    """

    def read(index: int) -> bytes | str:
        try:
            contents = _contents(images.full_path(index))
            _decoded(contents)  # not resized: that cannot fail, and takes longer than the rest
        except Exception as error:  # as in `read_image`
            return _reason(error)
        return hashed(contents)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(images), _CHUNK):
            indices = range(start, min(start + _CHUNK, len(images)))
            yield from zip(indices, threads.map(read, indices), strict=True)


def _digests(images: Images, unreadable: dict[str, str]) -> np.ndarray:
    """Hashes what images hold; those that cannot be read get an empty digest and are noted."""
    found = np.empty(len(images), dtype=f"S{2 * DIGEST_BYTES}")
    if not isinstance(images, ImageFiles):
        for index, row in enumerate(row_digests([images])):
            found[index] = row
        return found

    for index, result in _read(images, digest):
        if isinstance(result, bytes):
            found[index] = result
        else:
            found[index] = b""
            unreadable[images.name(index)] = result
    return found


def _contents(path: str) -> bytes:
    """What stands in a file; of one that is too large, more than is allowed."""
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def _reason(error: Exception) -> str:
    said = str(getattr(error, "message", error)).rpartition("}} ")[2]  # without the graph's node
    return one_line(said) or type(error).__name__


def _decoded(contents: bytes, image_size: tuple[int, int] | None = None) -> tf.Tensor:
    """Decodes as batches are; raises an error if that fails, or there are too many pixels."""
    if len(contents) > MAX_BYTES:
        raise ValueError(f"too large a file; allowed: {MAX_BYTES:,} bytes")
    try:
        with PIL.Image.open(io.BytesIO(contents), formats=FORMATS) as image:  # the header only
            width, height = image.size
            has_colour_table = image.format == "BMP" and image.mode == "P"
    except PIL.UnidentifiedImageError:
        raise ValueError(f"no image; allowed: {', '.join(FORMATS)}") from None
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(str(error)) from None
    if has_colour_table:  # TensorFlow would give the numbers of the colours for grey
        raise ValueError("a BMP with a palette; allowed: others, such as the same as PNG")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels; allowed: {MAX_PIXELS:,} in all")
    with tf.device("CPU:0"):
        return decode_image(contents, image_size)


def _check_leak(source: Source, digests: dict[str, np.ndarray]) -> None:
    train, meta = digests["train"], digests["meta"]
    shared = np.setdiff1d(np.intersect1d(train, meta), [b""])
    if not shared.size:
        return
    first = (
        _name(source.x_meta, "meta", int(np.argmax(meta == shared[0]))),
        _name(source.x_train, "train", int(np.argmax(train == shared[0]))),
    )
    raise ValueError(
        f"Images of the clean set are training images too. Received: {shared.size} of them, first "
        f"{first[0]}, which is {first[1]}; allowed: none, or allow_leak."
    )


def _name(images: Images, part: str, index: int) -> str:
    return images.name(index) if isinstance(images, ImageFiles) else f"x_{part}[{index}]"
