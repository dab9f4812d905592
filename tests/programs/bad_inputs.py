"""Bad inputs, one a line, and what is needed to try them: data for a test and for a table.

`PROGRAMS` are command lines, tried beside a run that is there; `CALLS` are Python expressions.
Each has the words that its one line of error must hold: what was received, mostly.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import struct
import types
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import PIL.Image
import tensorflow as tf

import gdw_tf
from gdw_tf import audit, data, losses, networks, pseudo_clean, schedules
from gdw_tf.settings import resolve
from gdw_tf.workdir import Workdir

from .conftest import SHORT, run

# RUN is the directory of a run, NEW one that is not there, DIR that of what `write_files` writes.
# A training has --workdir=RUN where it does not say otherwise, or NEW where data are looked at.
PROGRAMS: Sequence[tuple[str, str]] = [
    ("train --epochs=0", "epochs=0; allowed: at least 1"),
    ("train --epochs=1.5", "epochs=1.5; allowed: an integer"),
    ("train --epochs=", "epochs=; allowed: an integer"),
    ("train --epochs=99999999999999999999", "epochs=99999999999999999999"),
    ("train --batch_size=-1", "batch_size=-1"),
    ("train --steps_per_epoch=0", "steps_per_epoch=0"),
    ("train --seed=4294967296", "seed=4294967296; allowed: at least 0, below 2**32"),
    ("train --learning_rate=nan", "learning_rate=nan"),
    ("train --learning_rate=inf", "learning_rate=inf; allowed: above 0, and finite"),
    ("train --learning_rate=fast", "learning_rate=fast; allowed: a number"),
    ("train --weight_decay=-0.1", "weight_decay=-0.1"),
    ("train --clip=inf", "clip=inf"),
    ("train --outer_lr=big", "outer_lr=big; allowed: auto"),
    ("train --momentum=1.5", "momentum=1.5; allowed: 0 to 1"),
    ("train --virtual_scope=", "virtual_scope=; allowed: all, last_stage, head"),
    ("train --virtual_scope=(", "virtual_scope=("),
    ("train --virtual_scope=nowhere", "virtual_scope=nowhere"),
    ("train --zero_mean=maybe", "zero_mean=maybe; allowed: true, false"),
    ("train --precision=float8", "precision=float8; allowed: float32"),
    ("train --method=magic", "method=magic; allowed: gdw"),
    ("train --network=vgg", "network=vgg"),
    ("train --dataset=digitz", "dataset=digitz"),
    ("train --noise=pink", "noise=pink"),
    ("train --noise_rate=1.5", "noise_rate=1.5; allowed: 0 to 1"),
    ("train --noise=none --noise_rate=0.4", "noise=none, noise_rate=0.4"),
    ("train --noise=matrix", "noise=matrix, noise_file=None"),
    ("train --noise=matrix --noise_file=DIR/pickled.npy", "pickled.npy"),
    ("train --noise=matrix --noise_file=DIR/three.csv", "shape (3, 3); allowed: (10, 10)"),
    ("train --num_meta=5000", "num_meta=5000; allowed: 1 to 1296"),
    (
        "train --dataset=npz --data_file=DIR/leak.npz --meta=noisy",
        "num_meta=None, meta=noisy; allowed: at least 1",
    ),
    ("train --meta=pseudo --num_meta=5", "num_meta=5; allowed: 10 or more"),
    ("train --method=l2rw --meta_every=2", "method=l2rw, meta_every=2"),
    ("train --method=ldam --base_loss=focal", "method=ldam, base_loss=focal"),
    ("train --epochs=0 --noise=pink --clip=nan --seed=-1", "epochs=0"),
    ("train --tensorboard_profile=5", "tensorboard_profile=5; allowed: FIRST,LAST"),
    ("train --tensorboard_profile=9,3", "tensorboard_profile=9,3; allowed: FIRST,LAST"),
    ("train --epoch=3", "'epoch'"),
    ("train digits", "digits"),
    ("train --flagfile=DIR/nowhere.flags", "nowhere.flags"),
    ("train --flagfile=DIR/unknown.flags", "'speed'"),
    ("train --workdir=", "workdir=; allowed: a path"),
    ("train --workdir=DIR/text.txt", "text.txt"),
    ("train --workdir=DIR/text.txt/run", "text.txt/run"),
    ("train --workdir=DIR", "holds files that are no run"),
    ("train --flagfile=RUN/flags.txt --workdir=RUN", "holds this run already; --resume"),
    ("train --workdir=RUN --resume --seed=7", "holds a run of another configuration"),
    ("train --workdir=DIR/a\n--seed=7", r"DIR/a\n--seed=7"),
    ("train --dataset=cifar10 --nodownload --data_dir=DIR", "DIR"),
    ("train --dataset=npz", "data_file=None"),
    ("train --dataset=npz --data_file=DIR/text.txt", "text.txt"),
    ("train --dataset=npz --data_file=DIR/cut.npz", "cut.npz"),
    ("train --dataset=npz --data_file=DIR/pickled.npz", "pickled.npz"),
    ("train --dataset=npz --data_file=DIR/float_images.npz", "float32 of shape"),
    ("train --dataset=npz --data_file=DIR/float_labels.npz", "dtype float64"),
    ("train --dataset=npz --data_file=DIR/nan_labels.npz", "dtype float64"),
    ("train --dataset=npz --data_file=DIR/text_labels.npz", "dtype <U3"),
    ("train --dataset=npz --data_file=DIR/negative_labels.npz", "labels from -1 to 1"),
    ("train --dataset=npz --data_file=DIR/more_classes.npz", "labels from 0 to 2"),
    ("train --dataset=npz --data_file=DIR/without_labels.npz", "missing: y_test"),
    ("train --dataset=npz --data_file=DIR/empty_meta.npz", "x_meta"),
    (
        "train --dataset=npz --data_file=DIR/leak.npz",
        "4 of them, first x_meta[3]",
    ),
    ("train --dataset=npz --data_file=DIR/bomb.npz", "bomb.npz"),
    ("train --dataset=folder --data_dir=DIR/nowhere", "DIR/nowhere"),
    ("train --dataset=folder --data_dir=DIR/link_out", "train/a/out.png"),
    ("train --dataset=folder --data_dir=DIR/huge --meta=pseudo", "10000000000 pixels"),
    ("train --dataset=folder --data_dir=DIR/line_break", r"train/a/0\n.png"),
    ("train --dataset=folder --data_dir=DIR/one_class", "the class a; allowed: two"),
    (
        "train --dataset=csv --data_dir=DIR --train_csv=DIR/bad.csv --test_csv=DIR/bad.csv",
        "bad.csv",
    ),
    ("train --dataset=folder --data_dir=DIR/huge --image_size=8x8", "image_size=8x8"),
    ("evaluate", "[]"),
    ("evaluate DIR", "DIR"),
    ("evaluate RUN --checkpoint=worst", "checkpoint=worst; allowed: latest, best"),
    ("evaluate DIR/lambda_run", "Lambda"),
    ("evaluate DIR/other_code_run", "Popen"),
    ("evaluate DIR/other_model_run", "a Sequential"),
    ("evaluate DIR/broken_run", "model.keras"),
    ("export RUN --out=DIR/text.txt", "text.txt"),
    ("export RUN --out=NEW[1]", "NEW[1]; allowed: no"),
    ("export RUN --out=RUN/checkpoints", "a file of the run itself. Received: out=RUN/checkpoints"),
    ("export RUN --format=pdf", "format=pdf; allowed: saved_model, onnx, litert, keras"),
    (
        "export RUN --format=onnx --out=DIR/model.bin",
        "must end in .onnx. Received: out=DIR/model.bin",
    ),
    ("export RUN --format=keras --out=DIR/text.txt/model.keras", "text.txt"),
    ("export RUN --format=litert --out=DIR/directory.tflite", "which is a directory"),
    ("export RUN --quantize=int8", "quantize=int8, format=saved_model"),
    ("export RUN --format=litert --quantize=int4", "quantize=int4; allowed: int8"),
    ("predict RUN/export", "Received: ['RUN/export']"),
    ("predict DIR/nowhere.onnx DIR/huge", "DIR/nowhere.onnx"),
    ("predict DIR/text.txt DIR/huge", "text.txt; allowed: the directory of a SavedModel"),
    ("predict DIR DIR/huge", "no model that gdw_tf exported. Received: DIR"),
    ("predict DIR/text.onnx DIR/huge", "text.onnx"),
    ("predict DIR/text.tflite DIR/huge", "text.tflite"),
    ("predict DIR/lambda.keras DIR/huge", "lambda.keras"),
    ("predict RUN/export DIR/nowhere.png", "nowhere.png"),
    ("predict RUN/export DIR/directory.tflite", "no images in the folder"),
    ("predict RUN/export DIR/text.txt DIR/huge/train/a/0.png", "No image can be read. Received: 2"),
    ("predict RUN/export DIR/huge --top=11", "top=11; allowed: 1 to 10"),
    ("predict RUN/export DIR/huge --out=DIR", "out=DIR, which is a directory"),
    ("predict RUN/export DIR/huge --out=RUN/export/a.csv", "out=RUN/export/a.csv, RUN/export"),
    ("audit DIR", "DIR"),
    ("audit RUN --next=0", "next=0"),
    ("audit RUN --next=100000", "next=100000; allowed: up to 200"),
    ("audit RUN --next=5 --apply=DIR/text.txt", "next=5, apply="),
    (
        "audit RUN --apply=DIR/bad.csv --out=NEW.npz",
        "index and label, each once. Received: DIR/bad.csv",
    ),
    ("audit RUN --apply=DIR/twice.csv --out=NEW.npz", "index 3 again in line 3"),
    ("audit RUN --apply=DIR/twice.csv --out=NEW.csv", "NEW.csv; allowed: *.npz"),
    ("audit RUN --apply=DIR/twice.csv", "no --out"),
    ("audit RUN --out=DIR/text.txt", "text.txt"),
    ("train --meta_add=DIR/text.txt", "index and label, each once. Received: DIR/text.txt"),
    ("train --meta_add=DIR/nowhere.csv", "nowhere.csv"),
    ("train --meta_add=DIR/twice.csv --meta=noisy", "meta=noisy; allowed: meta=clean, or"),
    ("compare --methods=", "methods"),
    ("compare --methods=gdw:speed=1", "gdw:speed=1"),
    ("compare --methods=ce --seeds=a", "seeds must be numbers. Received: a"),
    ("compare --jobs=0", "jobs=0; allowed: a positive integer"),
    ("compare --workdir=DIR/text.txt", "text.txt"),
    ("report", "none; allowed: directories of runs"),
    ("report DIR/nowhere", "DIR/nowhere; allowed: the directory of a run"),
    ("report DIR/one_class", "DIR/one_class; allowed: the directory of a run"),
    ("report RUN --seed=3", "seed=3; allowed: where the data are"),
    ("report RUN --out=DIR", "out=DIR, a directory"),
    ("report RUN --out=RUN/flags.txt", "a file of the run itself. Received: out=RUN/flags.txt"),
    ("report RUN --out=DIR/text.txt/page.html", "text.txt"),
    ("report RUN --png=DIR/text.txt", "text.txt"),
    ("benchmark --methods=", "methods"),
    ("benchmark --json=DIR/text.txt/rows.json", "text.txt is none"),
    ("data.describe --out=DIR/text.txt", "text.txt"),
    ("data.benchmark --steps=0", "steps=0; allowed: a positive integer"),
    ("parity DIR/text.txt", "text.txt"),
    ("parity DIR/leak.npz --tolerance=nan", "tolerance=nan"),
]

# x (32, 8) and y (32,) are training data of 3 classes, x_meta and y_meta a clean set; `fit` trains
# GDW on them, or on what it is given instead.
CALLS: Sequence[tuple[str, str]] = [
    ("gdw_tf.GDW(None)", "NoneType"),
    ("gdw_tf.GDW(classifier(activation='softmax'))", "ends in softmax"),
    ("gdw_tf.GDW(classifier(activation='sigmoid'))", "ends in sigmoid"),
    ("gdw_tf.GDW(classifier(), seed=1.5)", "seed=1.5"),
    ("gdw_tf.GDW(classifier(), seed=2**70)", str(2**70)),
    ("gdw_tf.GDW(classifier(), clip=float('inf'))", "clip=inf"),
    ("gdw_tf.GDW(classifier(), outer_lr='big')", "outer_lr='big'"),
    ("gdw_tf.GDW(classifier(), zero_mean='no')", "zero_mean='no'; allowed: True, False"),
    ("gdw_tf.GDW(classifier(), memory=1.0)", "memory=1.0"),
    ("gdw_tf.GDW(classifier(), virtual_scope='')", "virtual_scope="),
    ("gdw_tf.GDW(classifier(), virtual_lr=0)", "virtual_lr=0"),
    ("gdw_tf.GDW(classifier(), meta_every=2.0)", "meta_every=2.0"),
    ("gdw_tf.GDW(classifier(), meta_loss=['mae'])", "meta_loss=['mae']"),
    ("gdw_tf.GDW(classifier(), base_loss='focal')", "base_loss='focal'"),
    ("gdw_tf.MWNet(classifier(), hidden_units=True)", "hidden_units=True"),
    ("gdw_tf.FineTune(classifier(), fine_tune_share=None)", "fine_tune_share=None"),
    ("gdw_tf.CoTeaching(classifier(), forget_rate=1)", "forget_rate=1"),
    ("gdw_tf.GLC(classifier(), transition_matrix='abc')", "'abc'"),
    ("gdw_tf.GLC(classifier(), transition_matrix=np.ones((3, 3)))", "a sum of 3.0"),
    ("gdw_tf.CoupledSGD(float('nan'))", "learning_rate=nan"),
    ("gdw_tf.CoupledSGD(momentum=2.0)", "momentum=2.0"),
    ("gdw_tf.CoupledSGD(weight_decay=float('inf'))", "weight_decay=inf"),
    ("gdw_tf.CoupledAdam(beta_1=1.0)", "beta_1=1.0"),
    ("gdw_tf.CoupledAdam(epsilon=0.0)", "epsilon=0.0"),
    ("losses.SymmetricCrossEntropy(alpha=float('inf'))", "alpha=inf"),
    ("losses.BalancedSoftmax([5, -1])", "[5, -1]"),
    ("schedules.cosine_by_epoch(0.1, 0)", "epochs=0"),
    (
        "networks.build('resnet8', num_classes=1, image_shape=(8, 8, 1), mean=(0,), std=(1,))",
        "num_classes=1",
    ),
    (
        "networks.build('resnet8', num_classes=3, image_shape=(8, 8, 1), mean=(0,), std=(0,))",
        "std=(0,)",
    ),
    ("resolve(epochs='5', batch_size=True)", "epochs=5; allowed: at least 1"),
    ("fit(model=classifier(classes=1))", "(None, 1)"),
    ("fit(model=classifier(dtype='int32'))", "answering int32"),
    ("fit(model=classifier(features=5))", "(None, 5)"),
    ("fit(x=x.tolist())", "list"),
    ("fit(x=x[:, :5])", "(None, 5)"),
    ("fit(x=x.astype(str))", "dtype string; allowed: float32"),
    ("fit(x=x.astype(complex))", "dtype complex"),
    ("fit(x=x * np.where(np.arange(32) == 7, np.nan, 1)[:, None])", "example 7"),
    ("fit(x=x[:0], y=y[:0])", "empty arrays"),
    ("fit(x=np.float32(3))", "3"),
    ("fit(y=None)", "y=None"),
    ("fit(y=y[:31])", "[31, 32]"),
    ("fit(y=y + 1)", "labels from 1 to 3; allowed: 0 to 2"),
    ("fit(y=y - 1)", "labels from -1 to 1"),
    ("fit(y=y.astype(float))", "dtype float64"),
    ("fit(y=np.where(y == 2, np.nan, y))", "dtype float64"),
    ("fit(y=y.astype(str))", "dtype string"),
    ("fit(y=y.astype('datetime64[s]'))", "dtype datetime64[s]"),
    ("fit(y=np.eye(4)[y])", "shape (32, 4)"),
    ("fit(y=np.eye(3)[y] * np.nan)", "[nan, nan, nan]"),
    ("fit(y=np.full((32, 3), 0.5))", "[0.5, 0.5, 0.5]"),
    ("fit(y=np.eye(3)[y].astype(str))", "dtype <U32"),
    ("fit(meta_data=None)", "meta_data=None"),
    ("fit(meta_data=(x_meta, y_meta[:4]))", "[4, 9]"),
    ("fit(meta_data=(x_meta[:0], y_meta[:0]))", "empty arrays"),
    ("fit(meta_data=(x_meta[:, :5], y_meta))", "(None, 5)"),
    ("fit(meta_data=(x_meta, y_meta + 1))", "labels from 1 to 3"),
    ("fit(meta_data=(x_meta * np.nan, y_meta))", "example 0"),
    ("fit(meta_data=batches(x_meta, y_meta + 1))", "labels from 1 to 3"),
    (
        "fit(meta_data=batches(x_meta, y_meta).filter(lambda *_: False), steps_per_epoch=2)",
        "not one batch came",
    ),
    ("fit(meta_data=[x_meta])", "a list of 1"),
    ("fit(validation_data=x_meta)", "y=None"),
    ("fit(validation_data=(x_meta, None))", "y=None"),
    ("fit(validation_data=(x_meta, y_meta + 1))", "labels from 1 to 3"),
    ("fit(validation_data=(x_meta[:, :5], y_meta))", "(None, 5)"),
    ("fit(validation_data=batches(x_meta, y_meta).repeat())", "validation_steps=None"),
    ("fit(validation_split='x')", "validation_split='x'"),
    ("fit(batch_size=2.5)", "batch_size=2.5"),
    ("fit(steps_per_epoch=0)", "steps_per_epoch=0"),
    ("fit(epochs='3')", "epochs='3'"),
    ("fit(initial_epoch=-1)", "initial_epoch=-1"),
    ("fit(shuffle='batch')", "shuffle='batch'"),
    ("fit(callbacks=['stop'])", "'stop'"),
    ("fit(sample_weight=np.full(32, np.nan))", "nan for example 0"),
    ("fit(sample_weight=-np.ones(32))", "-1.0 for example 0"),
    ("fit(sample_weight=np.ones((32, 3)))", "shape (32, 3)"),
    ("fit(class_weight=[1, 2, 3])", "[1, 2, 3]"),
    ("fit(class_weight={3: 1.0})", "[3]; allowed: 0 to 2"),
    ("fit(class_weight={0: float('nan')})", "class_weight[0]=nan"),
    ("gdw_tf.GDW(classifier()).export('new', format='pdf')", "format='pdf'; allowed: saved_model"),
    ("gdw_tf.GDW(classifier()).export('new', class_names=['a'])", "1 class_names; allowed: 3"),
    ("gdw_tf.GDW(classifier()).export('new', class_names=['a', 'b', 'c\\n'])", r"'c\n'"),
    ("data.load('nowhere')", "'nowhere'"),
    ("data.prepare(data.load('digits'), num_meta=0)", "num_meta=0"),
    ("data.prepare(data.load('digits'), num_meta=20, noise='flip', noise_rate='x')", "'x'"),
    ("data.prepare(data.load('digits'), num_meta=20, seed=-1)", "seed=-1"),
    ("data.training_batches(x, y, batch_size=0, seed=0)", "batch_size=0"),
    ("data.training_batches(x, y[:5], batch_size=4, seed=0)", "(5,)"),
    ("data.training_batches(x, y, batch_size=4, seed=True)", "seed=True"),
    ("data.Augmentation(cutout='x')", "cutout='x'"),
    ("audit.rank(classifier(activation='softmax'), (x, y))", "ends in softmax"),
    ("audit.rank(classifier(), (x * np.nan, y))", "not finite. Received: example 0"),
    ("pseudo_clean.pseudo_clean(np.full(32, np.nan), y, 3)", "32 not finite"),
]


def names() -> dict[str, Any]:
    """What the expressions of `CALLS` are made of."""
    generator = np.random.default_rng(0)
    x, x_meta = (generator.normal(size=(count, 8)).astype(np.float32) for count in (32, 9))
    y, y_meta = np.arange(32) % 3, np.arange(9) % 3

    def classifier(
        activation: str | None = None, classes: int = 3, features: int = 8, dtype: str = "float32"
    ) -> keras.Model:
        inputs = keras.Input((features,))
        outputs = keras.layers.Dense(classes, activation=activation, name="logits")(inputs)
        if dtype != "float32":
            outputs = keras.ops.cast(outputs, dtype)
        return keras.Model(inputs, outputs, name="classifier")

    def fit(model: keras.Model | None = None, **changed: Any) -> keras.callbacks.History:
        method = gdw_tf.GDW(model or classifier(), seed=0)
        method.compile()
        arguments = {"x": x, "y": y, "meta_data": (x_meta, y_meta), "verbose": 0, **changed}
        return method.fit(**arguments)

    def batches(*arrays: np.ndarray) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(arrays).batch(4)

    return {
        **{"x": x, "y": y, "x_meta": x_meta, "y_meta": y_meta},
        **{"classifier": classifier, "fit": fit, "batches": batches, "resolve": resolve},
        **{"gdw_tf": gdw_tf, "audit": audit, "data": data, "losses": losses, "networks": networks},
        **{"pseudo_clean": pseudo_clean, "schedules": schedules, "np": np},
    }


def error_of_call(text: str, of: dict[str, Any]) -> Exception | None:
    """The error that an expression raises."""
    try:
        eval(text, dict(of))
    except Exception as error:
        return error
    return None


class Places(NamedTuple):
    """What the words in `PROGRAMS` stand for."""

    RUN: Path
    NEW: Path
    DIR: Path

    @classmethod
    def below(cls, root: Path) -> Places:
        """Makes a run and the files."""
        places = cls(root / "run", root / "new", root / "files")
        finished = run("train", *SHORT, "--epochs=1", f"--workdir={places.RUN}")
        assert finished.code == 0, finished.err
        write_files(places.DIR, places.RUN)
        return places

    def filled_in(self, text: str) -> str:
        """The text with paths in the place of words."""
        for word, path in self._asdict().items():
            text = text.replace(word, str(path))
        return text

    def taken_out(self, text: str) -> str:
        """The text with words in the place of paths."""
        for word, path in self._asdict().items():
            text = text.replace(str(path), word)
        return text


def arguments_of(text: str, places: Places) -> list[str]:
    """A program's name and its arguments."""
    name, *arguments = text.split(" ")
    if name == "train" and "--workdir" not in text:
        of_data = (
            "--dataset",
            "--noise_file",
            "--num_meta",
            "--meta_add",
            "--virtual_scope=nowhere",
        )
        arguments.append(
            "--workdir=NEW" if any(one in text for one in of_data) else "--workdir=RUN"
        )
    return [name, *map(places.filled_in, arguments)]


