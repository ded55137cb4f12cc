import json
import logging
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from automl_images.core.errors import DataError
from automl_images.core.types import Finding
from automl_images.data import inspection, progress
from automl_images.data.conversion import RejectedData, convert
from automl_images.data.dataset_checks import require_minimum, shared_images
from automl_images.data.images import ImageError, ImageInfo
from automl_images.data.inspection import inspect_images
from automl_images.data.sources import SourceOptions
from automl_images.data.tables import findings_table, summary_table

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


def classified(folder, labels):
    """A source with one image for each label."""
    rows = []
    for n, label in enumerate(labels):
        draw(folder / f"{n:02d}.png", n)
        rows.append({"image_url": f"{n:02d}.png", "label": label})
    return write_rows(folder, rows)


def codes(conversion):
    return [finding.code for finding in conversion.findings]


def test_clean_data_has_no_findings_and_is_left_alone(tmp_path):
    source = classified(tmp_path, ["cat", "dog"] * 5)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    conversion = convert(source, "class", strict=True)
    assert conversion.findings == []
    assert [row["label"] for row in conversion.rows] == ["cat", "dog"] * 5
    first = conversion.rows[0]
    assert Path(first["image_url"]).is_absolute()
    assert {k: v for k, v in first["image_details"].items() if k != "sha256"} == {
        "format": "png",
        "width": 40,
        "height": 30,
    }
    assert len(first["image_details"]["sha256"]) == 64
    assert convert(source, "class").rows == conversion.rows
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_rows_of_one_image(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png", 1)
    box = {"label": "cat", "topX": 0, "topY": 0, "bottomX": 0.5, "bottomY": 0.5}
    other = box | {"label": "dog"}
    rows = [{"image_url": name, "label": [item]} for name, item in (("a.png", box), ("b.png", box), ("./a.png", other))]
    conversion = convert(write_rows(tmp_path, rows), "boxes")
    assert [[item["label"] for item in row["label"]] for row in conversion.rows] == [["cat", "dog"], ["cat"]]
    assert "IMAGE_ROW_DUPLICATE" in codes(conversion)
    labels = [
        {"image_url": name, "label": label}
        for name, label in (("a.png", "x"), ("b.png", "y"), ("a.png", "z"), ("b.png", "y"))
    ]
    conversion = convert(write_rows(tmp_path, labels), "class", max_invalid=1.0)
    assert [row["label"] for row in conversion.rows] == ["z", "y"]
    assert [c for c in codes(conversion) if c.startswith(("LABEL", "IMAGE_ROW"))] == [
        "LABEL_CONFLICT",
        "IMAGE_ROW_DUPLICATE",
    ]


def test_set_of_background_images_fails(tmp_path):
    with pytest.raises(RejectedData, match="background"):
        convert(classified(tmp_path, [[]] * 4), "boxes")


def test_nothing_usable_fails_with_the_findings(tmp_path):
    source = write_rows(tmp_path, [{"image_url": "gone.png", "label": "x"}])
    with pytest.raises(RejectedData, match=r"IMAGE_MISSING 1 \(first: .*rows\.jsonl:1\)") as caught:
        convert(source, "class")
    assert [finding.code for finding in caught.value.conversion.findings] == ["IMAGE_MISSING"]
    with pytest.raises(RejectedData, match="No valid image"):
        convert(source, "class", max_invalid=1.0)
    with pytest.raises(RejectedData, match="No valid image"):
        convert(write_rows(tmp_path, []), "class")


def test_max_invalid_is_a_share_of_the_rows(tmp_path):
    source = classified(tmp_path, ["cat"] * 8 + [None] * 2)
    conversion = convert(source, "class", max_invalid=0.2)
    assert (conversion.summary["rows_read"], conversion.summary["rows_bad"]) == (10, 2)
    with pytest.raises(RejectedData, match=r"2 of 10 rows \(20%\) are bad; max_invalid allows 19%"):
        convert(source, "class", max_invalid=0.19)


def test_a_row_with_many_errors_is_one_bad_row(tmp_path):
    draw(tmp_path / "00.png")
    good = {"label": "cat", "topX": 0, "topY": 0, "bottomX": 0.5, "bottomY": 0.5}
    bad = good | {"topX": 0.9}
    rows = [{"image_url": "00.png", "label": [good, bad, bad, bad]}, {"image_url": "00.png", "label": [bad]}]
    conversion = convert(write_rows(tmp_path, rows), "boxes", max_invalid=1.0)
    assert conversion.summary["rows_bad"] == conversion.summary["rows_read"] == 1
    assert codes(conversion).count("BOX_INVALID") == 4


def test_strict_fails_on_the_first_finding_even_a_warning(tmp_path):
    source = classified(tmp_path, ["cat"] * 9 + ["dog"])
    with pytest.raises(RejectedData, match="strict: the first finding is CLASS_WITH_ONE_IMAGE"):
        convert(source, "class", strict=True)
    assert codes(convert(source, "class")) == ["CLASS_WITH_ONE_IMAGE"]


def test_rules_about_the_set(tmp_path):
    labels = ["cat", "cat", "Cat", "Cat ", "dog", "dog", "straße", "STRASSE"]
    source = classified(tmp_path, labels)
    shutil.copy(tmp_path / "00.png", tmp_path / "copy.png")
    draw(tmp_path / "COPY.png", 77)
    with source.path.open("a") as stream:
        stream.write('\n{"image_url": "copy.png", "label": "dog"}\n{"image_url": "COPY.png", "label": "dog"}')
    conversion = convert(source, "class")
    similar = [f for f in conversion.findings if f.code == "CLASS_NAMES_SIMILAR"]
    assert len(similar) == 2
    assert all(name in similar[0].message for name in ("'Cat'", "'Cat '", "'cat'"))
    alone = {f.value for f in conversion.findings if f.code == "CLASS_WITH_ONE_IMAGE"}
    assert alone == {"Cat", "Cat ", "straße", "STRASSE"}
    (duplicate,) = [f for f in conversion.findings if f.code == "IMAGE_DUPLICATE_CONFLICT"]
    assert duplicate.file.endswith("copy.png")
    assert duplicate.message == f"'dog', but the same content as {tmp_path / '00.png'}, which is 'cat'"
    assert "IMAGE_DUPLICATE" not in codes(conversion)
    assert "IMAGE_NAME_CLASH" in codes(conversion)
    assert conversion.summary["duplicate_images"] == 1
    assert len(conversion.rows) == 10


@pytest.mark.parametrize(
    ("one", "other", "code", "message"),
    [
        (["a", "b"], ["b", "a"], "IMAGE_DUPLICATE", "the same content as {}"),
        (["a", "b"], ["b"], "IMAGE_DUPLICATE_CONFLICT", "'b', but the same content as {}, which is 'a', 'b'"),
        (["a"], [], "IMAGE_DUPLICATE_CONFLICT", "without a class, but the same content as {}, which is 'a'"),
    ],
)
def test_images_of_one_content(one, other, code, message, tmp_path):
    source = classified(tmp_path, [one, other])
    shutil.copy(tmp_path / "00.png", tmp_path / "01.png")
    [found] = [f for f in convert(source, "classes").findings if f.code.startswith("IMAGE_DUPLICATE")]
    assert (found.code, found.message) == (code, message.format(tmp_path / "00.png"))
    assert Path(found.file).name == "01.png"


def test_minimum_of_training_images():
    require_minimum([{}] * 10)
    with pytest.raises(DataError, match=r"at least 10 training images \(Azure AutoML's rule.*got 9"):
        require_minimum([{}] * 9)


def test_shared_images_are_found_by_content_or_path():
    a = [{"image_url": "/a", "image_details": {"sha256": "1"}}, {"image_url": "https://x/b", "image_details": {}}]
    b = [{"image_url": "/c", "image_details": {"sha256": "1"}}, {"image_url": "https://x/b"}, {"image_url": "/a"}]
    assert [(x["image_url"], y["image_url"]) for x, y in shared_images(a, b)] == [
        ("/a", "/c"),
        ("https://x/b", "https://x/b"),
    ]


def test_without_checks_images_may_be_absent(tmp_path):
    document = {
        "images": [{"id": n, "file_name": f"x/{n}.JPEG", "width": 100, "height": 50} for n in range(12)],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, "bbox": [10, 10, 50, 20]} for n in range(12)],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(document))
    conversion = convert(SourceOptions(path=tmp_path / "c.json"), "boxes", check_images=False, strict=True)
    assert conversion.rows[0] == {
        "image_url": f"{tmp_path.resolve()}/x/0.JPEG",
        "image_details": {"format": "jpg", "width": 100, "height": 50},
        "label": [{"label": "cat", "topX": 0.1, "topY": 0.2, "bottomX": 0.6, "bottomY": 0.6, "isCrowd": 0}],
    }
    document["images"][0]["file_name"] = "../../x.jpg"
    (tmp_path / "c.json").write_text(json.dumps(document))
    assert "PATH_OUTSIDE_ROOT" in codes(convert(SourceOptions(path=tmp_path / "c.json"), "boxes", check_images=False))


