"""The page: everything on it, nothing from anywhere else, no way in for names from the data."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image
from sweeps import METRIC, sweep

from automl_images.reporting.environment import environment
from automl_images.reporting.report import render_report

HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.example/x onerror=alert(1)>"
SECTIONS = {
    "summary", "data", "split", "augmentation", "leaderboard", "curves", "sweep", "metrics", "confusion", "predictions", "parity",
    "reproduce", "environment",
}  # fmt: skip


class Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data):
        self.text.append(data)

    def values(self, name):
        return [value for _, key, value in self.attributes if key == name]


@pytest.fixture
def page(make_content):
    return Page(render_report(make_content()))


def test_all_sections_are_there_and_reachable(page):
    assert set(page.values("id")) == SECTIONS
    assert {value.removeprefix("#") for tag, key, value in page.attributes if (tag, key) == ("a", "href")} <= SECTIONS


def test_the_numbers_are_on_the_page(page):
    text = " ".join(" ".join(page.text).split())
    for expected in (
        "Mean average precision 0.417",  # can: half at precision 1, half at 2/3; milk bottle: 0
        "95 % interval",
        "ONNX equals torch",
        "Box clipped",
        "a/b.json, id 7",
        "kedro run --pipeline=object_detection --params "
        "object_detection.source.path=data/a.json,object_detection.limits.max_trials=3",
        "cc33",
        "ee55",
        "17",
        "diverged",
        "package: lite0.pth",
    ):
        assert expected in text
    assert "/home/u" not in text
    assert "/some/folder" not in text


def test_samples_of_the_training_data_stand_before_its_findings(make_content):
    html = render_report(make_content())
    data = html[html.index('<section id="data">') : html.index('<section id="split">')]
    assert data.count("A training image with its annotations") == 1
    assert "<figcaption>2 can</figcaption>" in data
    assert data.index("<h3>Samples</h3>") < data.index("<h3>Findings</h3>")
    assert "<h3>Samples</h3>" not in render_report(make_content(samples=[]))


def test_a_job_of_one_trial_has_no_sweep(make_content):
    content = make_content()
    page = Page(render_report(dataclasses.replace(content, trials=content.trials[1:2])))
    assert set(page.values("id")) == SECTIONS - {"sweep"}
    assert "#sweep" not in page.values("href")


@pytest.mark.parametrize("trials", [2, 20, 200])
def test_the_sweep_is_on_the_page(make_content, trials):
    table, curves = sweep(trials)
    best = table.loc[table[METRIC].idxmax()]
    chosen = {"trial": best["trial"], "model_name": best["model_name"], "primary_metric": METRIC}
    shared = {"job": "calm_fox", "epochs": 12, "best_epoch": 9}
    html = render_report(make_content(trials=table, curves=curves, best_trial={**shared, **chosen}))
    text = " ".join(" ".join(Page(html).text).split())
    assert f"{trials} trials took" in text
    assert ("early termination stopped" in text) == (trials > 2)
    assert ("stopped by median_stopping at epoch 4:" in text) == (trials > 2)
    assert ("Functional analysis of variance" in text) == (trials > 2)
    assert ("without image size, min size" in text) == (trials > 2)
    assert len(html) < 800_000


def test_nothing_is_loaded_from_elsewhere(make_content):
    html = render_report(make_content())
    page = Page(html)
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.values("src"))
    assert set(page.tags).isdisjoint({"script", "iframe", "object", "embed", "form", "base"})
    assert not re.search(r"https?:|@import|url\(", html)
    policy = next(value for value in page.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:")


def test_pictures_are_embedded_and_scaled_down(page):
    sample, preview, best = (Image.open(io.BytesIO(base64.b64decode(s.partition(",")[2]))) for s in page.values("src"))
    assert preview.size == (1400, 420)
    assert sample.size == best.size == (60, 40)


def test_the_verdict_on_the_default_recipe_is_on_the_page(make_content, page):
    content, sentence = make_content(), "Trial 0 (yolov5), the default recipe, is kept: trial 1 is not surely better."
    best = {**content.best_trial, "trial": 0, "comparison": {"kept": "default", "sentence": sentence}}
    text = " ".join(" ".join(Page(render_report(dataclasses.replace(content, best_trial=best))).text).split())
    assert sentence in text
    assert "Of 3 trials, number 0 was chosen." in text
    assert "Of 3 trials, number 1 was the best." in " ".join(" ".join(page.text).split())


def test_what_automode_considered_is_on_the_page(make_content, page):
    content = make_content()
    tried = {
        "name": "lite0",
        "model_name": "efficientnet_lite0",
        "seconds_per_epoch": 12.34,
        "memory_bytes": 3 * 2**29,
        "epochs": 8,
        "epochs_asked": 15,
        "seconds": 150.0,
        "reason": "shortened",
    }
    left_out = {
        **tried,
        "name": "large",
        "seconds_per_epoch": None,
        "memory_bytes": None,
        "epochs": 0,
        "reason": HOSTILE,
    }
    best = {**content.best_trial, "automode": [tried, left_out]}
    html = render_report(dataclasses.replace(content, best_trial=best))
    text = " ".join(" ".join(Page(html).text).split())
    assert "12.3 s 1.5 GiB 8 of 15 2 min tried: shortened" in text
    assert f"– – 0 of 15 – left out: {HOSTILE}" in text
    assert "AutoMode" not in " ".join(page.text)
    assert Page(html).tags.count("script") == 0


def test_hostile_names_stay_text(make_content):
    content = make_content([HOSTILE, "zebra"])
    board = content.trials.assign(note=HOSTILE, model_name=HOSTILE, status=HOSTILE)
    hostile = dataclasses.replace(
        content,
        trials=board,
        options={"source": {"path": HOSTILE}},
        best_trial={**content.best_trial, "job": HOSTILE, "model_name": HOSTILE},
        settings={**content.settings, "weights": {"source": f"file:{HOSTILE}", "note": HOSTILE, "pretrained": False}},
        split={**content.split, "notes": [HOSTILE]},
        metrics={**content.metrics, HOSTILE: 0.5},
        parity={**content.parity, "cases": []},
    )
    harmless = Page(render_report(make_content()))
    page = Page(render_report(hostile))
    assert set(page.tags) <= {*harmless.tags, "ul", "li", "strong"}
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert all(source.startswith("data:") for source in page.values("src"))
    assert HOSTILE in "".join(page.text)


def test_random_weights_are_a_visible_warning(make_content, page):
    content = make_content()
    settings = {**content.settings, "weights": {"source": "random", "pretrained": False, "note": "None were found."}}
    warned = Page(render_report(dataclasses.replace(content, settings=settings)))
    assert "warning" in warned.values("class")
    assert "None were found." in " ".join(warned.text)
    assert "warning" not in page.values("class")


def test_a_page_of_almost_nothing_still_renders(make_content):
    content = make_content()
    bare = dataclasses.replace(
        content,
        options={},
        conversion={"training": {}, "validation": None},
        split={},
        curves=content.curves[:0],
        settings={},
        parity={"passed": False, "reference_metric": None},
        metrics={"mean_average_precision": -1.0},
        evaluation={},
        pictures={},
    )
    text = " ".join(Page(render_report(bare)).text)
    assert "Mean average precision –" in text
    assert "ONNX differs from torch" in text
    assert "No epoch was finished." in text


OBJECT_WORDS = ("box", "object", "Missed", "background", "annotated nothing", "in white", "detection", "Detection")


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_report_on_classification_speaks_of_images_and_classes(make_classification, multilabel):
    html = render_report(make_classification(multilabel))
    page = Page(html.partition("<main>")[2].partition('<section id="reproduce">')[0])
    text = " ".join(" ".join(page.text).split())
    assert [word for word in OBJECT_WORDS if word in text] == []
    for expected in ("ROC: true positive rate", "calibration: observed share", "weighted", "AUC", "random order"):
        assert expected in text
    assert ("IoU" in text) == multilabel
    assert ("confusion" in page.values("id")) != multilabel
    links = [value for tag, name, value in Page(html).attributes if (tag, name) == ("a", "href")]
    assert ("#confusion" in links) != multilabel
    assert f"<h1>{'IoU' if multilabel else 'Accuracy'} 0.750</h1>" in html


def test_a_report_on_objects_speaks_of_objects(page):
    text = " ".join(" ".join(page.text).split())
    for expected in ("Objects", "(3 objects)", "Missed", "background", "annotations in white"):
        assert expected in text


def test_of_many_classes_the_page_says_what_is_shown(make_content):
    names = [f"class {i:02d}" for i in range(60)]
    page = Page(render_report(make_content(names)))
    text = " ".join(" ".join(page.text).split())
    assert "Of 60 classes the 5 weakest have a colour; the next 40 are grey." in text
    assert "Shown are the 30 classes with the most mistakes; the column “others” is the sum of the other 30" in text


def test_the_environment_names_versions_but_no_paths():
    found = environment()
    assert found["torch"][0].isdigit()
    assert found["onnxruntime"][0].isdigit()
    assert not [value for value in found.values() if value.startswith("/") or ":\\" in value]
