import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from automl_images.core.errors import DataError
from automl_images.data.conversion import RejectedData, convert
from automl_images.data.findings import CODES
from automl_images.data.formats import READERS
from automl_images.data.sources import SourceOptions

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="the shared data sets are not here")


def draw(path, seed=0, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *size]).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_rows(folder, rows):
    path = folder / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return SourceOptions(path=path)


def codes(conversion):
    return [finding.code for finding in conversion.findings]


# --- real and hostile data


@needs_shared
def test_raccoons():
    conversion = convert(SourceOptions(path=SHARED / "raccoon"), "boxes")
    assert (conversion.summary["images"], conversion.summary["objects"]) == (200, 217)
    assert set(codes(conversion)) <= {"IMAGE_DUPLICATE"}


@needs_shared
def test_nuclei_polygons():
    conversion = convert(SourceOptions(path=SHARED / "dsb2018_nuclei"), "polygons")
    assert (conversion.summary["images"], conversion.summary["objects"]) == (150, 3914)
    assert [(f.code, f.item) for f in conversion.findings] == [
        ("POLYGON_SELF_CROSSING", "3170"),
        ("POLYGON_SELF_CROSSING", "3186"),
    ]


@needs_shared
def test_multilabel_csv():
    base = SHARED / "voc100_multiformat"
    source = SourceOptions(path=base / "derived" / "multilabel.csv", images=base / "data" / "database" / "images")
    conversion = convert(source, "classes", strict=True)
    assert len(conversion.rows) == 100
    assert conversion.rows[1]["label"] == ["aeroplane", "person"]


@needs_shared
@pytest.mark.slow
def test_class_folders_of_real_photographs():
    source = SourceOptions(path=SHARED / "clothing_small", split="train")
    conversion = convert(source, "class")
    assert len(conversion.summary["classes"]) == 10
    assert conversion.summary["rows_bad"] == 0


@needs_shared
@pytest.mark.slow
def test_every_hostile_image_ends_in_the_report_or_in_the_rows(tmp_path):
    folder = tmp_path / "class"
    shutil.copytree(SHARED / "hostile_images" / "pillow", folder)
    files = {path.name for path in folder.iterdir()}
    as_folder = convert(SourceOptions(path=tmp_path), "class", max_invalid=1.0, workers=2)
    document = {
        "images": [{"id": n, "file_name": name, "width": 128, "height": 128} for n, name in enumerate(sorted(files))],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 50, 50]} for n in range(len(files))],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    as_coco = convert(SourceOptions(path=tmp_path / "coco.json", images=folder), "boxes", max_invalid=1.0)
    assert len(files) > 200
    for conversion in (as_folder, as_coco):
        in_rows = {Path(row["image_url"]).name for row in conversion.rows}
        in_report = {Path(f.file).name for f in conversion.findings} | {
            Path(f.value or "").name for f in conversion.findings
        }
        in_report |= {f.message.split(":")[0] for f in conversion.findings}
        assert files <= in_rows | in_report
        assert len(in_rows) > 50


words = st.text(st.characters(), max_size=6)  # with lone surrogates
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | words | st.sampled_from(["cat", "a.png", 1, 0.5]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def any_or(strategy):
    return strategy | junk


objects = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("label", "topX", "topY", "bottomX", "bottomY", "polygon", "isCrowd"), junk)
)
table_rows = st.fixed_dictionaries(
    {},
    optional={
        "image_url": any_or(st.just("a.png") | words),
        "image_details": junk,
        "label": any_or(st.lists(any_or(objects), max_size=3)),
    },
)
entries = st.lists(
    any_or(st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "image_id", "category_id", "bbox", "segmentation", "file_name", "width", "height", "name", "iscrowd"), junk))),
    max_size=4,
)  # fmt: skip


def survives(source, kind):
    """Convert whatever it is: the only errors are ours, and rows are valid."""
    try:
        conversion = convert(source, kind, max_invalid=1.0)
    except RejectedData as error:
        conversion = error.conversion
    except DataError:
        return
    for row in conversion.rows:
        json.dumps(row, allow_nan=False, ensure_ascii=False).encode("utf-8")
        for item in row["label"] if kind in {"boxes", "polygons"} else []:
            corners = [item[k] for k in ("topX", "topY", "bottomX", "bottomY") if k in item]
            numbers = [*corners, *(value for segment in item.get("polygon", []) for value in segment)]
            assert all(0.0 <= number <= 1.0 for number in numbers)
            assert isinstance(item["label"], str)
    assert all(finding.code in CODES for finding in conversion.findings)
    assert all(
        isinstance(json.dumps(f.as_dict(), ensure_ascii=False).encode("utf-8"), bytes) for f in conversion.findings
    )


@relaxed
@given(st.lists(table_rows, max_size=4), st.sampled_from(["class", "classes", "boxes", "polygons"]))
def test_any_json_lines_are_survived(tmp_path, rows, kind):
    if not (tmp_path / "a.png").exists():
        draw(tmp_path / "a.png")
    survives(write_rows(tmp_path, rows), kind)


@relaxed
@given(entries, entries, entries, st.sampled_from(["boxes", "polygons"]))
def test_any_coco_is_survived(tmp_path, images, annotations, categories, kind):
    if not (tmp_path / "a.png").exists():
        draw(tmp_path / "a.png")
    images = [{"id": 1, "file_name": "a.png"}, *images]
    categories = [{"id": 1, "name": "cat"}, *categories]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "c.json").write_text(json.dumps(document))
    survives(SourceOptions(path=tmp_path / "c.json", format="coco"), kind)


@relaxed
@given(
    st.text(max_size=60), st.sampled_from(sorted(READERS)), st.sampled_from(["class", "classes", "boxes", "polygons"])
)
def test_any_text_is_survived(tmp_path, text, form, kind):
    (tmp_path / "file.txt").write_text(text, encoding="utf-8", errors="surrogatepass")
    survives(SourceOptions(path=tmp_path / "file.txt", format=form), kind)
