"""Exports the classifier of a run for clients that are not this library.

Usage: python -m gdw_tf.export WORKDIR [--format=saved_model] [--checkpoint=best] [--out=PATH]

Raw uint8 images in, `probabilities`, `logits` and `label` out, the names of the classes within. The
formats are saved_model (TensorFlow), onnx, litert and keras (a .keras file of Keras's own layers).
By default PATH is the directory WORKDIR/export, or the file WORKDIR/export.onnx, .tflite or .keras.

--quantize=int8, of litert, computes in integers, in ranges that the run's meta set tells, and
prints what that does to the accuracy on the test set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from gdw_tf import cli, data, experiment, files, run_loading, serving, train_flags
from gdw_tf.checks import check_directory, check_file
from gdw_tf.methods import Method
from gdw_tf.serving import saved_model
from gdw_tf.settings import Settings
from gdw_tf.workdir import Workdir

FORMAT = flags.DEFINE_enum("format", "saved_model", serving.FORMATS, "What to write.")
QUANTIZE = flags.DEFINE_enum(
    "quantize", None, ["int8"], "Numbers that a litert model computes with, float32 by default."
)


def main(argv: list[str]) -> None:
    """Writes the exported model."""
    format = FORMAT.value
    with cli.user_errors():
        workdir, settings = run_loading.open_run(argv)
        out = Path(cli.OUT.value or f"{workdir.export}{serving.suffix(format)}")
        _check(out, format)
        run_loading.check_not_of_run(out, workdir)
        class_names = _class_names(workdir)
        model = run_loading.load_checkpoint(workdir)
        source = noisy = None
        if QUANTIZE.value:
            source = experiment.load_source(settings, **train_flags.locations())
            noisy = _calibrated_data(source, workdir, settings)
    options: dict[str, Any] = {"class_names": class_names}
    if noisy is not None:
        one_by_one = data.evaluation_batches(noisy.x_meta, noisy.y_meta, batch_size=1)
        options["calibration"] = one_by_one.map(lambda images, _: images)
    with contextlib.nullcontext() if source is None else run_loading.image_failures(source):
        with cli.user_errors():
            _write(out, format, workdir, model, options)
        if noisy is not None:
            _compare(out, model, noisy)


def _write(
    out: Path, format: str, workdir: Workdir, model: Method, options: dict[str, Any]
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_dir() and out != workdir.export:  # it may hold what is not ours to remove
        serving.write(model.classifier, out, format, **options)
    else:
        with files.written_aside(out) as aside:
            serving.write(model.classifier, aside, format, **options)
    print(f"exported the {run_loading.CHECKPOINT.value} checkpoint to {out}")


def _compare(out: Path, model: Method, noisy: data.NoisyData) -> None:
    """Says what a quantized model reaches beside the one that it was made of."""
    served = serving.load(out)
    quantized = _accuracy(lambda images: served.answer(images)["label"], noisy)
    whole = _accuracy(lambda images: model.predict_on_batch(images).argmax(axis=1), noisy)
    print(
        f"accuracy on {len(noisy.y_test)} test images: {QUANTIZE.value} "
        f"{100 * quantized:.2f} %, float {100 * whole:.2f} %; calibrated on "
        f"{len(noisy.x_meta)} meta images"
    )


def _check(out: Path, format: str) -> None:
    """Checks what was asked for, before anything is read."""
    if QUANTIZE.value and format != "litert":
        raise ValueError(
            f"quantize belongs to format=litert. Received: quantize={QUANTIZE.value}, "
            f"format={format}"
        )
    serving.check_installed(format)
    if serving.suffix(format):
        check_file("out", out, serving.suffix(format))
    else:
        check_directory("out", out)
        saved_model.check_path(out)


def _class_names(workdir: Workdir) -> tuple[str, ...] | None:
    class_names = workdir.read_class_names()
    if class_names is None:
        print(
            "The run is older than the file of its class names, and classes go by their numbers; "
            f"gdw_tf.train --flagfile={workdir.flags} --workdir={workdir.root} --resume adds the "
            "file."
        )
    return class_names


def _calibrated_data(source: data.Source, workdir: Workdir, settings: Settings) -> data.NoisyData:
    """The data of a run, whose meta set calibrates.

    Raises:
        ValueError: the run has no meta set yet; the classes are others by now.
    """
    noisy = run_loading.data_from(source, workdir, settings)
    run_loading.check_class_names(workdir, noisy.class_names)
    if not len(noisy.y_meta):
        raise ValueError(f"No meta set is chosen yet. Received: meta={settings.meta}")
    return noisy


def _accuracy(label: Callable[[np.ndarray], np.ndarray], noisy: data.NoisyData) -> float:
    """The share of the test images that get their label."""
    right = [
        label(images.numpy()) == labels.numpy()
        for images, labels in data.evaluation_batches(noisy.x_test, noisy.y_test)
    ]
    return float(np.concatenate(right).mean())


def run() -> None:
    """Runs the program, as the console script `gdw-export` does."""
    groups = {"Options": [FORMAT, QUANTIZE, cli.OUT, *run_loading.FLAGS_OF_A_RUN]}
    cli.run(main, doc=__doc__, groups=groups)


if __name__ == "__main__":
    run()
