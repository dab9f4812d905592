"""Shows the data that a training with the same flags would see, without any training.

Usage: python -m gdw_tf.data.describe [--out=DIR] [flags of gdw_tf.train]

Prints how many images there are of each class in each part, and how the labels given differ from
the true classes. With --out, DIR gets that as description.txt, and pictures: classes.png (images
of each class), noise_matrix.png (labels given by true class) and examples.png (training images
with their labels, wrong ones marked); and unreadable.txt if image files cannot be read. By default
nothing is written.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gdw_tf import cli, data, experiment, train_flags
from gdw_tf.checks import check_directory
from gdw_tf.data import figures
from gdw_tf.data.noise import TABLE_CLASSES, matrix_text
from gdw_tf.settings import Settings
from gdw_tf.workdir import Workdir


def main(argv: list[str]) -> None:
    """Prints the description and writes the files."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        out = cli.OUT.value and Path(cli.OUT.value)
        if out:
            figures.check_matplotlib()
            check_directory("out", out)
        settings = train_flags.settings_from_flags()
        source = experiment.load_source(settings, **train_flags.locations())
        found = experiment.scan(settings, source)
        noisy = experiment.prepare_data(settings, data.without(source, found.unreadable))
        if out:
            out.mkdir(parents=True, exist_ok=True)
    few = noisy.num_classes <= TABLE_CLASSES
    print(full_description(settings, noisy) if few else description(settings, noisy))
    if found.unreadable:
        print(f"{len(found.unreadable)} of {found.files} image files cannot be read")
    if out:
        with cli.user_errors():
            workdir = Workdir(out)
            workdir.write_description(full_description(settings, noisy))
            if found.unreadable:
                workdir.write_unreadable(found.unreadable)
            _write_pictures(out, settings, noisy)
        print(f"written to {out}")


def full_description(settings: Settings, noisy: data.NoisyData) -> str:
    """Describes the data as `description` does, and the realised noise matrix, if it is known."""
    text = description(settings, noisy)
    if noisy.noise_counts is None:
        return text
    return f"{text}\n\n{matrix_text(noisy.noise_counts, noisy.class_names)}"


def description(settings: Settings, noisy: data.NoisyData) -> str:
    """Describes the data in a few lines and a table.

    Args:
        settings: What was asked for.
        noisy: What came out.

    Returns:
        Numbers of images, the share of wrong labels, and for each class its images in each part;
        of the training set also those with its label.
    """
    parts = {
        "train": noisy.y_train if noisy.y_true is None else noisy.y_true,
        "given": noisy.y_train,
        "meta": noisy.y_meta,
        "test": noisy.y_test,
    }
    counts = {
        part: np.bincount(labels, minlength=noisy.num_classes) for part, labels in parts.items()
    }
    shape = " x ".join(map(str, noisy.x_train.shape[1:]))
    width = max(len("class"), *(len(name) + 4 for name in noisy.class_names))
    lines = [
        f"{settings.dataset}, seed {settings.seed}: {noisy.num_classes} classes, images of {shape}",
        f"{len(noisy.y_train)} training, {len(noisy.y_meta)} meta and {len(noisy.y_test)} test "
        "images",
        f"noise {settings.noise}, rate {settings.noise_rate}; "
        f"wrong labels: {_share(noisy.noise_rate)}",
        f"meta set {settings.meta}; wrong labels: {_share(noisy.meta_noise_rate)}",
        f"imbalance {settings.imbalance}, factor {settings.imbalance_factor}",
        "",
        f"{'class':<{width}}" + "".join(f"{part:>8}" for part in counts),
    ]
    for label, name in enumerate(noisy.class_names):
        numbers = "".join(f"{count[label]:>8}" for count in counts.values())
        lines.append(f"{f'{label:>3} {name}':<{width}}{numbers}")
    return "\n".join(lines)


def _share(rate: float | None) -> str:
    return "not known" if rate is None else f"{100 * rate:.1f} %"


def _write_pictures(out: Path, settings: Settings, noisy: data.NoisyData) -> None:
    pictures = {
        "classes": figures.class_histogram(noisy),
        "examples": figures.contact_sheet(noisy, settings.seed),
    }
    if noisy.noise_matrix is not None:
        pictures["noise_matrix"] = figures.noise_matrix(noisy)
    for name, figure in pictures.items():
        figure.savefig(out / f"{name}.png", dpi=100, bbox_inches="tight")


def run() -> None:
    """Runs the program, as the console script `gdw-describe` does."""
    cli.run(main, doc=__doc__, groups={"Output": [cli.OUT], **train_flags.GROUPS})


if __name__ == "__main__":
    run()
