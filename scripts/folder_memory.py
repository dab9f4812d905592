"""Measures that the memory of a training on a folder of images does not grow with their number.

Usage: python scripts/folder_memory.py [--images=20000,200000] [--out=FILE.md]

For each number, makes a folder of this many small training images, all different, in a temporary
directory, trains GDW on it for a few steps with `python -m gdw_tf.train`, and prints the peak of
that program's resident memory and its seconds, which go into looking at every file. What memory
grows by, the paths and labels, is named in bytes an image; as equal runs differ by some 15 MiB,
take 1,000,000 images to know it well. Some minutes on two cores, and 4 KiB of disk an image.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
from absl import flags

from gdw_tf import cli
from gdw_tf.checks import check_file
from gdw_tf.provenance import made_by
from gdw_tf.results import markdown_table

IMAGES = flags.DEFINE_list("images", ["20000", "200000"], "Numbers of training images, rising.")

CLASSES = 10
CLEAN = 10 * CLASSES  # meta images, and as many test images
TRAINING = (
    *("--dataset=folder", "--image_size=32,32", "--network=small_cnn"),
    *("--epochs=1", "--steps_per_epoch=5"),
)


def make_tree(root: Path, images: int) -> None:
    """Makes a folder of small JPEG files as `--dataset=folder` reads it, no two alike."""
    random_state = np.random.RandomState(0)
    pictures = []
    for _ in range(100):
        buffer = io.BytesIO()
        PIL.Image.fromarray(random_state.randint(256, size=(32, 32, 3)).astype(np.uint8)).save(
            buffer, "JPEG"
        )
        pictures.append(buffer.getvalue())
    number = 0
    for part, count in {"train": images, "meta": CLEAN, "test": CLEAN}.items():
        folders = [root / part / f"class_{label}" for label in range(CLASSES)]
        for folder in folders:
            folder.mkdir(parents=True)
        for place in range(count):
            picture = pictures[number % len(pictures)]
            # The start mark, a comment segment with the file's number, and the rest.
            comment = b"\xff\xfe" + (10).to_bytes(2, "big") + number.to_bytes(8, "big")
            path = folders[place % CLASSES] / f"{number:08}.jpg"
            path.write_bytes(picture[:2] + comment + picture[2:])
            number += 1


def measure(images: int) -> tuple[int, float]:
    """Trains on this many images; returns the peak of resident memory in bytes, and the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        make_tree(Path(folder, "images"), images)
        command = [sys.executable, "-m", "gdw_tf.train", *TRAINING]
        command += [f"--data_dir={folder}/images", f"--workdir={folder}/run"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        summary = json.loads(Path(folder, "run", "summary.json").read_text())
    return summary["peak_memory_bytes"], summary["seconds"]


def table(sizes: list[int]) -> str:
    """The table as Markdown, with what it was made by."""
    peaks, rows = [], []
    for images in sizes:
        peak, seconds = measure(images)
        peaks.append(peak)
        rows.append([f"{images:,}", f"{peak / 2**20:,.0f}", f"{seconds:,.0f}"])
        print(*rows[-1], file=sys.stderr, flush=True)
    lines = markdown_table(["training images", "peak memory, MiB", "seconds"], rows)
    if len(sizes) > 1:
        growth = (peaks[-1] - peaks[0]) / (sizes[-1] - sizes[0])
        lines += ["", f"Growth: {growth:,.0f} bytes an image."]
    said = f"`python -m gdw_tf.train {' '.join(TRAINING)}`, JPEG files of 32 x 32 pixels"
    lines += ["", f"{said}, {made_by()}"]
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Prints the table, and writes it where there is an --out."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        if not IMAGES.value or not all(one.isdecimal() and int(one) for one in IMAGES.value):
            raise ValueError(
                f"images must be numbers from 1. Received: images={','.join(IMAGES.value)}"
            )
        if cli.OUT.value:
            check_file("out", Path(cli.OUT.value))
    text = table([int(images) for images in IMAGES.value])
    print(text)
    if cli.OUT.value:
        Path(cli.OUT.value).write_text(text + "\n")


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Memory": [IMAGES, cli.OUT]})
