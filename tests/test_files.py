from __future__ import annotations

import errno
import os
import stat

import pytest

from gdw_tf.files import remove, write_text, written_aside


def test_a_file_takes_the_place_of_the_one_before(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("first", "second é"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_a_directory_takes_the_place_of_the_one_before(tmp_path):
    path = tmp_path / "a"
    for name in ("first", "second"):
        with written_aside(path) as aside:
            (aside / "deep").mkdir(parents=True)
            (aside / "deep" / name).write_text(name)
            assert not (path / "deep" / name).exists()
    assert [one.name for one in path.rglob("*")] == ["deep", "second"]
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_after_an_error_there_is_what_was_there_before(error, tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "first")
    with pytest.raises(error), written_aside(path) as aside:
        aside.write_text("sec")
        raise error
    assert path.read_text() == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_aside_is_written_over(tmp_path):
    (tmp_path / "a.txt.partial").mkdir()
    (tmp_path / "a.txt.partial" / "half").touch()
    write_text(tmp_path / "a.txt", "whole")
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_removing_follows_no_link(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove(tmp_path / "link")
    remove(tmp_path / "nothing")
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").exists()


@pytest.mark.parametrize(("number", "is_tolerated"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_directories_that_cannot_be_brought_to_the_disk(
    number, is_tolerated, tmp_path, monkeypatch
):
    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "a.txt"
    if is_tolerated:
        write_text(path, "whole")
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            write_text(path, "whole")
    assert path.read_text() == "whole"
