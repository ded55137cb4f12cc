import shutil
from pathlib import Path

import pytest
from reading import codes, convert_all, draw, named, options

from automl_images.core.errors import DataError
from automl_images.data.conversion import convert

# --- folders and CSV


@pytest.mark.parametrize("content", ["", "\n", "\ufeff"])
def test_an_empty_csv_says_that_it_is_empty(tmp_path, content):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(DataError, match=r"x\.csv is empty: expected a header with an image column"):
        convert_all(tmp_path / "x.csv", "class")


def test_folders(tmp_path):
    for number_, label in enumerate(("cat", "dog")):
        for index in range(2):
            draw(tmp_path / "train" / label / "deep" / f"{index}.png", seed=10 * number_ + index)
        draw(tmp_path / "train" / label / "9.JPG", seed=10 * number_ + 9)
    draw(tmp_path / "val" / "cat" / "x.png")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("hello")
    (tmp_path / "train" / "cat" / ".DS_Store").write_text("")
    draw(tmp_path / "train" / "stray.png")
    with pytest.raises(DataError, match="split: train"):
        convert_all(tmp_path, "class")
    conversion = convert_all(tmp_path, "class", split="train")
    assert [row["label"] for row in conversion.rows] == ["cat"] * 3 + ["dog"] * 3
    assert codes(conversion.findings) == ["FILE_NOT_AN_IMAGE", "LABEL_MISSING"]
    assert convert_all(tmp_path / "train", "class").rows == conversion.rows
    (tmp_path / "train" / "stray.png").unlink()
    (tmp_path / "outer").mkdir()
    shutil.move(tmp_path / "train", tmp_path / "outer" / "Images")
    with pytest.raises(DataError, match="Images"):
        convert_all(tmp_path / "outer", "class")


def test_folders_of_a_single_class(tmp_path):
    for index in range(2):
        draw(tmp_path / "cat" / f"{index}.png", seed=index)
    conversion = convert_all(tmp_path, "class")
    assert [row["label"] for row in conversion.rows] == ["cat", "cat"]
    assert codes(conversion.findings) == ["SINGLE_CLASS"]


def test_links_inside_the_root_are_followed_and_links_out_of_it_refused(tmp_path):
    inside = draw(tmp_path / "root" / "cat" / "a.png")
    draw(tmp_path / "root" / "dog" / "b.png", seed=2)
    outside = draw(tmp_path / "secret.png", seed=3)
    (tmp_path / "root" / "dog" / "inside.png").symlink_to(inside)
    (tmp_path / "root" / "dog" / "outside.png").symlink_to(outside)
    conversion = convert_all(tmp_path / "root", "class")
    assert {Path(row["image_url"]).name for row in conversion.rows} == {"a.png", "b.png", "inside.png"}
    assert "PATH_OUTSIDE_ROOT" in codes(conversion.findings)


@pytest.mark.parametrize(
    ("text", "kind", "labels"),
    [
        ("image,label\na.jpg,cat\nb.jpg,\"a, b\"\n", "class", {"a.jpg": "cat", "b.jpg": "a, b"}),
        ("\ufefffilename;label\r\na.jpg;cat\r\nb.jpg;dog\r\n", "class", {"a.jpg": "cat", "b.jpg": "dog"}),
        ("image,labels\na.jpg,\"cat, dog\"\nb.jpg,cat\n", "classes", {"a.jpg": ["cat", "dog"], "b.jpg": ["cat"]}),
        ("image,labels\na.jpg,cat;traffic light\nb.jpg,cat\n", "classes", {"a.jpg": ["cat", "traffic light"], "b.jpg": ["cat"]}),
        ("image,labels\na.jpg,cat dog\nb.jpg,cat\n", "classes", {"a.jpg": ["cat", "dog"], "b.jpg": ["cat"]}),
        ("image,cat,dog,note\na.jpg,1,1,x\nb.jpg,0,1.0,y\n", "classes", {"a.jpg": ["cat", "dog"], "b.jpg": ["dog"]}),
        ("image,cat,dog\na.jpg,1,1\nb.jpg,0,0\n", "classes", {"a.jpg": ["cat", "dog"], "b.jpg": []}),
        ("image,labels\na.jpg,cat\nb.jpg,\n", "classes", {"a.jpg": ["cat"], "b.jpg": []}),
        ("image,label\na.jpg,3\nb.jpg,cat\n", "class", {"a.jpg": "3", "b.jpg": "cat"}),
    ],
)  # fmt: skip
def test_csv(folder, text, kind, labels):
    (folder / "t.csv").write_text(text, encoding="utf-8")
    conversion = convert_all(folder / "t.csv", kind)
    assert {name: row["label"] for name, row in named(conversion.rows).items()} == labels


