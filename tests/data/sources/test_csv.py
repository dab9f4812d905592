from __future__ import annotations

import pytest

from gdw_tf import data


@pytest.fixture
def tables(tmp_path, image_folder):
    """Options of `load` for three tables of the images of `image_folder`."""
    options = {"data_dir": str(image_folder), "image_size": (6, 8)}
    for part in ("train", "meta", "test"):
        paths = sorted(
            path.relative_to(image_folder) for path in (image_folder / part).rglob("*.*")
        )
        rows = "".join(f"{path},{path.parent.name}\n" for path in paths)
        (tmp_path / f"{part}.csv").write_text(f"path,label\n{rows}")
        options[f"{part}_csv"] = str(tmp_path / f"{part}.csv")
    return options


def rewrite(table: str, old: str, new: str) -> None:
    with open(table) as file:
        text = file.read()
    assert old in text
    with open(table, "w") as file:
        file.write(text.replace(old, new))


def test_tables_give_the_images_in_their_order(tables):
    rewrite(tables["train_csv"], "train/cat/0.png,cat", "train/cat/0.png,dog")
    source = data.load("csv", **tables)
    assert source.class_names == ("cat", "dog")
    assert [source.x_train.name(index) for index in (0, 4)] == [
        "train/cat/0.png",
        "train/dog/0.png",
    ]
    assert source.y_train.tolist() == [1, 0, 0, 0, 1, 1, 1, 1]
    assert source.y_meta.tolist() == source.y_test.tolist() == [0, 0, 1, 1]
    assert not source.labels_are_true


def test_paths_may_be_absolute(tables, image_folder, tmp_path):
    expected = data.load("csv", **tables)
    rewrite(tables["train_csv"], "train/dog", f"{image_folder}/train/dog")
    (tmp_path / "link").symlink_to(image_folder)
    rewrite(tables["test_csv"], "test/cat", f"{tmp_path}/link/test/cat")
    source = data.load("csv", **tables)
    for part in ("x_train", "x_test"):
        images = getattr(source, part)
        assert images.paths.tolist() == getattr(expected, part).paths.tolist()
        assert images.load(len(images) - 1).shape == (6, 8, 3)


def test_whole_numbers_are_ordered_as_numbers(tables):
    for part in ("train", "meta", "test"):
        rewrite(tables[f"{part}_csv"], ",cat", ",10")
        rewrite(tables[f"{part}_csv"], ",dog", ",9")
    source = data.load("csv", **tables)
    assert source.class_names == ("9", "10")
    assert source.y_meta.tolist() == [1, 1, 0, 0]


def test_labels_of_one_number_have_an_order(tables):
    for part in ("train", "meta", "test"):
        rewrite(tables[f"{part}_csv"], ",cat", ",1")
        rewrite(tables[f"{part}_csv"], ",dog", ",01")
    assert data.load("csv", **tables).class_names == ("01", "1")


def test_fields_may_begin_with_a_blank(tables, tmp_path):
    (tmp_path / "meta.csv").write_text("path, label\nmeta/cat/0.png, cat\nmeta/dog/0.png, dog\n")
    assert data.load("csv", **tables).y_meta.tolist() == [0, 1]


def test_columns_may_stand_in_any_order_beside_others(tables, tmp_path):
    (tmp_path / "meta.csv").write_text(
        '\ufefflabel,size,path\ncat,3,meta/cat/0.png\ndog,4,"meta/dog/0.png"\n', encoding="utf-8"
    )
    assert data.load("csv", **tables).y_meta.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        (
            "path,label",
            "file,label",
            ValueError,
            "columns path and label.* Received: .*'file', 'label'",
        ),
        ("path,label", "path,label,path", ValueError, "once. Received: .*'path', 'label', 'path'"),
        ("train/cat/0.png,cat", "train/cat/0.png,", ValueError, "Received: line 2 of .*train.csv"),
        ("train/cat/0.png,cat", "train/cat/0,1.png,cat", ValueError, "Received: line 2 of .*.csv"),
        ("train/cat/0.png,cat", "9" * 200_000 + ",cat", ValueError, "no table. Received: .*limit"),
        ("0.png,cat", '0.png,"ca\nt"', ValueError, r"must be readable text. Received: 'ca\\nt'"),
        (
            "train/cat/0.png",
            "train/cat/7.png",
            OSError,
            "1 paths without a file, first train/cat/7",
        ),
        (
            "train/cat/0.png",
            "../train.csv",
            ValueError,
            "leads out of the data. Received: ../train",
        ),
        (
            "train/cat/0.png",
            "/etc/hosts",
            ValueError,
            "leads out of the data. Received: /etc/hosts",
        ),
        (",cat", ",dog", ValueError, "no training image. Received: class cat"),
    ],
)
def test_a_table_that_is_not_as_it_should_be_is_an_error(old, new, error, message, tables):
    rewrite(tables["train_csv"], old, new)
    with pytest.raises(error, match=message) as raised:
        data.load("csv", **tables)
    assert "\n" not in str(raised.value)


def test_a_table_that_is_no_text_is_an_error(tables):
    for contents in ("path,label\nmeta/cat/0.png,größe".encode("latin1"), bytes(range(256))):
        with open(tables["meta_csv"], "wb") as file:
            file.write(contents)
        with pytest.raises(ValueError, match="no text in UTF-8. Received: .*meta.csv"):
            data.load("csv", **tables)


def test_one_class_is_not_enough(tables):
    for part in ("train", "meta", "test"):
        rewrite(tables[f"{part}_csv"], ",dog", ",cat")
    with pytest.raises(ValueError, match="nothing to tell apart. Received: the class cat"):
        data.load("csv", **tables)


def test_there_may_be_no_clean_set(tables):
    source = data.load("csv", **{**tables, "meta_csv": None})
    assert (source.x_meta, source.y_meta, len(source.x_train)) == (None, None, 8)


def test_the_other_tables_are_needed(tables):
    with pytest.raises(ValueError, match="train_csv and test_csv. Received: no test_csv"):
        data.load("csv", **{**tables, "test_csv": None})
    with pytest.raises(FileNotFoundError, match="nowhere"):
        data.load("csv", **{**tables, "test_csv": "nowhere.csv"})
