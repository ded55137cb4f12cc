import numpy as np
import pytest

from automl_images.core.errors import ModelError
from automl_images.core.types import Detections
from automl_images.data.masks import MAX_CANVAS, paste
from automl_images.data.preprocessing import Placement
from automl_images.inference.detection_predictor import DetectionPredictor
from automl_images.inference.found import Found, MaskGrids, merged


def _found(*rows, grids=None):
    table = np.asarray(rows, np.float32).reshape(-1, 6)
    detections = Detections(table[:, :4], table[:, 4].astype(np.int64), table[:, 5])
    if grids is None:
        return Found(detections)
    return Found(detections, MaskGrids(np.asarray(grids, np.float32).reshape(len(table), 2, 2), detections.boxes))


def test_boxes_are_clipped_but_the_boxes_of_grids_are_not():
    placement = Placement(0.5, 0.5, 0, 0, 100, 60)
    rows = [[10, 10, 60, 40, 0, 0.9], [52, 0, 64, 20, 0, 0.8]]  # the second lies wholly in the padding
    found = _found(*rows, grids=[1] * 8).placed(placement, left=200, top=20)
    np.testing.assert_allclose(found.detections.boxes, [[220, 40, 300, 80]])
    np.testing.assert_allclose(found.grids.boxes, [[220, 40, 320, 100]])
    assert found.grids.values.shape == (1, 2, 2)


def test_grids_stay_with_the_detections_that_survive():
    whole = _found([0, 0, 10, 10, 0, 0.6], [20, 20, 30, 30, 1, 0.3], grids=[0.1] * 4 + [0.2] * 4)
    nothing = _found(grids=[])
    tile = _found([0, 0, 10, 9, 0, 0.9], grids=[0.3] * 4)
    found = merged([whole, nothing, tile], 0.5)
    np.testing.assert_allclose(found.detections.scores, [0.9, 0.3])
    np.testing.assert_allclose(found.grids.values[:, 0, 0], [0.3, 0.2])
    np.testing.assert_array_equal(found.grids.boxes, found.detections.boxes)
    assert merged([nothing, nothing], 0.5).grids.values.shape == (0, 2, 2)
    assert merged([_found(), _found()], 0.5).grids is None


def test_pasting_is_that_of_the_data_room():
    found = _found([2, 3, 22, 13, 0, 0.9], grids=[1, 0, 0, 1])
    detections = found.pasted(30, 20, 0.4)
    assert detections.masks.shape == (1, 20, 30)
    np.testing.assert_array_equal(detections.masks, paste(found.grids.values, found.grids.boxes, 30, 20, 0.4))
    assert detections.masks[0, 4, 4]
    assert not detections.masks[0, 4, 20]
    assert _found([2, 3, 22, 13, 0, 0.9]).pasted(30, 20, 0.4).masks is None


class Outlined:
    """The detector of the other tests, whose masks are the left half of each box."""

    dynamic_batch = True

    def __init__(self, backend):
        self.backend = backend

    def run(self, batch):
        outputs = self.backend.run(batch)
        masks = np.zeros((*outputs[1].shape, 8, 8), np.float32)
        masks[..., :4] = 1
        return [*outputs, masks]


@pytest.fixture
def masked(metadata):
    return metadata.model_copy(update={"task": "instance_segmentation", "mask_pixel_score_threshold": 0.5})


def test_predictor_gives_masks_over_the_image(masked, backend, draw):
    images = [draw(64, 96, (0, 10, 20, 42, 52, 255)), draw(256, 128, (1, 32, 64, 96, 192, 255)), draw(64, 64)]
    found = DetectionPredictor(Outlined(backend), masked).predict(images)
    assert [f.masks.shape for f in found] == [(1, 64, 96), (1, 256, 128), (0, 64, 64)]
    left = np.zeros((64, 96), bool)
    left[20:52, 10:26] = True
    assert (found[0].masks[0] ^ left).sum() <= 2 * 32  # the edge of a grid lies within a pixel
    left = np.zeros((256, 128), bool)
    left[64:192, 32:64] = True
    assert (found[1].masks[0] ^ left).sum() <= 6 * (128 + 64)  # boxes of the shrunk image are coarser


def test_a_box_that_reaches_into_the_padding_keeps_its_grid(masked, backend, draw):
    """The grid lies over the whole box, of which only a part is in the image; it is not squeezed into that part."""

    class Wider(Outlined):
        def run(self, batch):
            outputs = super().run(batch)
            outputs[0][..., 2] += 20
            return outputs

    (found,) = DetectionPredictor(Wider(backend), masked).predict([draw(64, 80, (0, 40, 10, 80, 50, 255))])
    assert backend.shapes == [(1, 3, 64, 96)]
    np.testing.assert_allclose(found.boxes, [[40, 10, 80, 50]], atol=1e-3)
    columns = np.flatnonzero(found.masks[0].any(axis=0))
    assert columns.min() in (39, 40)
    assert columns.max() in (69, 70)  # half of the 60 pixels before the cut


def test_masks_of_tiles_lie_where_their_tile_lies(masked, backend, draw):
    tiled = masked.model_copy(update={"tile_grid_size": (2, 1), "tile_overlap_ratio": 0.0})
    image = draw(64, 128, (0, 10, 10, 20, 30, 255), (0, 100, 40, 120, 60, 250))
    (found,) = DetectionPredictor(Outlined(backend), tiled).predict([image])
    assert found.masks.shape == (3, 64, 128)
    second = int(np.flatnonzero(found.boxes[:, 0] > 90)[0])
    rows, columns = np.nonzero(found.masks[second])
    assert rows.min() in (39, 40, 41)
    assert rows.max() in (58, 59, 60)
    assert columns.min() in (99, 100, 101)
    assert columns.max() in (109, 110, 111)


def test_only_what_survives_is_pasted(masked, backend, draw):
    image = draw(64, 64, (0, 0, 0, 32, 32, 200), (1, 32, 32, 64, 64, 60))
    predictor = DetectionPredictor(Outlined(backend), masked)
    assert predictor.predict([image])[0].masks.shape == (1, 64, 64)
    assert predictor.predict([image], score_threshold=0.1)[0].masks.shape == (2, 64, 64)
    assert [len(found.grids.values) for found in predictor.found([image, image], score_threshold=0.1)] == [2, 2]


def test_masks_of_large_images_are_smaller_than_these(masked, backend, draw):
    image = draw(1500, 3000, (0, 750, 375, 2250, 1125, 255))
    (found,) = DetectionPredictor(Outlined(backend), masked).predict([image])
    height, width = found.masks.shape[1:]
    assert width * height <= MAX_CANVAS < 1500 * 3000
    assert found.masks[0].mean() == pytest.approx(0.125, rel=0.1)
    assert found.boxes[0, 2] == pytest.approx(2250, abs=40)  # of the image all the same


def test_a_model_that_has_no_masks_gives_none(metadata, backend, draw):
    image = draw(64, 64, (0, 0, 0, 32, 32, 255))
    assert DetectionPredictor(backend, metadata).predict([image])[0].masks is None
    assert DetectionPredictor(Outlined(backend), metadata).predict([image])[0].masks is None


def test_promised_masks_that_do_not_come_are_an_error(masked, backend, draw):
    with pytest.raises(ModelError, match="Export the model again"):
        DetectionPredictor(backend, masked).predict([draw(64, 64)])
