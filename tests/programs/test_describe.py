from __future__ import annotations

import numpy as np
from PIL import Image

from gdw_tf import data
from gdw_tf.data import figures

SETTING = (
    *("--noise=pair", "--noise_rate=0.3", "--train_examples=400", "--num_meta=30"),
    *("--imbalance=step", "--imbalance_factor=0.5", "--seed=4"),
)


def describe(run_program, *arguments):
    return run_program("data.describe", *SETTING, *arguments)


def test_the_description_counts_what_a_training_would_see(run_program, tmp_path):
    finished = describe(run_program)

    assert finished.code == 0, finished.err
    noisy = data.prepare(
        data.load("digits"),
        num_meta=30,
        noise="pair",
        noise_rate=0.3,
        imbalance="step",
        imbalance_factor=0.5,
        train_examples=400,
        seed=4,
    )
    lines = finished.out.splitlines()
    assert "300 training, 30 meta and 500 test images" in lines
    wrong = np.count_nonzero(noisy.y_train != noisy.y_true)
    assert f"noise pair, rate 0.3; wrong labels: {wrong / 3:.1f} %" in lines
    given = np.bincount(noisy.y_train)
    start = lines.index("class   train   given    meta    test") + 1
    rows = [list(map(int, line.split()[2:])) for line in lines[start : start + 10]]
    assert rows == [[40 if c < 5 else 20, given[c], 3, 50] for c in range(10)]
    assert any(line.startswith("true class") for line in lines)
    assert not list(tmp_path.iterdir())


def test_the_files_are_written(run_program, tmp_path):
    out = tmp_path / "new" / "folder"
    finished = describe(run_program, f"--out={out}")

    assert finished.code == 0, finished.err
    assert {path.name for path in out.iterdir()} == {
        *("description.txt", "classes.png", "noise_matrix.png", "examples.png")
    }
    assert (out / "description.txt").read_text() in finished.out
    for picture in out.glob("*.png"):
        with Image.open(picture) as image:
            assert min(image.size) >= 300, picture


def test_files_that_cannot_be_read_are_counted_and_named(run_program, tmp_path):
    for part in ("train", "meta", "test"):
        for number in range(12):
            path = tmp_path / part / f"{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 9), (number, len(part), ord(part[1]))).save(path)
    (tmp_path / "train/1/1.png").write_bytes(b"broken")
    arguments = ("--dataset=folder", f"--data_dir={tmp_path}", f"--out={tmp_path / 'out'}")
    finished = run_program("data.describe", *arguments)

    assert finished.code == 0, finished.err
    assert "11 training, 12 meta and 12 test images" in finished.out
    assert "1 of 36 image files cannot be read" in finished.out.splitlines()
    assert (tmp_path / "out/unreadable.txt").read_text().startswith("train/1/1.png\tno image")


def test_pictures_without_matplotlib_are_an_error_before_any_work(
    run_program, tmp_path, monkeypatch
):
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: None)
    finished = describe(run_program, f"--out={tmp_path / 'out'}")
    assert finished.code == 2
    assert 'pip install "gdw_tf[report]"' in finished.err
    assert not (tmp_path / "out").exists()
    assert describe(run_program).code == 0


def test_mistakes_get_one_line(run_program, tmp_path):
    (tmp_path / "file").write_text("")
    for arguments, message in [
        (["--noise_rate=2"], "noise_rate=2.0"),
        (["digits"], "All arguments are flags. Received: digits"),
        ([f"--out={tmp_path / 'file'}"], "out must be a directory"),
    ]:
        finished = describe(run_program, *arguments)
        assert finished.code == 2
        assert message in finished.err
        assert finished.err.count("error: ") == 1