def write_files(directory: Path, finished_run: Path) -> None:
    """Writes what is wrong with files, data sets and runs."""
    directory.mkdir()
    (directory / "text.txt").write_text("years of work\n")
    (directory / "directory.tflite").mkdir()
    for suffix in ("onnx", "tflite"):
        (directory / f"text.{suffix}").write_text("years of work\n")
    _write_lambda(directory / "lambda.keras")
    (directory / "unknown.flags").write_text("--epochs=1\n--speed=11\n")
    (directory / "bad.csv").write_text("file,class\n0.png,a\n")
    (directory / "twice.csv").write_text("index,label\n3,1\n3,2\n")
    np.save(directory / "pickled.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savetxt(directory / "three.csv", np.eye(3), delimiter=",")
    _write_archives(directory)
    _write_folders(directory)
    whole = Workdir(finished_run).checkpoints.latest().model.read_bytes()
    for name, write in {
        "lambda": _write_lambda,
        "other_code": _write_other_code,
        "other_model": lambda path: _dense().save(path),
        "broken": lambda path: path.write_bytes(whole[:5000]),
    }.items():
        copy = directory / f"{name}_run"
        shutil.copytree(finished_run, copy)
        # With hashes that are right: whoever wrote the file wrote the manifest as well.
        model = types.SimpleNamespace(save=write)
        Workdir(copy).checkpoints.save(model, step=1_000_000, epoch=1_000)


def _write_archives(directory: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    labels = np.arange(12) % 2
    parts: dict[str, Any] = {
        **{"x": images, "y": labels, "x_meta": images[:4] // 2, "y_meta": labels[:4]},
        **{"x_test": images[:4], "y_test": labels[:4]},
    }
    archives: dict[str, dict[str, Any]] = {
        "pickled": {"y": labels.astype(object)},
        "float_images": {"x": images.astype(np.float32) / 255},
        "float_labels": {"y": labels.astype(float)},
        "nan_labels": {"y": np.where(labels == 1, np.nan, labels)},
        "text_labels": {"y": np.array(["cat", "dog"])[labels]},
        "negative_labels": {"y_test": labels[:4] * 2 - 1},
        "more_classes": {"y_meta": np.array([0, 1, 2, 0])},
        "without_labels": {"y_test": None},
        "empty_meta": {"x_meta": images[:0], "y_meta": labels[:0]},
        "leak": {"x_meta": images[[3, 4, 5, 6]], "y_meta": labels[[3, 4, 5, 6]]},
    }
    for name, changes in archives.items():
        arrays = {key: one for key, one in {**parts, **changes}.items() if one is not None}
        np.savez(directory / f"{name}.npz", **arrays)
    whole = (directory / "leak.npz").read_bytes()
    (directory / "cut.npz").write_bytes(whole[: len(whole) // 2])
    # Arrays of four gigabytes each, as the directory of the archive says.
    bomb = bytearray(whole)
    entry = bomb.find(b"PK\x01\x02")
    while entry >= 0:
        struct.pack_into("<I", bomb, entry + 24, 2**32 - 9)
        entry = bomb.find(b"PK\x01\x02", entry + 4)
    (directory / "bomb.npz").write_bytes(bomb)


def _write_folders(directory: Path) -> None:
    def write_images(root: Path, labels: str, change: Callable[[Path], Any] | None = None) -> None:
        for number, (part, label) in enumerate(itertools.product(("train", "test"), labels)):
            folder = root / part / label
            folder.mkdir(parents=True)
            for copy in range(2):
                image = np.full((8, 8, 3), 10 * number + copy, np.uint8)
                PIL.Image.fromarray(image).save(folder / f"{copy}.png")
        if change:
            change(root / "train" / "a")

    write_images(directory / "one_class", "a")
    write_images(directory / "link_out", "ab", lambda at: os.symlink("/etc/passwd", at / "out.png"))
    write_images(directory / "line_break", "ab", lambda at: (at / "0.png").rename(at / "0\n.png"))
    write_images(directory / "huge", "ab", lambda at: (at / "0.png").write_bytes(_huge_png()))


def _huge_png() -> bytes:
    """A PNG of 10 ** 10 pixels, the first rows of which are a kilobyte of zeros."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(2**20)))
    return b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")


def _dense(*layers: keras.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(3)])


def _write_lambda(path: Path) -> None:
    _dense(keras.layers.Lambda(lambda x: 2 * x)).save(path)


def _write_other_code(path: Path) -> None:
    """A model whose configuration names a class that would start a process."""
    _dense().save(path)
    hostile = {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", "/x"]}}
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = json.dumps(hostile).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