def test_labels_split_at_spaces_are_one_finding_that_says_how_to_keep_them_together(folder):
    table = folder / "t.csv"
    table.write_text("image,labels\na.jpg,can\nb.jpg,milk bottle\nc.jpg,milk bottle can\n")
    conversion = convert_all(table, "classes")
    assert named(conversion.rows)["b.jpg"]["label"] == ["milk", "bottle"]
    [finding] = [f for f in conversion.findings if f.code == "LABEL_SPLIT_AT_SPACES"]
    assert (finding.severity, finding.file, finding.line) == ("warning", str(table), 3)
    assert "in 2 cells were split at spaces, e.g. 'milk bottle' into 'milk' and 'bottle'" in finding.message
    assert "end the cell with ';'" in finding.message
    assert conversion.summary["rows_bad"] == 0
    table.write_text("image,labels\na.jpg,can\nb.jpg,milk bottle;\nc.jpg,milk bottle;can\n")
    mended = convert_all(table, "classes")
    assert {n: r["label"] for n, r in named(mended.rows).items()} == {
        "a.jpg": ["can"],
        "b.jpg": ["milk bottle"],
        "c.jpg": ["milk bottle", "can"],
    }
    assert "LABEL_SPLIT_AT_SPACES" not in codes(mended.findings)
    table.write_text("image,labels\na.jpg, can \nb.jpg,\nc.jpg,bottle\n")
    assert "LABEL_SPLIT_AT_SPACES" not in codes(convert_all(table, "classes").findings)


@pytest.mark.parametrize(("labels", "found"), [("can;jar jar cap", True), ("a|b b|c c|d", True), ("x;1 y;2 z", False)])
def test_labels_of_several_classes_where_an_image_has_one_are_a_finding(folder, labels, found):
    table = folder / "t.csv"
    lines = [f"{name}.jpg,{label}" for name, label in zip("abc", labels.split(), strict=True)]
    table.write_text("\n".join(["image,label", *lines]))
    findings = [f for f in convert_all(table, "class").findings if f.code == "LABEL_OF_SEVERAL"]
    assert [(f.severity, f.line) for f in findings] == [("warning", 2)] * found
    assert all("image_classification_multilabel" in f.message for f in findings)


def test_csv_target_column_and_bad_lines(folder):
    (folder / "t.csv").write_text("image,label,kind\na.jpg,x,cat\nb.jpg,y\n\nb.jpg,y,dog\n,z,dog\n")
    conversion = convert(options(folder / "t.csv"), "class", target_column="kind", max_invalid=1.0)
    assert {n: r["label"] for n, r in named(conversion.rows).items()} == {"a.jpg": "cat", "b.jpg": "dog"}
    short_line = next(f for f in conversion.findings if f.code == "COLUMN_COUNT")
    assert short_line.line == 3
    assert "PATH_INVALID" in codes(conversion.findings)


@pytest.mark.parametrize(
    "text", ["", "image\na.jpg\n", "label,what\na,b\n", "image,image\na,b\n", "image,label\n" + "x" * 200_000]
)
def test_csv_that_cannot_be_used(folder, text):
    (folder / "t.csv").write_text(text)
    with pytest.raises(DataError):
        convert(options(folder / "t.csv"), "class")


def test_legacy_tsv(folder):
    (folder / "t.tsv").write_text("a.jpg\tcat,dog\nb.jpg\tcat\n")
    rows = named(convert_all(folder / "t.tsv", "classes").rows)
    assert {n: r["label"] for n, r in rows.items()} == {"a.jpg": ["cat", "dog"], "b.jpg": ["cat"]}


def test_a_cell_that_is_no_flag_costs_its_line_and_not_its_class(tmp_path):
    for number in range(4):
        draw(tmp_path / f"{number}.png", seed=number)
    (tmp_path / "labels.csv").write_text("image,a,b\n0.png,1,0\n1.png,0,1\n2.png,1,x\n3.png,1,1\n", encoding="utf-8")
    conversion = convert_all(tmp_path / "labels.csv", "classes")
    assert {name: row["label"] for name, row in named(conversion.rows).items()} == {
        "0.png": ["a"],
        "1.png": ["b"],
        "3.png": ["a", "b"],
    }
    [finding] = [finding for finding in conversion.findings if finding.severity == "error"]
    assert (finding.code, finding.line) == ("LABEL_WRONG_TYPE", 4)
    assert "x" in finding.value
