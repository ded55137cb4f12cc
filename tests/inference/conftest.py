import numpy as np
import pytest

from automl_images.core.types import Preprocessing
from automl_images.inference.metadata import DetectorMetadata


@pytest.fixture
def metadata():
    """Of a detector for red, green and blue things whose input keeps images of 64 px as they are."""
    return DetectorMetadata(
        model_name="channel_boxes",
        task="object_detection",
        classes=("blue", "green", "red"),
        labels=("--bg--", "blue", "green", "red"),
        preprocessing=Preprocessing("shorter_side", 64, 128, fill=(0, 0, 0)),
        decoder="padded_detections",
        box_score_threshold=0.3,
        nms_iou_threshold=0.5,
        box_detections_per_image=10,
    )


class ChannelBoxes:
    """Finds the box around all bright pixels of each colour; its score is the mean brightness inside.

    A detector whose right answer is known: on an image with one rectangle of a colour it is that rectangle.
    """

    dynamic_batch = True

    def __init__(self):
        self.shapes = []

    def run(self, batch):
        self.shapes.append(batch.shape)
        images = [self._image(image) for image in batch]
        boxes, labels, scores, counts = (np.stack(column) for column in zip(*images, strict=True))
        return [boxes, labels, scores, counts]

    def _image(self, image):
        found = []
        for channel, label in enumerate((3, 2, 1)):
            rows, columns = np.nonzero(image[channel] > 0.1)
            if len(rows):
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                found.append((image[channel][image[channel] > 0.1].mean(), label, box))
        found.sort(reverse=True)
        boxes, labels, scores = np.zeros((3, 4), np.float32), np.zeros(3, np.int64), np.full(3, -1, np.float32)
        for place, (score, label, box) in enumerate(found):
            boxes[place], labels[place], scores[place] = box, label, score
        return boxes, labels, scores, np.int64(len(found))


@pytest.fixture
def backend():
    return ChannelBoxes()


@pytest.fixture
def draw():
    """Return a function that draws rectangles `(channel, x1, y1, x2, y2, brightness)` on black."""

    def draw(height, width, *rectangles):
        image = np.zeros((height, width, 3), np.uint8)
        for channel, x1, y1, x2, y2, value in rectangles:
            image[y1:y2, x1:x2, channel] = value
        return image

    return draw
