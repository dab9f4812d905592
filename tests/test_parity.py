"""The recorded runs of the paper's authors' program, replayed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from absl.testing import flagsaver

from gdw_tf import parity

TESTS = Path(__file__).parent
GDW = TESTS / "reference" / "gdw_resnet8.npz"
MW_NET = TESTS / "reference" / "mw_net_resnet8.npz"

QUANTITIES = {"ce", "class_weights_final", "class_weights_first", "logit_gradient", "logits"}
QUANTITIES |= {"meta_loss", "meta_lr"}
FINAL = {"final/model", "final/weight_net", "final/bn_mean", "final/bn_var"}


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gdw_tf.parity", *arguments],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )


def run_main(*arguments: str) -> int:
    """The program's exit code, without the start of another process."""
    with flagsaver.as_parsed(tolerance="1e-10"):
        try:
            parity.main(["parity", *arguments])
        except SystemExit as error:
            return error.code
    return 0


def errors_printed(output: str) -> dict[str, float]:
    """The table of a replay: the largest error of each quantity."""
    rows = [line.split() for line in output.splitlines() if line.startswith("  ")]
    return {name: float(error) for name, error in rows}


@pytest.mark.parametrize(
    "recording, quantities",
    [(GDW, QUANTITIES | {"meta_gradient", "update"} | FINAL), (MW_NET, QUANTITIES | FINAL)],
    ids=["gdw", "mw_net"],
)
def test_a_recorded_run_is_repeated_to_1e_10(recording, quantities):
    result = run_program(str(recording), "--tolerance=1e-10")

    assert result.returncode == 0, result.stderr
    errors = errors_printed(result.stdout)
    assert errors.keys() == quantities
    assert max(errors.values()) <= 1e-10
    assert result.stdout.splitlines()[-1].endswith("tolerance 1e-10")


def changed_recording(path: Path, *names: str) -> str:
    """A copy of the recording of GDW with the largest entry of some arrays off by 1e-6 of it."""
    with np.load(GDW) as file:
        arrays = {name: file[name] for name in file.files}
    for name in names:
        values = arrays[name].astype(np.float64)
        values.flat[np.abs(values).argmax()] *= 1 + 1e-6
        arrays[name] = values
    np.savez(path, **arrays)
    return str(path)


def test_a_changed_quantity_is_found_and_named(float64, tmp_path, capsys):
    changed = ("step2/update", "step4/meta_loss", "final/model/005", "final/bn_var/03")
    path = changed_recording(tmp_path / "changed.npz", *changed)

    assert run_main(path) == 1

    output, error = capsys.readouterr()
    off = {name for name, value in errors_printed(output).items() if value > 1e-10}
    assert off == {"update", "meta_loss", "final/model", "final/bn_var"}
    assert error == "error: the largest error 1.00e-06 is above the tolerance 1e-10\n"


def test_statistics_of_a_short_batch_count_by_its_size(float64):
    """Two steps that move no weight, the second one of fewer images."""
    config, recorded = parity.load_recording(str(GDW))
    config |= {"learning_rate": 0.0, "weight_net_learning_rate": 0.0, "steps": 2}
    recording = {name: value for name, value in recorded.items() if name.startswith("initial/")}
    for step, size in enumerate((None, 7)):
        for name in ("x", "y", "x_meta", "y_meta"):
            part = slice(None) if name.endswith("_meta") else slice(size)
            recording[f"step{step}/{name}"] = recorded[f"step{step}/{name}"][part]
    model = parity.build_model(config, recording["step0/x"].shape[1:])
    parity.load_weights(model, recording)
    layers = [one for one in model.classifier.layers if "Normalization" in type(one).__name__]
    seen = keras.Model(model.classifier.input, [layer.input for layer in layers])
    final = {name.replace("initial", "final"): value for name, value in recording.items()}
    final = {name: value for name, value in final.items() if name.startswith("final/")}
    for step in range(2):
        for number, inputs in enumerate(seen(recording[f"step{step}/x"], training=True)):
            inputs = inputs.numpy().reshape(-1, inputs.shape[-1])
            for name, value in (
                (f"final/bn_mean/{number:02}", inputs.mean(axis=0)),
                (f"final/bn_var/{number:02}", inputs.var(axis=0, ddof=1)),
            ):
                kept = config["bn_momentum"]
                final[name] = kept * final[name] + (1 - kept) * value
    errors = parity.replay(config, recording | final)
    assert errors.keys() == FINAL
    assert max(errors.values()) < 1e-10


def write_text(path: Path) -> None:
    path.write_text("not a recording\n")


def write_nothing(path: Path) -> None:
    path.touch()


def write_one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def write_the_first_half(path: Path) -> None:
    path.write_bytes(MW_NET.read_bytes()[:100_000])


def write_no_configuration(path: Path) -> None:
    np.savez(path, x=np.zeros(3))


def write_a_quantity_that_is_not_known(path: Path) -> None:
    with np.load(GDW) as file:
        np.savez(path, config=file["config"], **{"step0/speed": np.zeros(3)})


def write_configuration(config: object):
    return lambda path: np.savez(path, config=json.dumps(config))


@pytest.mark.parametrize(
    "write",
    [
        write_text,
        write_nothing,
        write_one_array,
        write_the_first_half,
        write_no_configuration,
        write_a_quantity_that_is_not_known,
        pytest.param(write_configuration({"depth": 8}), id="no method"),
        pytest.param(write_configuration({"method": "gdw", "depth": 8}), id="half a configuration"),
        pytest.param(write_configuration([1, 2]), id="another configuration"),
        pytest.param(write_configuration({"method": "ce"}), id="no meta method"),
        pytest.param(write_configuration({"method": "l2rw"}), id="unknown method"),
    ],
)
def test_a_file_that_is_no_recording_is_an_error(float64, tmp_path, capsys, write):
    path = tmp_path / "file.npz"
    write(path)

    assert run_main(str(path)) == 2

    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith(f"error: {path} ")
    assert error.count("\n") == 1


def test_a_missing_file_is_an_error(float64, tmp_path, capsys):
    assert run_main(str(tmp_path / "missing.npz")) == 2

    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "missing.npz" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("one.npz", "two.npz")], ids=["none", "two"])
def test_anything_but_one_recording_is_an_error(float64, capsys, arguments):
    assert run_main(*arguments) == 2

    assert capsys.readouterr().err == f"error: Give one recording. Received: {list(arguments)}\n"


def test_an_error_is_the_last_line_of_the_program_and_no_traceback(tmp_path):
    path = tmp_path / "file.npz"
    write_text(path)

    result = run_program(str(path))

    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert [line for line in lines if line.startswith("error:")] == lines[-1:]


def test_relative_error_is_the_largest_difference_over_the_largest_recorded_entry():
    recorded = np.array([0.5, -4.0, 2.0])

    assert parity.relative_error(recorded, recorded) == 0.0
    assert parity.relative_error([0.5, -4.0, 2.5], recorded) == pytest.approx(0.5 / 4)
    assert parity.relative_error([0.0, 0.0], np.zeros(2)) == 0.0
    assert parity.relative_error([np.nan, -4.0, 2.0], recorded) == np.inf
    with pytest.raises(ValueError, match=r"shape \(2,\) where \(3,\) is recorded"):
        parity.relative_error([0.5, -4.0], recorded)
