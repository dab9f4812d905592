"""Training on image files and archives, by command line."""

from __future__ import annotations

import json
import os

import numpy as np
import PIL.Image
import pytest

from gdw_tf import serving

# The least that is a training on a handful of images.
TINY = (
    "--image_size=8,8",
    "--network=small_cnn",
    "--epochs=1",
    "--batch_size=4",
    "--num_meta=2",
    "--train_examples=8",
)


def dark_or_light(seed: int, light: bool) -> np.ndarray:
    noise = np.random.RandomState(seed).randint(60, size=(10, 9, 3))
    return (noise + 190 * light).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    seed = 0
    for part, count in (("train", 6), ("meta", 2), ("test", 3)):
        for label in ("dark", "light"):
            (tmp_path / "tree" / part / label).mkdir(parents=True)
            for number in range(count):
                image = PIL.Image.fromarray(dark_or_light(seed, label == "light"))
                image.save(tmp_path / "tree" / part / label / f"{number}.png")
                seed += 1
    return tmp_path / "tree"


def test_a_folder_is_trained_on_evaluated_and_exported(folder, tmp_path, train, run_program):
    (folder / "train/dark/broken.png").write_bytes(b"broken")
    (folder / "test/light/broken.png").write_bytes(b"broken")
    workdir = tmp_path / "run"
    given = ("--dataset=folder", f"--data_dir={folder}", *TINY, "--max_unreadable=0.2")
    finished = train(workdir, *given)

    assert finished.code == 0, finished.err
    assert "2 of 24 image files cannot be read and are left out" in finished.out
    assert "8 training images, labels as they are, 2 meta images, 6 test" in finished.out
    assert (workdir / "unreadable.txt").read_text().splitlines() == [
        f"{path}/broken.png\tno image; allowed: JPEG, PNG, WEBP, BMP"
        for path in ("train/dark", "test/light")
    ]
    summary = json.loads((workdir / "summary.json").read_text())
    assert (summary["noise_rate"], summary["class_counts"]) == (None, [4, 4])

    evaluated = run_program("evaluate", workdir)
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["examples"] == 6
    assert run_program("export", workdir).code == 0
    assert serving.load(workdir / "export").class_names == ("dark", "light")
    predicted = run_program("predict", workdir / "export", folder / "test/dark/0.png")
    assert predicted.out.split("\t")[1] in ("dark", "light")

    # What was left out once is left out again, without another look.
    (folder / "train/dark/broken.png").write_bytes((folder / "train/dark/0.png").read_bytes())
    resumed = train(workdir, *given, "--resume")
    assert resumed.code == 0, resumed.err
    assert "image files cannot be read" not in resumed.out
    assert "8 training images" in resumed.out


def test_a_file_is_named_by_the_bytes_of_its_name(folder, tmp_path, train):
    name = b"\xff\xe2\x80\xa8.png"  # no UTF-8, and a line separator
    with open(os.path.join(os.fsencode(folder / "train/dark"), name), "wb"):
        pass
    given = ("--dataset=folder", f"--data_dir={folder}", *TINY)
    for option in (), ("--resume",):
        finished = train(tmp_path / "run", *given, *option)
        assert finished.code == 0, finished.err
        listed = (tmp_path / "run/unreadable.txt").read_bytes()
        assert listed == b"train/dark/" + name + b"\tno image; allowed: JPEG, PNG, WEBP, BMP\n"


def test_a_leak_and_too_many_unreadable_files_stop_before_the_run(folder, tmp_path, train):
    workdir = tmp_path / "run"
    given = ("--dataset=folder", f"--data_dir={folder}", *TINY)
    (folder / "train/dark/broken.png").write_bytes(b"broken")
    (folder / "train/light/broken.png").write_bytes(b"broken")
    finished = train(workdir, *given)
    assert finished.code == 2
    assert "error: Too many files are unreadable. Received: 2 of 24" in finished.err

    (folder / "train/dark/broken.png").write_bytes((folder / "meta/dark/0.png").read_bytes())
    finished = train(workdir, *given)
    assert finished.code == 2
    assert "error: Images of the clean set are training images too" in finished.err
    assert not workdir.exists()
    assert train(workdir, *given, "--allow_leak").code == 0


