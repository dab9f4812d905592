from __future__ import annotations

import json

import pytest
from absl import flags

from gdw_tf import benchmark, train_flags

SMALL = (
    "--network=small_cnn",
    "--image_size=8,8",
    "--batch_size=4",
    "--meta_batch_size=4",
    "--num_meta=10",
    "--rounds=1",
)


def test_less_than_a_batch_is_refused(run_program):
    finished = run_program("benchmark", "--imbalance_factor=0.1")
    assert finished.code == 2
    assert "images; allowed: batch_size=100 or more" in finished.err


def test_costs_are_printed_written_and_drawn(run_program, tmp_path):
    rows_file, plot = tmp_path / "rows.json", tmp_path / "plot.png"
    finished = run_program(
        "benchmark",
        *SMALL,
        "--methods=keras,gdw:virtual_scope=head",
        f"--json={rows_file}",
        f"--plot={plot}",
    )
    assert finished.code == 0, finished.err
    stock, gdw = json.loads(rows_file.read_text())
    assert (stock["method"], stock["meta_gradient"]) == ("keras", "none")
    assert (gdw["method"], gdw["meta_gradient"]) == (
        "gdw:virtual_scope=head",
        "virtual_scope=head",
    )
    assert stock["ratio_to_plain"] == 1.0
    assert gdw["ratio_to_plain"] == pytest.approx(
        gdw["median_step_seconds"] / stock["median_step_seconds"]
    )
    assert gdw["images_per_second"] == pytest.approx(4 / gdw["median_step_seconds"])
    assert 2**27 < gdw["peak_memory_bytes"] < 2**34
    assert f"| {gdw['method']} | {gdw['meta_gradient']} | " in finished.out
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("sweep", ["classes=4,8", "batch_size=4,6"])
def test_a_sweep_times_every_method_for_every_value(run_program, tmp_path, sweep, monkeypatch):
    # What a process takes is measured by one for each row (above).
    monkeypatch.setattr(benchmark, "peak_memory", lambda case, platform: 2**28)
    rows_file = tmp_path / "rows.json"
    finished = run_program(
        "benchmark", *SMALL, "--methods=keras,ce", f"--sweep={sweep}", f"--json={rows_file}"
    )
    assert finished.code == 0, finished.err
    rows = json.loads(rows_file.read_text())
    name, values = sweep.split("=")
    expected = [(m, f"{name}={v}") for v in values.split(",") for m in ("keras", "ce")]
    assert [(row["method"], row["sweep"]) for row in rows] == expected
    for stock, plain in (rows[:2], rows[2:]):
        assert plain["ratio_to_plain"] == pytest.approx(
            plain["median_step_seconds"] / stock["median_step_seconds"]
        )


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--methods=svc", "Received: svc"),
        ("--methods=nonsense", "Received: nonsense"),
        ("--methods=gdw:memory=2", "memory=2"),
        ("--sweep=depth=8", "sweep=depth=8"),
        ("--sweep=classes=1", "sweep=classes=1"),
        ("--sweep=batch_size=x", "batch_size"),
    ],
)
def test_what_cannot_be_timed_is_said_at_once(run_program, flag, message):
    finished = run_program("benchmark", *SMALL, flag)
    assert finished.code == 2
    assert message in finished.err
    assert finished.err.count("\n") == 1


def test_every_method_is_timed_on_the_same_network():
    names = ("keras", "ce", "gdw", "gdw:virtual_scope=head")
    assert {benchmark.settings_of(name).network for name in names} == {"resnet32"}


def test_a_flag_set_for_a_while_is_not_taken_for_one_that_was_given():
    flag = flags.FLAGS["network"]
    before = flag.value, flag.present
    with train_flags.flags_set(["network=resnet8"]):
        assert flag.value == "resnet8"
    assert (flag.value, flag.present) == before
