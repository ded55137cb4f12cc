import json

import pytest
from reading import codes, convert_all, draw, options

from automl_images.core.errors import DataError
from automl_images.data import strict_json
from automl_images.data.conversion import convert

# --- JSONL and MLTable

BOX = {"label": "cat", "topX": "0.1", "topY": 0.1, "bottomX": 0.5, "bottomY": "0.5"}


def write_lines(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_jsonl_legacy_rows_of_one_box(folder):
    rows = [{"imageUrl": "images/a.jpg", "imageDetails": {"width": 80, "height": 60}, "label": BOX} for _ in range(2)]
    rows[1]["label"] = BOX | {"label": "dog", "isCrowd": "true"}
    conversion = convert_all(write_lines(folder / "t.jsonl", *rows))
    (row,) = conversion.rows
    assert [(o["label"], o["topX"], o["isCrowd"]) for o in row["label"]] == [("cat", 0.1, 0), ("dog", 0.1, 1)]
    assert "IMAGE_ROW_DUPLICATE" not in codes(conversion.findings)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "JSON_INVALID"),
        ("[1]", "ROW_NOT_OBJECT"),
        ('{"image_url": "images/b.jpg", "label": NaN}', "JSON_NOT_FINITE"),
        ('{"image_url": "images/b.jpg", "image_url": "images/c.jpg"}', "JSON_DUPLICATE_KEY"),
        ("[" * 100_000, "JSON_TOO_DEEP"),
        ('{"label": []}', "ID_MISSING"),
        ('{"image_url": "images/b.jpg"}', "LABEL_MISSING"),
        ({"image_url": "images/b.jpg", "label": BOX}, "LABEL_WRONG_TYPE"),
        ({"image_url": "images/b.jpg", "label": ["cat"]}, "ANNOTATION_ILL_FORMED"),
        ({"image_url": "images/b.jpg", "label": [{"label": "cat"}]}, "ANNOTATION_ILL_FORMED"),
        ({"image_url": "images/b.jpg", "label": [BOX | {"topX": "a"}]}, "ANNOTATION_ILL_FORMED"),
        ({"image_url": "images/b.jpg", "label": [BOX | {"topX": True}]}, "ANNOTATION_ILL_FORMED"),
        ('{"image_url": "images/b.jpg", "label": [{"label": "x", "topX": 1e999, "topY": 0, "bottomX": 1, "bottomY": 1}]}', "ANNOTATION_ILL_FORMED"),
        ({"image_url": "images/b.jpg", "label": [BOX | {"label": None}]}, "LABEL_WRONG_TYPE"),
        ('{"image_url": "images/b.jpg", "label": [{"label": "\\ud800", "topX": 0, "topY": 0, "bottomX": 1, "bottomY": 1}]}', "LABEL_WRONG_TYPE"),
        ('{"image_url": "\\ud800.jpg", "label": []}', "PATH_INVALID"),
        ({"image_url": "images/b.jpg", "label": [BOX | {"topX": 0.7}]}, "NO_VALID_OBJECTS"),
        ({"image_url": "images/b.jpg", "label": [BOX | {"bottomX": 300, "bottomY": 200}]}, "BOX_OUTSIDE_IMAGE"),
        ({"image_url": "../../../../../../../../etc/passwd", "label": []}, "PATH_OUTSIDE_ROOT"),
        ({"image_url": "/etc/passwd", "label": []}, "PATH_OUTSIDE_ROOT"),
        ({"image_url": "file:///etc/passwd", "label": []}, "IMAGE_MISSING"),
        ({"image_url": "file:///x/../../etc/passwd", "label": []}, "PATH_OUTSIDE_ROOT"),
        ({"image_url": "http://[::1", "label": []}, None),
    ],
)  # fmt: skip
def test_jsonl_findings_name_the_line_and_drop_it(folder, line, code):
    path = write_lines(folder / "t.jsonl", {"image_url": "images/a.jpg", "label": [BOX]}, "", line)
    conversion = convert_all(path)
    assert len(conversion.rows) == 1
    finding = next(f for f in conversion.findings if f.code == (code or "PATH_INVALID"))
    assert finding.line == 3
    assert finding.file == str(path)


def test_jsonl_line_that_is_too_long(folder, monkeypatch):
    monkeypatch.setattr(strict_json, "MAX_LINE_BYTES", 400)
    rows = [{"image_url": f"images/{name}", "label": [BOX]} for name in ("a.jpg", "b.jpg", "c.jpg")]
    rows[1]["note"] = "x" * 2000
    conversion = convert_all(write_lines(folder / "t.jsonl", *rows))
    assert [(f.code, f.line) for f in conversion.findings if f.severity == "error"] == [("LINE_TOO_LONG", 2)]
    assert len(conversion.rows) == 2


