"""Says what is on images, by an exported classifier of any format.

Usage: python -m gdw_tf.predict EXPORTED IMAGE|FOLDER... [--top=K] [--out=FILE.csv]

EXPORTED is what gdw_tf.export wrote. Images are JPEG, PNG, WebP or BMP files, and are resized as in
training; of a folder, all images in it and below it are taken. One line an image is printed: its
path, the name of its class and the probability of that, with tabulators between; with --top=K those
of the K likeliest classes. --out writes the same as a table, a line for each of them: path, rank,
label, name, probability.

An image that cannot be read is named on stderr, and the others go on; if none can be read, the exit
code is 2.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from gdw_tf import cli, data, files, serving
from gdw_tf.checks import check_file, check_integer, one_line
from gdw_tf.data.sources.folder import SUFFIXES

TOP = flags.DEFINE_integer("top", 1, "Classes named for each image, the likeliest first.")
BATCH_SIZE = 64
_GREY = (0.299, 0.587, 0.114)  # shares of red, green and blue, as of ITU-R BT.601; their sum is 1


class Prediction(NamedTuple):
    """A class that an image may be of, with its rank among the classes, from 1."""

    path: Path
    rank: int
    label: int
    name: str
    probability: float


def main(argv: list[str]) -> None:
    """Prints the predictions, and writes them."""
    with cli.user_errors():
        if len(argv) < 3:
            raise ValueError(f"Name an exported model and images. Received: {argv[1:]}")
        out = Path(cli.OUT.value) if cli.OUT.value else None
        if out:
            check_file("out", out)
        paths = [path for named in argv[2:] for path in _images(Path(named))]
        if out:
            for source in (Path(argv[1]), *paths):
                if out.resolve().is_relative_to(source.resolve()):
                    raise ValueError(f"out is what is read itself. Received: out={out}, {source}")
        served = serving.load(Path(argv[1]))
        check_integer("top", TOP.value, 1, len(served.class_names))
        if served.image_shape[-1] not in (1, 3):
            raise ValueError(
                "Image files are grey or of three colours. Received: a model of images of shape "
                f"{served.image_shape}."
            )
        if served.image_dtype != "uint8":
            raise ValueError(
                "The pixels of image files are 0 to 255. Received: a model of "
                f"{served.image_dtype} images, whose range is not known; allowed: uint8."
            )
    rows: list[Prediction] = []
    for start in range(0, len(paths), BATCH_SIZE):
        for ranked in _predictions(served, paths[start : start + BATCH_SIZE], TOP.value):
            said = (f"{one.name}\t{one.probability:.4f}" for one in ranked)
            _say("\t".join([one_line(ranked[0].path, length=10_000), *said]))
            rows += ranked
    if not rows:
        cli.fail(f"No image can be read. Received: {len(paths)} files")
    if out:
        with cli.user_errors():
            _write(out, rows)


def _say(line: str) -> None:
    """Prints a line; where nobody reads it any more, the table alone is still to be written."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        if not cli.OUT.value:
            raise
        cli.stop_printing()


def _images(named: Path) -> list[Path]:
    """The images that the user names: a file, or those in and below a folder."""
    if named.is_dir():
        below = (path for path in sorted(named.rglob("*")) if path.suffix.lower() in SUFFIXES)
        found = [path for path in below if path.is_file() and not path.name.startswith(".")]
        if not found:
            raise ValueError(
                f"There are no images in the folder. Received: {named}; allowed: files ending in "
                f"{', '.join(SUFFIXES)}."
            )
        return found
    if not named.exists():
        raise FileNotFoundError(f"There is no such image. Received: {named}")
    return [named]


def _predictions(
    served: serving.Served, paths: Sequence[Path], top: int
) -> Iterator[list[Prediction]]:
    """The likeliest classes of each image that can be read."""
    *image_size, channels = served.image_shape
    read: list[tuple[Path, np.ndarray]] = []
    for path in paths:
        try:
            image = data.read_image(str(path), tuple(image_size))
        except ValueError as error:
            print(f"cannot be read: {one_line(path, length=10_000)}: {error}", file=sys.stderr)
        else:
            read.append((path, _in_channels(image, channels)))
    if not read:
        return
    probabilities = served.answer(np.stack([image for _, image in read]))["probabilities"]
    for (path, _), row in zip(read, probabilities, strict=True):
        labels = np.argsort(-row, kind="stable")[:top]
        yield [
            Prediction(path, rank, int(label), served.class_names[label], float(row[label]))
            for rank, label in enumerate(labels, start=1)
        ]


def _in_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An image of three colours with the channels asked for: itself, or in grey."""
    if channels == 3:
        return image
    return np.rint(image @ np.array(_GREY))[..., np.newaxis].astype(np.uint8)


def _write(out: Path, rows: Sequence[Prediction]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        files.written_aside(out) as aside,
        # A file's name need not be UTF-8; it is written as the bytes that it is.
        aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(Prediction._fields)
        writer.writerows(rows)


def run() -> None:
    """Runs the program, as the console script `gdw-predict` does."""
    cli.run(main, doc=__doc__, groups={"Options": [TOP, cli.OUT]})


if __name__ == "__main__":
    run()
