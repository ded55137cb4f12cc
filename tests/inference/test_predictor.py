import numpy as np
import pytest

from automl_images.core.errors import ModelError
from automl_images.core.types import Preprocessing
from automl_images.inference.detection_predictor import DetectionPredictor


def test_boxes_come_back_in_image_pixels(metadata, backend, draw):
    images = [
        draw(64, 96, (0, 10, 20, 40, 50, 255)),
        draw(256, 128, (1, 32, 64, 96, 192, 255)),  # scaled by one half
        draw(50, 70, (2, 0, 0, 70, 50, 255)),  # scaled up and padded
    ]
    found = DetectionPredictor(backend, metadata).predict(images)
    assert [f.labels.tolist() for f in found] == [[2], [1], [0]]
    np.testing.assert_allclose(found[0].boxes, [[10, 20, 40, 50]], atol=1e-4)
    np.testing.assert_allclose(found[1].boxes, [[32, 64, 96, 192]], atol=2.1)
    np.testing.assert_allclose(found[2].boxes, [[0, 0, 70, 50]], atol=1e-4)  # clipped to the image, not to its padding


def test_letterbox_is_undone(metadata, backend, draw):
    letterbox = metadata.model_copy(update={"preprocessing": Preprocessing("letterbox", 128, 128, fill=(0, 0, 0))})
    (found,) = DetectionPredictor(backend, letterbox).predict([draw(64, 128, (0, 30, 10, 90, 40, 255))])
    np.testing.assert_allclose(found.boxes, [[30, 10, 90, 40]], atol=1e-4)
    assert backend.shapes == [(1, 3, 128, 128)]


def test_empty_image_and_empty_list(metadata, backend, draw):
    predictor = DetectionPredictor(backend, metadata)
    assert predictor.predict([]) == []
    (found,) = predictor.predict([draw(64, 64)])
    assert found.boxes.shape == (0, 4)
    assert found.labels.dtype == np.int64


def test_thresholds_of_model_caller_and_class(metadata, backend, draw):
    image = draw(64, 64, (0, 0, 0, 32, 32, 200), (1, 32, 32, 64, 64, 60))  # scores 0.78 and 0.24
    predictor = DetectionPredictor(backend, metadata)
    assert predictor.predict([image])[0].labels.tolist() == [2]
    assert predictor.predict([image], score_threshold=0.1)[0].labels.tolist() == [2, 1]
    assert predictor.predict([image], score_threshold=0.9)[0].labels.tolist() == []
    own = DetectionPredictor(
        backend, metadata.model_copy(update={"class_score_thresholds": {"green": 0.2, "red": 0.95}})
    )
    assert own.predict([image])[0].labels.tolist() == [1]
    assert own.predict([image], score_threshold=0.1)[0].labels.tolist() == [2, 1]


def test_result_does_not_depend_on_batch_mates(metadata, backend, draw):
    generator = np.random.default_rng(0)
    images = [
        draw(int(h), int(w), (int(c), 3, 4, int(w) - 5, int(h) - 9, 255))
        for h, w, c in zip(*generator.integers([[40], [40], [0]], [[200], [200], [3]], (3, 12)), strict=True)
    ]
    predictor = DetectionPredictor(backend, metadata)
    together = predictor.predict(images, batch_size=4)
    alone = [predictor.predict([image])[0] for image in images]
    for left, right in zip(together, alone, strict=True):
        np.testing.assert_array_equal(left.boxes, right.boxes)
        np.testing.assert_array_equal(left.labels, right.labels)


def test_batches_hold_equal_shapes_only(metadata, backend, draw):
    images = [draw(64, 64), draw(64, 96), draw(64, 64), draw(64, 96), draw(64, 64)]
    DetectionPredictor(backend, metadata).predict(images, batch_size=2)
    assert sorted(backend.shapes) == [(1, 3, 64, 64), (2, 3, 64, 64), (2, 3, 64, 96)]


def test_graph_with_fixed_batch_gets_single_images(metadata, backend, draw):
    backend.dynamic_batch = False
    DetectionPredictor(backend, metadata).predict([draw(64, 64)] * 3, batch_size=8)
    assert backend.shapes == [(1, 3, 64, 64)] * 3


def test_images_are_read_as_they_are_needed(metadata, backend, draw):
    class Lazy:
        alive = 0

        def __len__(self):
            return 40

        def __getitem__(self, index):
            read.append((index, sum(shape[0] for shape in backend.shapes)))
            return draw(64, 64 + 32 * (index % 3))

    read = []
    assert len(DetectionPredictor(backend, metadata).predict(Lazy(), batch_size=2)) == 40
    assert max(index - done for index, done in read) <= 8  # never more than four batches are waiting


def test_tiles_find_what_the_whole_image_blurs(metadata, backend, draw):
    tiled = metadata.model_copy(update={"tile_grid_size": (2, 1), "tile_overlap_ratio": 0.0})
    # both things are red: the whole image sees one box around both, each tile sees its own
    image = draw(64, 128, (0, 10, 10, 20, 20, 255), (0, 100, 40, 120, 60, 250))
    predictor = DetectionPredictor(backend, tiled)
    (whole,) = predictor.predict([image], tiling=False)
    np.testing.assert_allclose(whole.boxes, [[10, 10, 120, 60]], atol=1e-4)
    (found,) = predictor.predict([image])
    assert len(found) == 3
    expected = [[10, 10, 20, 20], [10, 10, 120, 60], [100, 40, 120, 60]]
    np.testing.assert_allclose(found.boxes[np.lexsort((found.boxes[:, 2], found.boxes[:, 0]))], expected, atol=1e-4)
    assert (np.diff(found.scores) <= 0).all()


def test_tiles_that_see_the_same_thing_are_merged(metadata, backend, draw):
    tiled = metadata.model_copy(update={"tile_grid_size": (2, 1), "tile_overlap_ratio": 0.5})
    (found,) = DetectionPredictor(backend, tiled).predict([draw(64, 96, (0, 40, 10, 56, 30, 255))])
    np.testing.assert_allclose(found.boxes, [[40, 10, 56, 30]], atol=1e-3)


def test_labels_that_do_not_exist_are_an_error(metadata, backend, draw):
    fewer = metadata.model_copy(update={"classes": ("blue",), "labels": ("--bg--", "blue")})
    with pytest.raises(ModelError, match=r"labels \[2\], expected 0 to 0"):
        DetectionPredictor(backend, fewer).predict([draw(64, 64, (0, 0, 0, 32, 32, 255))])


def test_unknown_decoder_is_an_error(metadata, backend):
    with pytest.raises(ModelError, match=r"decoder 'detr', this version has padded_detections, yolov5"):
        DetectionPredictor(backend, metadata.model_copy(update={"decoder": "detr"}))