def test_summary_counts(tmp_path):
    sizes = [(400, 200), (400, 200), (100, 100)]
    for n, size in enumerate(sizes):
        draw(tmp_path / f"{n}.png", n, size)
    boxes = [
        {"label": "a", "topX": 0, "topY": 0, "bottomX": 0.05, "bottomY": 0.1},  # 20 x 20: small
        {"label": "a", "topX": 0, "topY": 0, "bottomX": 0.1, "bottomY": 0.2},  # 40 x 40: medium
        {"label": "b", "topX": 0, "topY": 0, "bottomX": 0.5, "bottomY": 1},  # 200 x 200: large
    ]
    rows = [{"image_url": f"{n}.png", "label": label} for n, label in enumerate((boxes, boxes[2:], []))]
    summary = convert(write_rows(tmp_path, rows), "boxes").summary
    assert summary["format"] == "jsonl"
    assert summary["kind"] == "boxes"
    assert (summary["images"], summary["objects"], summary["empty_images"]) == (3, 4, 1)
    assert summary["classes"] == {"a": {"images": 1, "objects": 2}, "b": {"images": 2, "objects": 2}}
    assert {k: summary["box_sizes"][k] for k in ("small", "medium", "large")} == {"small": 1, "medium": 1, "large": 2}
    assert summary["box_sizes"]["side"] == {"min": 20.0, "q25": 35.0, "median": 120.0, "q75": 200.0, "max": 200.0}
    assert summary["image_sizes"]["width"] == {"min": 100.0, "q25": 250.0, "median": 400.0, "q75": 400.0, "max": 400.0}
    assert summary["findings"]["CLASS_WITH_ONE_IMAGE"] == {"severity": "warning", "action": "kept", "count": 1}
    json.dumps(summary, allow_nan=False)


