"""Exports a training as a portable program: steps as StableHLO, data, first state, and run.py.

Usage: python -m gdw_tf.portable export --out=DIR [--images=FILE] [flags of gdw_tf.train]

DIR then holds all that a training needs on a machine with NumPy and JAX and without TensorFlow,
where `python DIR/run.py` trains. Most of it is the images, DIR/images.npz by default; with --images
they are in FILE, which several exports of the same data set can share. run.py has the same flag.
"""

from __future__ import annotations

import json
import shutil
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import gdw_tf
from gdw_tf import cli, data, experiment, files, methods, provenance, train_flags
from gdw_tf.data.augmentation import PADDING
from gdw_tf.flag_files import flag_lines
from gdw_tf.methods import Method
from gdw_tf.methods.loss_correction import LossCorrection
from gdw_tf.portable import pure
from gdw_tf.schedules import cosine_by_epoch
from gdw_tf.settings import Settings

IMAGES = cli.define_path(
    "images", None, "File of the images, to share among exports; by default images.npz in --out."
)
GROUPS = {
    "Export": [cli.OUT, IMAGES],
    **{name: train_flags.GROUPS[name] for name in ("Data", "Method", "Training")},
}
EVALUATION_BATCH_SIZE = 500


def main(argv: list[str]) -> None:
    """Exports, from flags to files."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        settings = train_flags.settings_from_flags()
        check_portable(settings)
        out = _new_directory(cli.OUT.value)
        source = experiment.load_source(settings, **train_flags.locations())
        if isinstance(source.x_train, data.ImageFiles):
            raise ValueError(
                f"Images must be in memory to be carried over. Received: dataset="
                f"{settings.dataset}, image files; allowed: data sets of arrays."
            )
        noisy = experiment.prepare_data(settings, source)
        arrays = portable_data(source, noisy)
        images = Path(IMAGES.value or out / "images.npz")
        _check_images(images, arrays["images"])
        model = pure.started_model(settings, source, noisy)
        programs = step_programs(settings, source, noisy, model)

    out.mkdir(parents=True, exist_ok=True)
    if not images.exists():
        images.parent.mkdir(parents=True, exist_ok=True)
        with files.written_aside(images) as aside, aside.open("wb") as file:
            np.savez(file, images=arrays["images"])
    np.savez(out / "data.npz", **{key: value for key, value in arrays.items() if key != "images"})
    np.savez(out / "initial.npz", **pure.state_values(model))
    for (step, size), program in programs.items():
        (out / _file(step, size)).write_bytes(program.stablehlo)
    described = description(settings, source, noisy, model) | {
        "images_crc32": zlib.crc32(np.ascontiguousarray(arrays["images"])),
        "programs": [_described(*key, program) for key, program in programs.items()],
    }
    (out / "description.json").write_text(json.dumps(described, indent=1) + "\n")
    (out / "flags.txt").write_text(
        "\n".join([*flag_lines(settings), *train_flags.location_lines(), ""])
    )
    shutil.copy(Path(__file__).with_name("run.py"), out / "run.py")
    bytes_of_steps = sum(len(program.stablehlo) for program in programs.values())
    print(
        f"exported {settings.method} on {settings.dataset} to {out}: {len(programs)} steps, "
        f"{bytes_of_steps / 1e6:.1f} MB; images {images.stat().st_size / 1e6:.1f} MB"
    )


def check_portable(settings: Settings) -> None:
    """Checks that nothing is asked for that only `fit` and its data pipeline can do.

    Args:
        settings: what is to be carried over; how a machine trains is asked of the flags.

    Raises:
        ValueError: something is.
    """
    # A run's own flags name defaults, too, and whether it records, which says nothing of its steps.
    of_machine = [
        flag
        for flag in train_flags.MACHINE
        if flag.present and flag.value != flag.default and flag is not train_flags.RECORD_EXAMPLES
    ]
    if of_machine:
        raise ValueError(
            "run.py trains in its own way, on one device, and keeps every epoch. Received: "
            f"{of_machine[0].name}={of_machine[0].value}; allowed: flags of data, method and "
            "training."
        )
    if issubclass(methods.by_name(settings.method), LossCorrection):
        raise ValueError(
            f"{settings.method} begins with a training of its own, which cannot be carried over. "
            f"Received: method={settings.method}; allowed: methods of one training."
        )
    for name, allowed in {
        "meta": ("clean", "noisy"),
        "meta_balanced": (False,),
        "randaugment": (0.0,),
        "cutout": (0.0,),
        "mixup": (0.0,),
    }.items():
        value = getattr(settings, name)
        if value not in allowed:
            raise ValueError(
                f"{name} cannot be carried over. Received: {name}={value}; allowed: "
                f"{', '.join(map(str, allowed))}."
            )


def portable_data(source: data.Source, noisy: data.NoisyData) -> dict[str, np.ndarray]:
    """The data as arrays: all images of the source, and each part as indices of them and labels.

    The images do not depend on noise, split or seed, so that one file of them will do for all runs.

    Args:
        source: the data as they were loaded, in memory.
        noisy: what a run makes of them.

    Returns:
        `images`, uint8, (N, height, width, channels), N those of all parts; of `train`, `meta` and
        `test` each `PART_index` and `PART_labels`, int32.
    """
    pools = [source.x_train, source.x_test, *([] if source.x_meta is None else [source.x_meta])]
    images = np.concatenate(pools)
    # Found by their pixels: of images that are equal, any will do.
    position = {image.tobytes(): index for index, image in enumerate(images)}
    arrays = {"images": images}
    for part in ("train", "meta", "test"):
        chosen = (position[image.tobytes()] for image in getattr(noisy, f"x_{part}"))
        arrays[f"{part}_index"] = np.fromiter(chosen, np.int32)
        arrays[f"{part}_labels"] = getattr(noisy, f"y_{part}").astype(np.int32)
    return arrays


def step_programs(
    settings: Settings, source: data.Source, noisy: data.NoisyData, model: Method
) -> dict[tuple[str, int], pure.Program]:
    """Compiles the steps of a run.

    Shapes of StableHLO are static, so the short batch at the end of a pass has a program of its own
    where there is one.

    Returns:
        The programs by `"train"` or `"evaluate"` and batch size.

    Raises:
        ValueError, tf.errors.OpError: as `pure.program`.
    """
    shape, meta_size = source.image_shape, _meta_batch_size(settings, noisy, model)
    training = _sizes([_examples_per_epoch(settings, noisy)], settings.batch_size)
    parts = _evaluated(noisy, model).values()
    evaluated = [len(getattr(noisy, f"y_{part}")) for part in parts]
    return {
        ("train", size): pure.program(
            model, pure.train, pure.training_batch(model, shape, size, meta_size)
        )
        for size in training
    } | {
        ("evaluate", size): pure.program(model, pure.evaluate, pure.evaluation_batch(shape, size))
        for size in _sizes(evaluated, EVALUATION_BATCH_SIZE)
    }


def description(
    settings: Settings, source: data.Source, noisy: data.NoisyData, model: Method
) -> dict[str, Any]:
    """What run.py has to know beside the steps, and what whoever reads it may want to.

    Returns:
        The content of description.json but for `programs` and `images_crc32`:

        - `title`, `exported_by`, `versions`: for people.
        - `flags`, `training_set`, `evaluation_sets`: what results must be of to be imported.
        - `seed`, `epochs`, `steps_per_epoch`, `examples_per_epoch`, `batch_size`,
          `meta_batch_size` (0 for a method that does not train on a meta set),
          `evaluation_batch_size`: numbers.
        - `padding`: pixels on each side before images are cropped; 0 where they are not.
        - `count`: the number of examples of `train`, `meta` and `test`.
        - `evaluated`: what is evaluated after an epoch, by the prefix of its logs.
        - `learning_rate`: the name of the rate in the state.
        - `set_every_epoch`: by name in the state, its value in each epoch.
        - `zero_every_epoch`: names of what is zero when an epoch begins.
    """
    names = {id(variable): name for name, variable in pure.state_variables(model).items()}
    learning_rate = names[id(model.optimizer.learning_rate)]
    rate = cosine_by_epoch(settings.learning_rate, settings.epochs)
    epochs = range(settings.epochs)
    augmented = settings.augmentation(source.augment).crop_and_flip
    return {
        "title": f"{settings.method} on {settings.dataset}, {settings.noise} noise "
        f"{settings.noise_rate}, {settings.network}, seed {settings.seed}",
        "exported_by": provenance.made_by(),
        "flags": flag_lines(settings),
        "training_set": noisy.training_digest(),
        "evaluation_sets": noisy.evaluation_digest(),
        "versions": {
            "gdw_tf": gdw_tf.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
        "seed": settings.seed,
        "epochs": settings.epochs,
        "steps_per_epoch": experiment.steps_per_epoch(settings, noisy),
        "examples_per_epoch": _examples_per_epoch(settings, noisy),
        "batch_size": settings.batch_size,
        "meta_batch_size": _meta_batch_size(settings, noisy, model),
        "evaluation_batch_size": EVALUATION_BATCH_SIZE,
        "padding": PADDING if augmented else 0,
        "count": {part: len(getattr(noisy, f"y_{part}")) for part in ("train", "meta", "test")},
        "evaluated": _evaluated(noisy, model),
        "learning_rate": learning_rate,
        "set_every_epoch": {
            learning_rate: [rate(epoch) for epoch in epochs],
            names[id(model.progress)]: [epoch / settings.epochs for epoch in epochs],
        },
        "zero_every_epoch": [names[id(variable)] for variable in model.metrics_variables],
    }


def _examples_per_epoch(settings: Settings, noisy: data.NoisyData) -> int:
    """One pass where nothing else is said; else full batches of passes joined end to end."""
    steps, size = settings.steps_per_epoch, settings.batch_size
    is_a_pass = steps is None or steps == -(-len(noisy.y_train) // size)
    return len(noisy.y_train) if is_a_pass else steps * size


def _meta_batch_size(settings: Settings, noisy: data.NoisyData, model: Method) -> int:
    return min(settings.meta_batch_size, len(noisy.y_meta)) if model.needs_meta_set else 0


def _evaluated(noisy: data.NoisyData, model: Method) -> dict[str, str]:
    """What is evaluated after every epoch, by the prefix of its logs."""
    parts = {"val": "test"}
    if not model.needs_meta_set and len(noisy.y_meta):
        parts["meta"] = "meta"
    return parts


def _sizes(counts: Iterable[int], batch_size: int) -> list[int]:
    """The sizes of the batches that a number of examples is cut into."""
    sizes = {batch_size if count >= batch_size else 0 for count in counts}
    return sorted((sizes | {count % batch_size for count in counts}) - {0})


def _described(step: str, batch_size: int, program: pure.Program) -> dict[str, Any]:
    """Inputs and outputs of a step, in their order."""

    def tensors(role: str, specs: dict[str, tf.TensorSpec]) -> list[dict[str, Any]]:
        return [
            {"name": name, "role": role, "shape": spec.shape.as_list(), "dtype": spec.dtype.name}
            for name, spec in specs.items()
        ]

    state, ignored = tensors("state", program.state), tensors("ignored", program.state)
    return {
        "step": step,
        "batch_size": batch_size,
        "file": _file(step, batch_size),
        "inputs": [*state, *tensors("batch", program.batch), *ignored],
        "outputs": [*tensors("logs", program.logs), *state, *ignored],
    }


def _file(step: str, batch_size: int) -> str:
    return f"{step}_{batch_size}.stablehlo"


def _new_directory(name: str | None) -> Path:
    """Checks the directory to write; writes nothing."""
    if not name:
        raise ValueError("Name the directory to write. Received: no --out")
    out = Path(name)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"out must be a new directory. Received: {out}, which is there")
    return out


def _check_images(path: Path, images: np.ndarray) -> None:
    """Checks that a file of images that is there already holds these."""
    if not path.exists():
        return
    try:
        with np.load(path, allow_pickle=False) as file:
            is_same = "images" in file.files and np.array_equal(file["images"], images)
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile):
        # No archive, or a torn one.
        is_same = False
    if not is_same:
        raise ValueError(
            f"images must be those of this data set. Received: {path}, which holds others; "
            "allowed: such an archive, or a path where there is none yet."
        )