def test_tables_are_trained_on(folder, tmp_path, train, run_program):
    for part in ("train", "meta", "test"):
        paths = sorted(path.relative_to(folder) for path in (folder / part).rglob("*.png"))
        rows = "".join(f"{path},{path.parent.name}\n" for path in paths)
        (tmp_path / f"{part}.csv").write_text(f"path,label\n{rows}")
    tables = [f"--{part}_csv={tmp_path / part}.csv" for part in ("train", "meta", "test")]
    finished = train(tmp_path / "run", "--dataset=csv", f"--data_dir={folder}", *tables, *TINY)

    assert finished.code == 0, finished.err
    assert (tmp_path / "run/unreadable.txt").read_text() == ""
    flags = (tmp_path / "run/flags.txt").read_text().splitlines()
    assert {"--image_size=8,8", *tables} <= set(flags)
    assert json.loads(run_program("evaluate", tmp_path / "run").out)["examples"] == 6


def test_an_archive_is_trained_on_with_noise_on_top(tmp_path, train, run_program):
    arrays = {}
    for suffix, count in (("", 12), ("_meta", 4), ("_test", 6)):
        images = [dark_or_light(count * 10 + i, i % 2 == 1) for i in range(count)]
        arrays |= {f"x{suffix}": np.stack(images), f"y{suffix}": np.arange(count) % 2}
    np.savez(tmp_path / "own.npz", **arrays)
    given = ("--dataset=npz", f"--data_file={tmp_path / 'own.npz'}", *TINY)
    finished = train(tmp_path / "run", *given, "--noise=flip", "--noise_rate=1")

    assert finished.code == 0, finished.err
    assert "100.0 % wrong labels" in finished.out
    assert not (tmp_path / "run/unreadable.txt").exists()
    assert json.loads(run_program("evaluate", tmp_path / "run").out)["examples"] == 6


def test_clothing1m_has_the_settings_of_the_paper(tmp_path, train):
    lines = []
    for number in range(14 * 3):
        key = f"images/{number}.png"
        (tmp_path / "data/images").mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(dark_or_light(number, number % 2 == 1)).save(tmp_path / "data" / key)
        lines.append(key)
    labels = "".join(f"{key} {number % 14}\n" for number, key in enumerate(lines))
    for name in ("noisy_label_kv", "clean_label_kv"):
        (tmp_path / f"data/{name}.txt").write_text(labels)
    for name, start in (("noisy_train", 0), ("clean_train", 14), ("clean_test", 28)):
        keys = "\n".join(lines[start : start + 14])
        (tmp_path / f"data/{name}_key_list.txt").write_text(keys)
    given = ("--dataset=clothing1m", f"--data_dir={tmp_path / 'data'}")
    small = ("--network=small_cnn", "--image_size=8,8", "--train_examples=14", "--num_meta=14")
    finished = train(tmp_path / "run", *given, *small, "--epochs=1")

    assert finished.code == 0, finished.err
    flags = (tmp_path / "run/flags.txt").read_text().splitlines()
    assert {"--learning_rate=0.001", "--weight_decay=0.001", "--noise=none"} <= set(flags)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dataset=folder"], "folder needs the folder of its images"),
        (
            ["--dataset=csv", "--data_dir=."],
            "tables train_csv and test_csv. Received: no train_csv",
        ),
        (["--dataset=npz"], "npz needs a file"),
        (["--dataset=npz", "--data_file=nowhere.npz"], "nowhere.npz"),
        (["--dataset=clothing1m", "--data_dir=."], "no noisy_label_kv.txt"),
        (["--dataset=tfds"], "dataset=tfds; allowed: "),
        (["--dataset=tfds:no_such_set", "--nodownload"], "no such data set"),
        (["--image_size=8,8"], "digits does not take image_size"),
        (["--human_labels=worst"], "digits does not take human_labels"),
        (["--data_file=a.npz"], "digits does not take data_file"),
        (["--image_size=8"], "image_size=8; allowed: height and width of 8 to 4096"),
        (["--image_size=0,8"], "image_size=0,8; allowed: height and width of 8 to 4096"),
        (["--image_size=8,5000"], "image_size=8,5000; allowed: height and width"),
        (["--image_size=7,8"], "image_size=7,8; allowed: height and width of 8 to 4096"),
        (["--image_size=8xx8"], "image_size=8xx8; allowed: height and width"),
        (["--max_unreadable=2"], "max_unreadable=2.0; allowed: 0 to 1"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(arguments, message, train, tmp_path):
    finished = train(tmp_path / "run", *arguments)
    assert finished.code == 2
    error = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and message in error[0], finished.err
    assert not (tmp_path / "run").exists()
