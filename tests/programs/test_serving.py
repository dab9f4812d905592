"""Exported files as clients that are not this library read them, and `gdw_tf.predict`."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from gdw_tf import data, networks, serving
from gdw_tf.data.images import resize
from gdw_tf.workdir import Workdir

from .conftest import SHORT, run

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tensorflow.lite import Interpreter

FILES = {"saved_model": "export", "onnx": "export.onnx", "litert": "export.tflite"}
FILES["keras"] = "export.keras"
COUNT = 1000
DIGITS = tuple("0123456789")

KERAS_CLIENT = """
import sys
sys.modules["gdw_tf"] = None  # importing it would raise
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
answers = model.predict(np.load(sys.argv[2]), verbose=0, batch_size=300)
np.savez(sys.argv[3], **answers)
"""


class Exported(NamedTuple):
    """A run, exported in every format, and what its model answers to `COUNT` images."""

    workdir: Path
    images: np.ndarray
    logits: np.ndarray

    def file(self, format: str) -> Path:
        return self.workdir / FILES[format]


@pytest.fixture(scope="module", params=["small_cnn", "resnet8"])
def exported(request, tmp_path_factory) -> Exported:
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(package, reason="needs the extra onnx")
    workdir = tmp_path_factory.mktemp(request.param) / "run"
    trained = run("train", *SHORT, f"--workdir={workdir}", f"--network={request.param}")
    assert trained.code == 0, trained.err
    for format in serving.FORMATS:
        finished = run("export", workdir, f"--format={format}")
        assert finished.code == 0, finished.err
    images = data.load("digits").x_train[:COUNT]
    logits = Workdir(workdir).checkpoints.latest().load().predict(images, verbose=0)
    return Exported(workdir, images, logits)


def check(exported: Exported, answers: dict[str, np.ndarray]) -> None:
    """Compares answers with those of the model, and with formulas of NumPy."""
    logits = exported.logits.astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert set(answers) == {"probabilities", "logits", "label"}
    assert len(answers["label"]) == COUNT and np.ptp(logits) > 1
    assert np.abs(answers["logits"] - logits).max() <= 1e-5 * np.abs(logits).max()
    np.testing.assert_allclose(answers["probabilities"], probabilities, rtol=0, atol=1e-5)
    assert np.issubdtype(answers["label"].dtype, np.integer)
    np.testing.assert_array_equal(answers["label"], np.argmax(answers["logits"], axis=1))


def ran(*command: object, **environment: str) -> str:
    process = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_saved_model_cli_runs_the_saved_model(exported, tmp_path):
    np.save(tmp_path / "images.npy", exported.images)
    ran(
        *("-m", "tensorflow.python.tools.saved_model_cli", "run"),
        *("--dir", exported.file("saved_model"), "--tag_set", "serve"),
        *("--signature_def", "serving_default", "--outdir", tmp_path / "answers"),
        *("--inputs", f"images={tmp_path / 'images.npy'}"),
    )
    answers = {path.stem: np.load(path) for path in (tmp_path / "answers").iterdir()}
    check(exported, answers)


def test_the_saved_model_answers_the_names_of_the_classes(exported):
    names = tf.saved_model.load(str(exported.file("saved_model"))).signatures["class_names"]
    assert names()["class_names"].numpy().tolist() == [name.encode() for name in DIGITS]


def test_onnx_runtime_runs_the_onnx_file(exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported.file("onnx"))
    (images,) = session.get_inputs()
    assert (images.name, images.type) == ("images", "tensor(uint8)")
    assert images.shape == ["batch", 8, 8, 1]
    names = [output.name for output in session.get_outputs()]
    check(exported, dict(zip(names, session.run(None, {"images": exported.images}), strict=True)))
    assert len(session.run(["label"], {"images": exported.images[:1]})[0]) == 1
    metadata = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(metadata["class_names"])) == DIGITS


def test_the_interpreter_of_litert_runs_the_litert_file(exported):
    interpreter = Interpreter(model_path=str(exported.file("litert")))
    runner = interpreter.get_signature_runner("serving_default")
    assert runner.get_input_details()["images"]["dtype"] == np.uint8
    check(exported, runner(images=exported.images))
    assert len(runner(images=exported.images[:1])["label"]) == 1
    with zipfile.ZipFile(exported.file("litert")) as archive:
        assert archive.read("labels.txt").decode().split() == list(DIGITS)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_plain_keras_runs_the_keras_file(backend, exported, tmp_path):
    np.save(tmp_path / "images.npy", exported.images)
    answers = tmp_path / "answers.npz"
    ran(
        *("-c", KERAS_CLIENT, exported.file("keras"), tmp_path / "images.npy", answers),
        KERAS_BACKEND=backend,
        JAX_PLATFORMS="cpu",
    )
    with np.load(answers) as file:
        check(exported, dict(file))
    with zipfile.ZipFile(exported.file("keras")) as archive:
        assert archive.read("labels.txt").decode().split() == list(DIGITS)


def test_int8_is_calibrated_and_its_accuracy_told(exported, tmp_path):
    before = sorted(exported.workdir.rglob("*"))
    out = tmp_path / "small.tflite"
    finished = run("export", exported.workdir, "--format=litert", "--quantize=int8", f"--out={out}")

    assert finished.code == 0, finished.err
    assert sorted(exported.workdir.rglob("*")) == before
    assert list(tmp_path.iterdir()) == [out]
    assert out.stat().st_size < 0.5 * exported.file("litert").stat().st_size
    interpreter = Interpreter(model_path=str(out))
    kinds = [details["dtype"] for details in interpreter.get_tensor_details()]
    assert np.int8 in kinds
    runner = interpreter.get_signature_runner("serving_default")
    source = data.load("digits")
    answers = runner(images=source.x_test)
    assert answers["logits"].dtype == np.float32
    quantized = 100 * np.mean(answers["label"] == source.y_test)
    model = Workdir(exported.workdir).checkpoints.latest().load()
    labels = model.predict(source.x_test, verbose=0).argmax(axis=1)
    whole = 100 * np.mean(labels == source.y_test)
    assert np.mean(answers["label"] == labels) > 0.9
    assert finished.out.splitlines()[-1] == (
        f"accuracy on 500 test images: int8 {quantized:.2f} %, float {whole:.2f} %; "
        "calibrated on 20 meta images"
    )


def test_a_run_that_is_older_than_its_class_names_is_exported_too(exported, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(exported.workdir, workdir)
    (workdir / "class_names.json").unlink()
    finished = run("export", workdir, "--format=keras")
    assert finished.code == 0, finished.err
    assert "classes go by their numbers" in finished.out
    assert serving.load(workdir / "export.keras").class_names == DIGITS


# Predictions, of untrained networks with names of their own.

NAMES = ("cat", "grey heron", "Bär")


def written(folder: Path, format: str, channels: int = 3) -> tuple[keras.Model, Path]:
    keras.utils.set_random_seed(3)
    classifier = networks.build(
        "small_cnn",
        num_classes=len(NAMES),
        image_shape=(8, 10, channels),
        mean=(127.0,) * channels,
        std=(40.0,) * channels,
    )
    path = folder / f"model{serving.suffix(format)}"
    serving.write(classifier, path, format, class_names=NAMES)
    return classifier, path


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Images in a folder and below it, of the model's size and larger, with one that is broken."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    generator = np.random.default_rng(5)
    for name, size in {"a.png": (8, 10), "b.BMP": (8, 10), "below/c.webp": (21, 33)}.items():
        pixels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(folder / name, lossless=True)
    (folder / "below/broken.jpg").write_bytes(b"broken")
    (folder / "notes.txt").write_text("no image")
    return folder


def probabilities(classifier: keras.Model, path: Path) -> np.ndarray:
    pixels = np.asarray(PIL.Image.open(path))
    logits = np.asarray(classifier(resize(tf.constant(pixels), (8, 10))[np.newaxis]))[0]
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.parametrize("format", serving.FORMATS)
def test_each_image_gets_the_names_of_its_likeliest_classes(format, pictures, tmp_path):
    if format == "onnx":
        for package in ("onnx", "tf2onnx", "onnxruntime"):
            pytest.importorskip(package, reason="needs the extra onnx")
    classifier, path = written(tmp_path, format)
    table = tmp_path / "new/predictions.csv"
    finished = run("predict", path, pictures, "--top=2", f"--out={table}")

    assert finished.code == 0, finished.err
    assert f"cannot be read: {pictures / 'below/broken.jpg'}: no image" in finished.err
    lines = [line.split("\t") for line in finished.out.splitlines()]
    images = [pictures / name for name in ("a.png", "b.BMP", "below/c.webp")]
    assert [line[0] for line in lines] == list(map(str, images))
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(images)
    for image, line in zip(images, lines, strict=True):
        expected = probabilities(classifier, image)
        likeliest = np.argsort(-expected)[:2]
        assert [line[1], line[3]] == [NAMES[label] for label in likeliest]
        assert [line[2], line[4]] == [f"{expected[label]:.4f}" for label in likeliest]
        of_image = [row for row in rows if row["path"] == str(image)]
        assert [int(row["label"]) for row in of_image] == likeliest.tolist()
        assert [row["rank"] for row in of_image] == ["1", "2"]
        np.testing.assert_allclose(
            [float(row["probability"]) for row in of_image], expected[likeliest], atol=1e-5
        )


def test_a_table_is_whole_where_nobody_reads_what_is_printed(pictures, tmp_path):
    _, path = written(tmp_path, "keras")
    command = [sys.executable, "-m", "gdw_tf.predict", path, pictures]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for arguments, code in (([f"--out={tmp_path / 'predictions.csv'}"], 0), ([], 128 + 13)):
        reading, writing = os.pipe()
        os.close(reading)
        finished = subprocess.run(
            [*command, *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment,
        )
        os.close(writing)
        assert finished.returncode == code, finished.stderr
        assert "Traceback" not in finished.stderr
    with (tmp_path / "predictions.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3


def test_a_model_of_grey_images_takes_the_grey_of_colours(tmp_path):
    classifier, path = written(tmp_path, "keras", channels=1)
    grey = np.random.default_rng(6).integers(0, 256, (8, 10), dtype=np.uint8)
    PIL.Image.fromarray(grey).save(tmp_path / "grey.png")
    PIL.Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "rgb.png")
    finished = run("predict", path, tmp_path / "grey.png", tmp_path / "rgb.png", "--top=3")

    logits = np.asarray(classifier(grey[np.newaxis, ..., np.newaxis]))[0]
    expected = np.sort(np.exp(logits) / np.exp(logits).sum())[::-1]
    for line in finished.out.splitlines():
        assert line.split("\t")[2::2] == [f"{one:.4f}" for one in expected]
    assert finished.out.count("\n") == 2


def test_where_no_image_can_be_read_the_exit_code_is_2(tmp_path, pictures):
    _, path = written(tmp_path, "keras")
    table = tmp_path / "predictions.csv"
    finished = run("predict", path, pictures / "below/broken.jpg", f"--out={table}")
    assert finished.code == 2
    assert "cannot be read: " in finished.err
    assert finished.err.splitlines()[-1] == "error: No image can be read. Received: 1 files"
    assert finished.out == "" and not table.exists()


@pytest.mark.parametrize("format", serving.FORMATS)
@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((8, 8, 3), "float32", "a model of float32 images, whose range is not known"),
        ((None, None, 3), "uint8", "no classifier of images of one size"),
    ],
    ids=["floats", "of any size"],
)
def test_other_models_than_of_pixels_of_one_size_are_refused(
    format, shape, dtype, message, tmp_path
):
    if format == "onnx":
        pytest.importorskip("tf2onnx", reason="ONNX is not installed: pip install .[onnx]")
    images = keras.Input(shape, dtype=dtype)
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    classifier = keras.Model(images, keras.layers.Dense(3)(x))
    path = tmp_path / f"model{serving.suffix(format)}"
    serving.write(classifier, path, format)
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
    finished = run("predict", path, tmp_path / "image.png")
    assert finished.code == 2
    assert message in finished.err