def test_tables_show_names_of_strangers_as_text(tmp_path):
    conversion = convert(classified(tmp_path, ["[red]cat[/red]", "[/]", *["x"] * 4]), "class")
    console = Console(width=200, record=True, file=(tmp_path / "out.txt").open("w"))
    console.print(findings_table(conversion.findings, limit=1), summary_table(conversion.summary))
    text = console.export_text()
    assert "[red]cat[/red]" in text
    assert "class [/]" in text
    assert "1 more are not shown" in text
    assert "1 image, 1 object" in text
    assert text.count("[/]") == 2  # in the finding and in the summary: the value is not told twice
    hostile = Finding("X", "error", "[bold]m", "f[/]", "a", line=3, item="i", value="[v]")
    console.print(findings_table([hostile]))
    assert "f[/]:3 (i)" in console.export_text()


# --- decoding


def test_processes_give_what_one_process_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "_ALONE", 0)
    monkeypatch.setattr(inspection, "_CHUNK", 3)
    paths = [str(draw(tmp_path / f"{n}.png", n)) for n in range(8)]
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    paths += [str(tmp_path / "broken.jpg"), str(tmp_path / "absent.png")]
    seen = []
    found = inspect_images(paths, workers=2, progress=lambda done, total: seen.append((done, total)))
    here = inspect_images(paths, workers=1, progress=lambda done, total: None)
    assert list(found) == list(here) == paths
    assert [str(value) for value in found.values()] == [str(value) for value in here.values()]
    assert isinstance(found[paths[0]], ImageInfo)
    assert found[paths[-1]].code == "IMAGE_MISSING"
    assert seen[-1] == (10, 10)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


class KillingPool:
    """A pool of one real process that a file called like the poison kills, as a bug in a C decoder would."""

    def __init__(self, real):
        self.real = real

    def __call__(self, workers):
        pool = self.real(workers)
        submit = pool.submit
        pool.submit = lambda call, argument: submit(_poisoned, call.__name__, argument)
        return pool


def _poisoned(name, argument):
    if any("poison" in path for path in ([argument] if isinstance(argument, str) else argument)):
        os.kill(os.getpid(), signal.SIGKILL)
    return getattr(inspection, name)(argument)


def test_a_decoder_that_dies_costs_its_image_only(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "_ALONE", 0)
    monkeypatch.setattr(inspection, "_CHUNK", 2)
    context = inspection.multiprocessing.get_context("fork")
    monkeypatch.setattr(
        inspection, "_pool", KillingPool(lambda n: inspection.ProcessPoolExecutor(n, mp_context=context))
    )
    paths = [str(draw(tmp_path / ("poison.png" if n == 5 else f"{n}.png"), n)) for n in range(14)]
    found = inspect_images(paths, workers=1 + 1, progress=lambda done, total: None)
    assert list(found) == paths
    bad = {Path(path).name: value.code for path, value in found.items() if isinstance(value, ImageError)}
    assert bad == {"poison.png": "IMAGE_KILLED_DECODER"}


def test_progress_without_terminal_is_a_line_now_and_then(monkeypatch, caplog):
    clock = iter([0.0, 5.0, 12.0, 13.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    with caplog.at_level(logging.INFO, "automl_images"), progress.showing("Checking") as advance:
        for done in (10, 20, 30, 40):
            advance(done, 100)
    assert [record.getMessage() for record in caplog.records] == [
        "Checking: 20 of 100, about 48 s left",
        "Checking: 40 of 100, about 45 s left",
    ]
