"""Export, training by JAX, and import, against `fit`.

JAX is run in a process of its own, without TensorFlow, by this Python or by the one that the
environment variable GDW_TF_JAX_PYTHON names.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdw_tf import data, experiment
from gdw_tf.portable import pure
from gdw_tf.settings import Settings, resolve
from gdw_tf.workdir import Workdir

from .conftest import run

JAX_PYTHON = "GDW_TF_JAX_PYTHON"
WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = sys.modules["gdw_tf"] = None
import importlib.util, pathlib
import jax, jax.numpy as jnp, numpy as np

spec = importlib.util.spec_from_file_location("run", sys.argv[1])
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
"""
RUN_PY = Path(pure.__file__).with_name("run.py")
# 230 examples in batches of 50: four full ones and one of 30.
SETTINGS = {"train_examples": 230, "batch_size": 50, "num_meta": 20, "epochs": 3}


@pytest.fixture(scope="session")
def in_jax() -> Callable[..., str]:
    """Runs Python code, in which run.py is `program`; answers what it printed."""
    python = os.environ.get(JAX_PYTHON)
    if not python and importlib.util.find_spec("jax") is None:
        pytest.skip(
            f"JAX is missing: install the extra `portable`, or name a Python in {JAX_PYTHON}"
        )

    def run_code(code: str, *arguments: object, run_py: Path = RUN_PY) -> str:
        command = [python or sys.executable, "-c", WITHOUT_TENSORFLOW + code, run_py, *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        finished = subprocess.run(
            list(map(str, command)),
            env={**environment, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run_code


def export(out: Path, **settings: object) -> Path:
    given = [f"--{name}={value}" for name, value in {**SETTINGS, **settings}.items()]
    finished = run("portable.export", f"--out={out}", *given)
    assert finished.code == 0, finished.err
    return out


@contextlib.contextmanager
def as_floatx(name: str) -> Iterator[None]:
    before = keras.config.floatx()
    keras.config.set_floatx(name)
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.utils.clear_session()  # forgets the dtype policy that followed from it


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def random_batches(noisy: data.NoisyData, steps: int, size: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    index = generator.integers(len(noisy.y_train), size=(steps, size)).astype(np.int32)
    meta = generator.integers(len(noisy.y_meta), size=(steps, size))
    return {
        "images": noisy.x_train[index],
        "labels": noisy.y_train[index].astype(np.int32),
        "index": index,
        "meta_images": noisy.x_meta[meta],
        "meta_labels": noisy.y_meta[meta].astype(np.int32),
    }


def fitted(settings: Settings, batches: dict[str, np.ndarray]) -> tuple[dict, dict]:
    """The state and the logs after `fit` on these batches."""
    source = experiment.load_source(settings)
    noisy = experiment.prepare_data(settings, source)
    keras.utils.clear_session()
    model = experiment.build_model(settings, source, noisy)
    # XLA draws other dropout masks than TensorFlow's own kernels.
    experiment.set_jit(model, "on" if settings.network == "small_cnn" else "auto")
    training = tf.data.Dataset.from_tensor_slices(
        (batches["images"], batches["labels"], batches["index"])
    ).map(lambda images, labels, index: (images, labels, None, index))
    meta = tf.data.Dataset.from_tensor_slices((batches["meta_images"], batches["meta_labels"]))
    history = model.fit(
        training,
        meta_data=meta if model.needs_meta_set else None,
        num_examples=len(noisy.y_train),
        verbose=0,
    )
    return pure.state_values(model), {name: log[-1] for name, log in history.history.items()}


SCANNED = """
directory, batches, out = map(pathlib.Path, sys.argv[2:])
package = program.load(directory)
with np.load(batches) as arrays:
    batches = dict(arrays)
step = package.steps["train", batches["index"].shape[1]]
state, logs = jax.jit(lambda *given: jax.lax.scan(step, *given))(package.initial_state, batches)
np.savez(out, **state, **{f"log {name}": values[-1] for name, values in logs.items()})
"""


@pytest.mark.parametrize(
    "settings, steps, floatx, tolerance",
    [
        # In float64: within 20 steps of GDW, float32's roundings grow into the third decimal.
        ({"method": "gdw", "network": "resnet8"}, 20, "float64", 1e-9),
        ({"method": "mw_net", "meta_every": 2, "network": "resnet8"}, 5, "float64", 1e-9),
        (
            {"method": "gdw", "memory": 0.7, "pair_memory": 0.9, "network": "resnet8"},
            *(5, "float32", 1e-5),
        ),
        ({"method": "ce", "network": "small_cnn"}, 20, "float32", 1e-5),
    ],
    ids=["gdw", "mw_net, every second step", "gdw, memories", "ce, dropout"],
)
def test_steps_in_jax_are_those_of_fit(settings, steps, floatx, tolerance, tmp_path, in_jax):
    settings = {"train_examples": 230, "num_meta": 20, "batch_size": 10, **settings}
    resolved = resolve(meta_batch_size=10, **settings)
    noisy = experiment.prepare_data(resolved, experiment.load_source(resolved))
    batches = random_batches(noisy, steps, 10)
    np.savez(tmp_path / "batches.npz", **batches)
    with as_floatx(floatx):
        exported = export(tmp_path / "exported", meta_batch_size=10, **settings)
        state, logs = fitted(resolved, batches)

    in_jax(SCANNED, exported, tmp_path / "batches.npz", tmp_path / "answers.npz")

    answers = read(tmp_path / "answers.npz")
    expected = {**state, **{f"log {name}": log for name, log in logs.items()}}
    assert set(answers) == set(expected)
    for name, value in expected.items():
        scale = max(np.abs(value).max(), 1e-3)
        np.testing.assert_allclose(
            answers[name] / scale, value / scale, rtol=0, atol=tolerance, err_msg=name
        )


def test_an_epoch_goes_through_every_example_once_and_the_next_one_in_another_order(in_jax):
    printed = in_jax("""
import json
description = {"seed": 3, "examples_per_epoch": 7, "batch_size": 3, "meta_batch_size": 4}
description["count"] = {"train": 7, "meta": 5}
orders = [program.epoch_order(description, epoch) for epoch in (0, 0, 1)]
print(json.dumps([[part.tolist() for part in order] for order in orders]))
""")
    first, again, second = json.loads(printed)
    for training, meta in (first, second):
        assert sorted(training) == list(range(7))
        assert np.shape(meta) == (3, 4)
        passes = np.ravel(meta)
        assert sorted(passes[:5]) == sorted(passes[5:10]) == list(range(5))
    assert first == again
    assert first[0] != second[0] and first[1] != second[1]


def test_epochs_of_another_length_go_on_in_the_pass(in_jax):
    printed = in_jax("""
import json
description = {"seed": 3, "examples_per_epoch": 4, "batch_size": 2, "meta_batch_size": 0}
description["count"] = {"train": 8, "meta": 0}
print(json.dumps([program.epoch_order(description, epoch)[0].tolist() for epoch in range(4)]))
""")
    epochs = json.loads(printed)
    assert sorted(epochs[0] + epochs[1]) == sorted(epochs[2] + epochs[3]) == list(range(8))
    assert epochs[0] + epochs[1] != epochs[2] + epochs[3]


def test_images_are_cropped_from_their_reflection_at_every_place_and_mirrored(tmp_path, in_jax):
    images = np.random.default_rng(0).integers(0, 256, (1, 6, 7, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    in_jax(
        """
images = jnp.asarray(np.load(sys.argv[2] + "/images.npy")).repeat(600, axis=0)
keys = [jax.random.key(0), jax.random.key(0), jax.random.key(1)]
np.save(sys.argv[2] + "/out.npy", [program.crop_and_flip(images, key, 2) for key in keys])
""",
        tmp_path,
    )
    padded = np.pad(images[0], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    crops = [padded[row : row + 6, column : column + 7] for row in range(5) for column in range(5)]
    possible = {crop.tobytes() for crop in [*crops, *(crop[:, ::-1] for crop in crops)]}
    first, again, other = np.load(tmp_path / "out.npy")

    found = [image.tobytes() for image in first]
    assert set(found) == possible  # all 50 of them
    mirrored = {crop[:, ::-1].tobytes() for crop in crops}
    assert 0.4 < np.mean([image in mirrored for image in found]) < 0.6
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """An export to be read only."""
    return export(tmp_path_factory.mktemp("portable") / "exported", augment=True)


TRAINED = """
sys.argv[1:] = sys.argv[2:]
program.main()
print([name for name in ("tensorflow", "keras", "gdw_tf") if sys.modules.get(name)])
"""


REFUSED = """
import io, contextlib
sys.argv[1:] = sys.argv[2:]
said = io.StringIO()
try:
    with contextlib.redirect_stderr(said):
        program.main()
except SystemExit as end:
    print(end.code, said.getvalue())
"""


REFUSED_WHILE_LOCKED = f"""
with program._locked(pathlib.Path(sys.argv[3].removeprefix("--out="))):
{textwrap.indent(REFUSED, "    ")}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, exported, in_jax) -> Path:
    """What run.py leaves of a whole training; to be read only."""
    out = tmp_path_factory.mktemp("trained")
    printed = in_jax(TRAINED, exported, f"--out={out}", run_py=exported / "run.py")
    assert printed.endswith("[]\n")
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_metrics_are_those_that_fit_logs(trained, finished_run):
    assert list(rows(trained / "metrics.csv")[0]) == list(rows(finished_run / "metrics.csv")[0])
    assert [row["epoch"] for row in rows(trained / "metrics.csv")] == ["0", "1", "2"]
    rates = [float(row["learning_rate"]) for row in rows(trained / "metrics.csv")]
    np.testing.assert_allclose(rates, [0.1, 0.075, 0.025])


def test_every_epoch_takes_all_its_steps(trained):
    latest = read(trained / "latest.npz")
    assert latest["epochs_done"] == 3
    assert latest["gdw/steps_taken"] == 15  # five an epoch, the short one among them
    assert latest["coupled_sgd/iteration"] == latest["coupled_adam/iteration"] == 15
    np.testing.assert_allclose(latest["gdw/progress"], 2 / 3)
    assert latest["loss/count"] == 230  # of the last epoch alone


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, exported, in_jax) -> Path:
    """What run.py leaves that is stopped after two of three epochs; to be read only."""
    out = tmp_path_factory.mktemp("stopped")
    in_jax(TRAINED, exported, f"--out={out}", "--until=2", run_py=exported / "run.py")
    return out


def test_a_training_that_was_stopped_ends_as_one_that_was_not(
    exported, trained, stopped, tmp_path, in_jax
):
    assert read(stopped / "latest.npz")["epochs_done"] == 2
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    say_of_results(tmp_path, device="another device")
    in_jax(TRAINED, exported, f"--out={tmp_path}", run_py=exported / "run.py")

    ran_on = json.loads((tmp_path / "device.json").read_text())["device"]
    assert ran_on == "another device and cpu"
    for name in ("latest.npz", "best.npz"):
        whole, parts = read(trained / name), read(tmp_path / name)
        assert set(whole) == set(parts)
        for key, value in whole.items():
            np.testing.assert_array_equal(parts[key], value, err_msg=key)
    whole, parts = rows(trained / "metrics.csv"), rows(tmp_path / "metrics.csv")
    for row in [*whole, *parts]:
        del row["seconds_per_step"]
    assert whole == parts


def test_an_imported_run_evaluates_to_the_same_accuracy(exported, trained, tmp_path):
    workdir = tmp_path / "run"
    finished = run("portable.import_run", exported, f"--results={trained}", f"--workdir={workdir}")
    assert finished.code == 0, finished.err

    logged = rows(trained / "metrics.csv")
    assert rows(workdir / "metrics.csv") == logged
    evaluated = json.loads(run("evaluate", workdir).out)
    assert evaluated["accuracy"] == pytest.approx(float(logged[-1]["val_accuracy"]), abs=1e-6)
    assert evaluated["loss"] == pytest.approx(float(logged[-1]["val_loss"]), rel=1e-4)
    best = json.loads(run("evaluate", workdir, "--checkpoint=best").out)
    accuracies = [float(row["val_accuracy"]) for row in logged]
    assert best["accuracy"] == pytest.approx(max(accuracies), abs=1e-6)
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["final_accuracy"] == pytest.approx(np.mean(accuracies))
    assert summary["ran_on"]["device"] == "cpu"
    again = run("train", f"--flagfile={workdir / 'flags.txt'}", f"--workdir={workdir}", "--resume")
    assert again.code == 0, again.err  # nothing is left to train
    assert json.loads((workdir / "summary.json").read_text()) == summary
    model = Workdir(workdir).checkpoints.latest().load()
    latest = read(trained / "latest.npz")
    np.testing.assert_array_equal(
        model.optimizer.momentums[0], latest["coupled_sgd/convolution_1_kernel_momentum"]
    )
    np.testing.assert_array_equal(
        model.weight_net.trainable_variables[0], latest["weight_net/dense/kernel"]
    )


@pytest.mark.parametrize("missing", ["best.npz", "latest.npz", "metrics.csv", "device.json"])
def test_an_import_without_all_results_writes_nothing(missing, exported, stopped, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(stopped, results)
    (results / missing).unlink()
    finished = run(
        "portable.import_run", exported, f"--results={results}", f"--workdir={tmp_path / 'run'}"
    )
    assert finished.code == 2 and missing in finished.err
    assert not (tmp_path / "run").exists()


def test_training_goes_on_in_tensorflow_where_run_py_stopped(exported, stopped, tmp_path):
    workdir = tmp_path / "run"
    run("portable.import_run", exported, f"--results={stopped}", f"--workdir={workdir}")
    assert not (workdir / "summary.json").exists()

    finished = run(
        "train", f"--flagfile={workdir / 'flags.txt'}", f"--workdir={workdir}", "--resume"
    )

    assert finished.code == 0, finished.err
    assert [row["epoch"] for row in rows(workdir / "metrics.csv")] == ["0", "1", "2"]


def test_a_meta_set_that_is_not_trained_on_is_evaluated(tmp_path, in_jax):
    out = export(tmp_path / "out", method="ce", steps_per_epoch=2, epochs=1)
    in_jax(TRAINED, out, run_py=out / "run.py")
    workdir = tmp_path / "run"
    assert run("portable.import_run", out, f"--workdir={workdir}").code == 0

    (row,) = rows(workdir / "metrics.csv")
    settings = resolve(**SETTINGS, method="ce")
    noisy = experiment.prepare_data(settings, experiment.load_source(settings))
    model = Workdir(workdir).checkpoints.latest().load()
    expected = model.evaluate(noisy.x_meta, noisy.y_meta, verbose=0, return_dict=True)
    assert float(row["meta_accuracy"]) == pytest.approx(expected["accuracy"], abs=1e-6)
    assert float(row["meta_loss"]) == pytest.approx(expected["loss"], rel=1e-4)
    assert int(model.steps_taken.numpy()) == 2


@pytest.mark.parametrize("arrays", [{"images": np.zeros((3, 8, 8, 1), np.uint8)}, {"labels": 1}])
def test_run_py_refuses_other_images(arrays, exported, tmp_path, in_jax):
    images = tmp_path / "images.npz"
    np.savez(images, **arrays)
    printed = in_jax(REFUSED, exported, f"--images={images}", f"--out={tmp_path}")
    assert printed.startswith(f"2 error: {images} is not the file of the export. Received: images")


def test_the_best_state_is_made_up_for_where_it_was_not_written(
    exported, stopped, tmp_path, in_jax
):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    metrics = rows(tmp_path / "metrics.csv")
    metrics[0]["val_accuracy"], metrics[1]["val_accuracy"] = "0.1", "0.2"
    with (tmp_path / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, metrics[0].keys())
        writer.writeheader()
        writer.writerows(metrics)
    np.savez(tmp_path / "best.npz", **{**read(tmp_path / "best.npz"), "epochs_done": 1})
    out = f"--out={tmp_path}"
    in_jax(TRAINED, exported, out, "--until=2", run_py=exported / "run.py")
    best, latest = read(tmp_path / "best.npz"), read(tmp_path / "latest.npz")
    assert set(best) == set(latest) and best["epochs_done"] == 2
    for name, value in latest.items():
        np.testing.assert_array_equal(best[name], value, err_msg=name)


def test_two_processes_do_not_train_in_one_directory(exported, tmp_path, in_jax):
    printed = in_jax(REFUSED_WHILE_LOCKED, exported, f"--out={tmp_path}")
    assert "Another process trains in this directory" in printed
    assert not (tmp_path / "metrics.csv").exists()


# What needs no JAX.


def test_the_data_are_those_of_the_run(exported):
    settings = resolve(**SETTINGS)
    noisy = experiment.prepare_data(settings, experiment.load_source(settings))
    arrays = read(exported / "data.npz") | read(exported / "images.npz")
    for part in ("train", "meta", "test"):
        np.testing.assert_array_equal(
            arrays["images"][arrays[f"{part}_index"]], getattr(noisy, f"x_{part}")
        )
        np.testing.assert_array_equal(arrays[f"{part}_labels"], getattr(noisy, f"y_{part}"))


def test_the_description_names_inputs_and_outputs_of_every_step(exported):
    description = json.loads((exported / "description.json").read_text())
    sizes = {(one["step"], one["batch_size"]) for one in description["programs"]}
    assert sizes == {("train", 50), ("train", 30), ("evaluate", 500)}
    initial = read(exported / "initial.npz")
    for program in description["programs"]:
        roles = [one["role"] for one in program["inputs"]]
        assert sorted(set(roles), key=roles.index) == ["state", "batch", "ignored"]
        for one in [*program["inputs"], *program["outputs"]]:
            if one["role"] == "state":
                assert list(initial[one["name"]].shape) == one["shape"]
                assert initial[one["name"]].dtype == one["dtype"]


def test_exports_share_a_file_of_images(exported, tmp_path):
    shared = tmp_path / "images.npz"
    shutil.copy(exported / "images.npz", shared)
    out = export(tmp_path / "out", images=shared, seed=1, method="ce")
    assert not (out / "images.npz").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "Name the directory to write"),
        (["stray", "--out=x"], "All arguments are flags"),
        (["--out=x", "--method=glc"], "method=glc; allowed: methods of one training"),
        (["--out=x", "--meta=pseudo"], "meta=pseudo; allowed: clean, noisy"),
        (["--out=x", "--mixup=0.2"], "mixup=0.2; allowed: 0.0"),
        (["--out=x", "--meta_balanced"], "meta_balanced=True; allowed: False"),
    ],
)
def test_what_cannot_be_exported_is_said_at_once(arguments, message):
    finished = run("portable.export", *arguments)
    assert finished.code == 2
    assert message in finished.err and finished.err.count("\n") == 1


def test_the_flags_of_a_run_are_exported(finished_run, tmp_path):
    flags = (finished_run / "flags.txt").read_text()
    assert "deterministic" in flags and "record_examples" in flags
    out = tmp_path / "out"
    finished = run("portable.export", f"--flagfile={finished_run / 'flags.txt'}", f"--out={out}")
    assert finished.code == 0, finished.err
    refused = run("portable.export", "--strategy=mirrored", f"--out={tmp_path / 'other'}")
    assert refused.code == 2 and "Received: strategy=mirrored" in refused.err


def test_nothing_is_written_over(exported, tmp_path):
    other = tmp_path / "images.npz"
    np.savez(other, images=np.zeros((3, 8, 8, 1), np.uint8))
    assert "must be a new directory" in run("portable.export", f"--out={exported}").err
    finished = run("portable.export", f"--out={tmp_path / 'out'}", f"--images={other}")
    assert finished.code == 2 and "which holds others" in finished.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "Name one export and --workdir"),
        (["nowhere", "--workdir=x"], "There is no export in this directory. Received: nowhere"),
    ],
)
def test_a_mistake_in_importing_gets_one_line(arguments, message):
    finished = run("portable.import_run", *arguments)
    assert finished.code == 2 and message in finished.err


def test_an_export_that_was_not_run_cannot_be_imported(exported, tmp_path):
    finished = run("portable.import_run", exported, f"--workdir={tmp_path / 'run'}")
    assert finished.code == 2 and "best.npz" in finished.err
    assert not (tmp_path / "run").exists()


def test_a_state_of_another_run_is_refused(exported, tmp_path):
    initial = read(exported / "initial.npz")
    del initial["features/bias"]
    for which in ("latest", "best"):
        np.savez(tmp_path / f"{which}.npz", **initial, epochs_done=1)
    (tmp_path / "metrics.csv").write_text("epoch,val_accuracy\n0,0.5\n")
    (tmp_path / "device.json").write_text("{}")
    finished = run(
        "portable.import_run", exported, f"--results={tmp_path}", f"--workdir={tmp_path / 'run'}"
    )
    assert finished.code == 2 and "features/bias" in finished.err


@pytest.mark.parametrize("name", ["training_set", "evaluation_sets"])
def test_an_import_with_other_data_is_refused(name, exported, stopped, tmp_path):
    altered, results = tmp_path / "exported", tmp_path / "results"
    shutil.copytree(exported, altered)
    shutil.copytree(stopped, results)
    for path in (altered / "description.json", results / "device.json"):
        content = json.loads(path.read_text())
        digest = content[name]
        path.write_text(json.dumps(content | {name: "0" * len(digest)}))
    arguments = (f"--results={results}", f"--workdir={tmp_path / 'run'}")
    finished = run("portable.import_run", altered, *arguments)
    assert finished.code == 2 and "The data are not those that were exported" in finished.err
    assert f"{name} of digest {digest}" in finished.err
    assert not (tmp_path / "run").exists()


def cut_last_row(results: Path) -> None:
    text = (results / "metrics.csv").read_text()
    (results / "metrics.csv").write_text(text[:-20])


def lose_a_row(results: Path) -> None:
    lines = (results / "metrics.csv").read_text().splitlines(keepends=True)
    (results / "metrics.csv").write_text("".join(lines[:-1]))


def count_epochs_wrongly(results: Path) -> None:
    state = read(results / "latest.npz") | {"epochs_done": 1}
    for which in ("best", "latest"):
        np.savez(results / f"{which}.npz", **state)


def call_another_epoch_best(results: Path) -> None:
    accuracies = [float(row["val_accuracy"]) for row in rows(results / "metrics.csv")]
    other = 2 - accuracies.index(max(accuracies))
    np.savez(results / "best.npz", **{**read(results / "best.npz"), "epochs_done": other})


def say_of_results(results: Path, **said: object) -> None:
    device = json.loads((results / "device.json").read_text())
    (results / "device.json").write_text(json.dumps(device | said))


def take_results_of_another_seed(results: Path) -> None:
    say_of_results(results, flags=["--seed=1"])


def take_results_on_another_test_set(results: Path) -> None:
    say_of_results(results, evaluation_sets="0")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_last_row, "a whole row for each of 2 epochs"),
        (lose_a_row, "a whole row for each of 2 epochs"),
        (count_epochs_wrongly, "is of another training"),
        (call_another_epoch_best, "best.npz must be that of the best epoch"),
        (take_results_of_another_seed, "results of another export"),
        (take_results_on_another_test_set, "results of another export"),
    ],
)
def test_results_that_do_not_belong_together_are_refused_before_anything_is_written(
    damage, message, exported, stopped, tmp_path
):
    results = tmp_path / "results"
    shutil.copytree(stopped, results)
    damage(results)
    workdir = tmp_path / "run"
    finished = run("portable.import_run", exported, f"--results={results}", f"--workdir={workdir}")
    assert finished.code == 2 and message in finished.err
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_run_py_does_not_go_on_with_results_of_another_export(exported, stopped, tmp_path, in_jax):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    take_results_of_another_seed(tmp_path)
    printed = in_jax(REFUSED, exported, f"--out={tmp_path}", run_py=exported / "run.py")
    assert "results of another export" in printed
    assert rows(tmp_path / "metrics.csv") == rows(stopped / "metrics.csv")


def test_one_command_leads_to_all_three():
    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gdw_tf.portable", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert "--out" in start("export", "--help").stdout
    wrong = start("exprot")
    assert wrong.returncode == 2 and "allowed: export, import, run" in wrong.stderr


@pytest.mark.parametrize("content", [b"", b"PK torn", b"text"])
def test_a_file_of_images_that_is_none_is_refused(content, tmp_path):
    (tmp_path / "images.dat").write_bytes(content)
    finished = run(
        "portable.export", f"--out={tmp_path / 'out'}", f"--images={tmp_path / 'images.dat'}"
    )
    assert finished.code == 2 and "images must be those of this data set" in finished.err
    assert not (tmp_path / "out").exists()
