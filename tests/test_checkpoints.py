from __future__ import annotations

import json
import random
import shutil
import warnings
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest

import gdw_tf
from gdw_tf import files
from gdw_tf.checkpoints import CheckpointFolder


def model(value: float) -> gdw_tf.CE:
    """A model of two weights."""
    layer = keras.layers.Dense(2, use_bias=False, kernel_initializer=keras.initializers.Zeros())
    classifier = keras.Sequential([keras.Input((1,)), layer])
    classifier.set_weights([np.full((1, 2), value)])
    return gdw_tf.CE(classifier)


def value_of(checkpoint) -> float:
    return float(checkpoint.load().classifier.get_weights()[0][0, 0])


def save(folder: CheckpointFolder, step: int, **arguments) -> None:
    folder.save(model(step), step=step, epoch=step // 10, **arguments)


@pytest.fixture
def folder(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    folder.create()
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints of steps 10, 20 and 30, the first the best; to be copied, not changed."""
    root = tmp_path_factory.mktemp("saved")
    folder, metrics = CheckpointFolder(root / "checkpoints"), root / "metrics.csv"
    folder.create()
    for step in (10, 20, 30):
        metrics.write_text(f"epoch\n{step}\n")
        save(folder, step, metrics=[step, [0.1, 0.2]], run_files=[metrics], is_best=step == 10)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    shutil.copytree(saved.root, tmp_path / "checkpoints")
    return CheckpointFolder(tmp_path / "checkpoints")


def steps_of(folder: CheckpointFolder) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in folder.root.glob("step-*"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_nothing_was_saved_yet(folder, tmp_path):
    assert folder.latest() is folder.best() is folder.last_saved() is None
    assert CheckpointFolder(tmp_path / "nowhere").latest() is None


def test_the_latest_and_the_best_are_found(saved):
    latest = saved.latest()
    assert (latest.step, latest.epoch, value_of(latest)) == (30, 3, 30.0)
    assert (saved.best().step, value_of(saved.best())) == (10, 10.0)
    assert saved.last_saved() == latest
    assert steps_of(saved) == [10, 20, 30]


def test_older_ones_are_removed(folder):
    for step in (10, 20, 30, 40):
        save(folder, step, keep=3)
    assert steps_of(folder) == [20, 30, 40]
    save(folder, 50, keep=1)
    assert steps_of(folder) == [50]


def test_the_best_is_kept_until_there_is_a_better(folder):
    for step in (10, 20, 30):
        save(folder, step, keep=1, is_best=step == 10)
    assert steps_of(folder) == [10, 30]
    save(folder, 40, keep=1, is_best=True)
    assert steps_of(folder) == [40]
    assert folder.best().step == 40


def test_what_keras_leaves_out_comes_back(copied, tmp_path):
    assert copied.latest().metrics() == [30, [0.1, 0.2]]
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("epoch\n30\n4")
    assert copied.latest().restore(metrics)
    assert metrics.read_text() == "epoch\n30\n"
    assert not copied.latest().restore(tmp_path / "other.csv")


@pytest.mark.parametrize("name", ["model.keras", "epoch.json", "metrics.csv"])
def test_a_damaged_one_is_reported_and_the_one_before_it_used(name, copied):
    flip(copied.latest().path / name)
    with pytest.warns(UserWarning, match=rf"step-00000030 is damaged \({name} .*one before it"):
        assert copied.latest().step == 20
    (copied.root / "step-00000020" / name).unlink()
    with pytest.warns(UserWarning, match="step-00000020 cannot be read"):
        assert copied.latest().step == 10


def test_one_that_is_gone_is_reported_and_the_one_before_it_used(copied):
    shutil.rmtree(copied.latest().path)
    with pytest.warns(UserWarning, match="step-00000030 cannot be read .*No such file"):
        assert copied.latest().step == 20


def test_a_run_never_starts_anew_without_a_word(copied):
    for step in (10, 20, 30):
        flip(copied.root / f"step-000000{step}" / "model.keras")
    with (
        pytest.warns(UserWarning, match="there is none before it"),
        pytest.raises(ValueError, match="No checkpoint of the run can be used"),
    ):
        copied.latest()


def test_a_damaged_best_one_is_an_error(copied):
    flip(copied.best().model)
    with pytest.raises(ValueError, match="The best checkpoint .*step-00000010 is damaged"):
        copied.best()
    assert copied.latest().step == 30


def test_a_damaged_manifest_is_reported_and_its_copy_used(copied):
    manifest = copied.root / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"step": 30', '"step": 31'))
    with pytest.warns(UserWarning, match=r"manifest\.json is damaged; going by the one before"):
        assert copied.latest().step == 30
    with pytest.warns(UserWarning):
        save(copied, 40)
    assert copied.latest().step == 40
    assert steps_of(copied) == [10, 30, 40]
    manifest.write_text("")
    with pytest.warns(UserWarning):
        assert copied.latest().step == 40  # a damaged manifest took no good one's place


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_manifest_loses_neither_the_latest_nor_a_new_best(folder, keep):
    for step, is_best in ((10, True), (20, False), (30, True)):
        save(folder, step, is_best=is_best, keep=keep)
    (folder.root / "manifest.json").write_text("")
    with pytest.warns(UserWarning):
        assert (folder.latest().step, folder.best().step) == (30, 30)


def test_a_folder_that_was_broken_off_as_it_was_made_is_new(folder):
    (folder.root / "manifest.json").rename(folder.root / "manifest.json.partial")
    assert folder.latest() is None
    folder.create()
    assert [path.name for path in folder.root.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("remaining", ["nothing", "something damaged"])
def test_without_any_manifest_there_is_no_telling(remaining, copied):
    (copied.root / "manifest.json").unlink()
    previous = copied.root / "manifest.previous.json"
    previous.unlink() if remaining == "nothing" else flip(previous)
    with pytest.raises(ValueError, match="There is no telling which checkpoints the run has"):
        copied.latest()
    assert copied.last_saved() is None


def test_a_run_that_goes_back_drops_what_came_later(copied):
    flip(copied.latest().model)
    with pytest.warns(UserWarning):
        assert copied.latest().step == 20
    save(copied, 23)
    assert steps_of(copied) == [10, 20, 23]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert copied.latest().step == 23


class Killed(BaseException):
    pass


@pytest.mark.parametrize("is_before", [True, False])
def test_wherever_saving_is_broken_off_there_is_a_whole_one(is_before, copied, tmp_path):
    # Every call by which something is moved into place, brought to the disk, or removed.
    calls = [("os", "replace"), ("gdw_tf.files", "_bring_to_disk"), ("shutil", "rmtree")]
    for owner, name in calls:
        number = 0
        while True:  # broken off at the first call, then at the second, ...
            number += 1
            root = tmp_path / f"{name}-{number}"
            shutil.copytree(copied.root, root)
            folder, counted = CheckpointFolder(root), 0
            original = getattr(__import__(owner, fromlist=[name]), name)

            def broken_off(*arguments, original=original, number=number):
                nonlocal counted
                counted += 1
                if counted < number:
                    return original(*arguments)
                if not is_before and counted == number:
                    original(*arguments)
                raise Killed  # whatever comes after it does not happen either

            with mock.patch(f"{owner}.{name}", broken_off):
                try:
                    save(folder, 40, is_best=True)
                except Killed:
                    was_killed = True
                else:
                    was_killed = False
            latest = folder.latest()
            assert latest.step in (30, 40) and value_of(latest) == latest.step
            assert value_of(folder.best()) == (10.0 if latest.step == 30 else 40.0)
            if not was_killed:
                break
            save(folder, 40, is_best=True)  # once more, to the end
            assert steps_of(folder) == [30, 40]
            assert not list(root.rglob(f"*{files.ASIDE}"))
        assert number > 2


def test_two_hundred_damages_never_go_unnoticed(saved, tmp_path):
    """Flips a bit, or cuts off the end, anywhere in any file."""
    generator = random.Random(0)
    victims = sorted(path for path in saved.root.rglob("*") if path.is_file())
    # The latest one and the manifests as often as all the others.
    victims += [path for path in victims if "step" not in str(path) or "30" in str(path)] * 2
    found = {"as it was": 0, "one before": 0, "refused": 0}
    for number in range(200):
        root = tmp_path / str(number)
        shutil.copytree(saved.root, root)
        victim = root / generator.choice(victims).relative_to(saved.root)
        content = bytearray(victim.read_bytes())
        place = generator.randrange(len(content))
        if generator.random() < 0.5:
            content[place] ^= 1 << generator.randrange(8)
        else:
            del content[place:]
        victim.write_bytes(content)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                latest = CheckpointFolder(root).latest()
            except ValueError:
                found["refused"] += 1
                continue
        reference = saved.root / latest.path.name
        for file in reference.iterdir():  # what is used is what was saved
            assert (latest.path / file.name).read_bytes() == file.read_bytes()
        assert latest.epoch == latest.step // 10 and latest.path.name.endswith(f"{latest.step}")
        if latest.step == 30:
            found["as it was"] += 1
            assert bool(said) == (victim.name == "manifest.json")  # whose copy is used
        else:
            found["one before"] += 1
            assert latest.step == 20 and said
        shutil.rmtree(root)
    assert found["refused"] == 0 and min(found["as it was"], found["one before"]) > 50


def test_nothing_is_looked_for_outside(copied):
    manifest = copied.root / "manifest.json"
    content = json.loads(manifest.read_text())
    content["checkpoints"][-1]["file"] = "../elsewhere"
    manifest.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="is damaged"):
        assert copied.latest().path.parent == copied.root