def test_jsonl_wrong_encoding_costs_the_line_only(folder):
    rows = [
        json.dumps({"image_url": f"images/{name}", "label": [BOX]}).encode() for name in ("a.jpg", "b.jpg", "c.jpg")
    ]
    (folder / "t.jsonl").write_bytes(b"\xef\xbb\xbf" + rows[0] + b"\r\n\xff\xfe\r\n" + rows[2] + b"\r\n")
    conversion = convert_all(folder / "t.jsonl")
    assert {"TEXT_ENCODING", "FILE_BYTE_ORDER_MARK"} <= set(codes(conversion.findings))
    assert len(conversion.rows) == 2


def test_jsonl_without_any_label_or_image_fails(folder):
    with pytest.raises(DataError, match="no labels found"):
        convert_all(write_lines(folder / "t.jsonl", {"image_url": "images/a.jpg", "tag": []}))
    with pytest.raises(DataError, match="no row has an image"):
        convert_all(write_lines(folder / "t.jsonl", {"image": "images/a.jpg", "label": []}))
    conversion = convert(
        options(write_lines(folder / "t.jsonl", {"image_url": "images/a.jpg", "tag": [BOX]})),
        "boxes",
        target_column="tag",
    )
    assert len(conversion.rows) == 1


def test_azureml_addresses_find_the_file_with_the_longest_tail(folder):
    draw(folder / "images" / "deep" / "a.jpg", 30, 30)
    base = "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/"
    rows = [{"image_url": base + tail, "label": [BOX]} for tail in ("x/deep/a.jpg", "UI/a.jpg", "b%2Ejpg", "none.jpg")]
    rows.append({"image_url": "AmlDatastore://d/images/c.jpg", "label": [BOX]})
    rows.append({"image_url": "https://example.org/d.jpg?x=1", "label": [BOX]})
    conversion = convert_all(write_lines(folder / "t.jsonl", *rows), images=folder / "images")
    found = [row["image_url"].removeprefix(f"{folder.resolve()}/") for row in conversion.rows]
    assert sorted(found) == [
        "https://example.org/d.jpg?x=1",
        "images/a.jpg",
        "images/b.jpg",
        "images/c.jpg",
        "images/deep/a.jpg",
    ]
    assert "IMAGE_MISSING" in codes(conversion.findings)
    url = next(row for row in conversion.rows if row["image_url"].startswith("https"))
    assert url["image_details"] == {"format": "jpg"}


def table(folder, paths="- file: ./t.jsonl", read="{encoding: utf8, invalid_lines: error}", more=""):
    (folder / "MLTable").write_text(f"paths:\n  {paths}\ntransformations:\n  - read_json_lines: {read}\n{more}")
    return folder


def test_mltable_paths_and_encodings(folder):
    row = {"image_url": "images/a.jpg", "label": [BOX | {"label": "Kätzchen"}]}
    (folder / "rows").mkdir()
    (folder / "rows" / "t.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-16")
    for paths in ("- folder: ./rows", "- pattern: ./rows/*.jsonl", "- file: rows/t.jsonl"):
        conversion = convert_all(table(folder, paths, "{encoding: utf16}"))
        assert conversion.rows[0]["label"][0]["label"] == "Kätzchen"


def test_mltable_invalid_lines(folder):
    write_lines(folder / "t.jsonl", {"image_url": "images/a.jpg", "label": [BOX]}, "{oops")
    with pytest.raises(DataError, match=r"t\.jsonl:2 cannot be read: JSON_INVALID"):
        convert_all(table(folder))
    conversion = convert_all(table(folder, read="{invalid_lines: drop}"))
    assert "JSON_INVALID" in codes(conversion.findings)
    assert len(conversion.rows) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"paths": "- file: /etc/passwd"},
        {"paths": "- file: ../../../../../../../etc/passwd"},
        {"paths": "- file: absent.jsonl"},
        {"paths": "- pattern: /etc/*"},
        {"paths": "- url: x"},
        {"paths": "[]"},
        {"read": "{encoding: klingon}"},
        {"read": "{invalid_lines: maybe}"},
        {"more": "  - take: 5\n"},
        {"more": "  - !!python/object/apply:os.system ['true']\n"},
    ],
)
def test_mltable_refusals(folder, change):
    write_lines(folder / "t.jsonl", {"image_url": "images/a.jpg", "label": [BOX]})
    with pytest.raises(DataError, match="MLTable"):
        convert_all(table(folder, **change), format="mltable")
