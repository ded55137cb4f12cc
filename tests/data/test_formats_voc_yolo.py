import shutil
from pathlib import Path

import pytest
from reading import codes, convert_all, named

from automl_images.core.errors import DataError

# --- VOC


def test_voc_entities_are_refused_and_the_rest_is_read(write):
    path = write("voc")
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotation><filename>&b;</filename></annotation>'
    (path / "bomb.xml").write_text(bomb)
    (path / "doctype.xml").write_text('<!DOCTYPE x SYSTEM "file:///etc/passwd"><annotation/>')
    (path / "broken.xml").write_text("<annotation><object>")
    (path / "other.xml").write_text("<html/>")
    (path / "coding.xml").write_bytes(b'<?xml version="1.0" encoding="nonsense"?><annotation/>')
    (path / "empty.xml").write_bytes(b"")
    conversion = convert_all(path)
    found = codes(conversion.findings)
    assert found.count("XML_FORBIDDEN") == 2
    assert found.count("XML_INVALID") == 4
    assert len(conversion.rows) == 3


def test_voc_one_based_shifts_the_first_corner(write):
    path = write("voc")
    row = named(convert_all(path, one_based=True).rows)["a.jpg"]
    assert row["label"][0]["topX"] == pytest.approx(7 / 80)
    assert row["label"][0]["bottomX"] == pytest.approx(40 / 80)


def test_voc_falls_back_to_the_name_of_the_xml_file(write):
    path = write("voc")
    file = path / "a.xml"
    file.write_text(file.read_text().replace("a.jpg", "IMG_0001.jpeg"))
    assert "a.jpg" in named(convert_all(path).rows)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<xmin>8</xmin>", "", "ANNOTATION_ILL_FORMED"),
        ("<xmin>8</xmin>", "<xmin>nan</xmin>", "ANNOTATION_ILL_FORMED"),
        ("<name>cat</name>", "", "LABEL_WRONG_TYPE"),
        ("<xmin>8</xmin>", "<xmin>48</xmin>", "BOX_INVALID"),
        ("<filename>a.jpg", "<filename>../../../a.jpg", "PATH_OUTSIDE_ROOT"),
    ],
)
def test_voc_findings(write, old, new, code):
    path = write("voc")
    file = path / "a.xml"
    file.write_text(file.read_text().replace(old, new))
    if code == "PATH_OUTSIDE_ROOT":
        shutil.move(file, path / "q.xml")
    assert code in codes(convert_all(path).findings)


# --- YOLO


def test_yolo_splits_lists_and_background(folder, write):
    path = write("yolo")
    (folder / "labels" / "c.txt").unlink()
    (folder / "labels" / "orphan.txt").write_text("0 .5 .5 .1 .1")
    (folder / "list.txt").write_text("./images/a.jpg\n./images/c.jpg\n")
    path.write_text("train: list.txt\nval: images\nnames: [dog, cat]\n")
    conversion = convert_all(path)
    assert set(named(conversion.rows)) == {"a.jpg", "c.jpg"}
    assert named(conversion.rows)["c.jpg"]["label"] == []
    everything = convert_all(path, split="val")
    assert len(everything.rows) == 3
    assert [Path(f.file).name for f in everything.findings if f.code == "LABEL_FILE_WITHOUT_IMAGE"] == ["orphan.txt"]
    with pytest.raises(DataError, match=r"Unknown split 'vall'.*Did you mean 'val'"):
        convert_all(path, split="vall")


@pytest.mark.parametrize("names", ["[no, 3]", "{0: no, 1: 3}", "[on, 4.50]"])
def test_yolo_names_are_text_whatever_yaml_makes_of_them(folder, write, names):
    path = write("yolo")
    path.write_text(f"train: images\nnames: {names}\n")
    expected = ["4.50", "on"] if "on," in names else ["3", "no"]
    assert sorted(convert_all(path).summary["classes"]) == expected


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("7 .5 .5 .1 .1", "CATEGORY_UNKNOWN"),
        ("0 .5 .5 .1", "ANNOTATION_ILL_FORMED"),
        ("0 .5 x .1 .1", "ANNOTATION_ILL_FORMED"),
        ("0 .5 .5 nan .1", "ANNOTATION_ILL_FORMED"),
        ("0 .5 .5 -.1 .1", "BOX_INVALID"),
        ("0 40 30 20 20", "BOX_OUTSIDE_IMAGE"),
        ("0 .1 .1 .2 .2 .3 .3 .4", "POLYGON_ODD"),
    ],
)
def test_yolo_findings_name_file_and_line(folder, write, line, code):
    path = write("yolo")
    with (folder / "labels" / "a.txt").open("a") as stream:
        stream.write("\n\n" + line)
    finding = next(f for f in convert_all(path).findings if f.code == code)
    assert Path(finding.file).name == "a.txt"
    assert finding.line == 4


def test_yolo_polygons_and_crlf(folder, write):
    path = write("yolo")
    (folder / "labels" / "a.txt").write_bytes(b"\xef\xbb\xbf0 .1 .2 .5 .2 .5 .6\r\n1 0.5 0.5 0.1 0.1\r\n")
    conversion = convert_all(path)
    assert named(conversion.rows)["a.jpg"]["label"][0] == {
        "label": "dog",
        "topX": 0.1,
        "topY": 0.2,
        "bottomX": 0.5,
        "bottomY": 0.6,
        "isCrowd": 0,
    }
    assert "FILE_BYTE_ORDER_MARK" in codes(conversion.findings)
    polygons = named(convert_all(path, "polygons").rows)["a.jpg"]["label"]
    assert polygons == [{"label": "dog", "isCrowd": 0, "polygon": [[0.1, 0.2, 0.5, 0.2, 0.5, 0.6]]}]


def test_yolo_numbers_that_round_beyond_the_edge_are_no_finding(folder, write):
    path = write("yolo")
    (folder / "labels" / "a.txt").write_text("0 0.996000 0.500000 0.008001 0.100000")
    conversion = convert_all(path)
    assert "BOX_CLIPPED" not in codes(conversion.findings)
    assert named(conversion.rows)["a.jpg"]["label"][0]["bottomX"] == 1.0


@pytest.mark.parametrize("text", ["names: 5\ntrain: images", "names: {a: b}\ntrain: images", "names: [a\n", "- names"])
def test_yolo_broken_yaml(folder, text):
    (folder / "data.yaml").write_text(text)
    with pytest.raises(DataError):
        convert_all(folder / "data.yaml", format="yolo")
