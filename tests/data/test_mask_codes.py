"""Codes of masks and JSON; that they are pycocotools' stands in `tests/evaluation/test_mask_codes.py`."""

import json

import numpy as np
import pytest

from automl_images.data.mask_codes import decode, encode, from_json, to_json


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (40, 3)])
def test_a_code_in_json_is_the_mask(shape):
    mask = np.random.default_rng(0).random(shape) > 0.5
    [code] = encode(mask[None])
    again = json.loads(json.dumps(to_json(code)))
    assert again["size"] == list(shape)
    assert from_json(again) == {**code, "size": list(shape)}
    assert np.array_equal(decode(from_json(again)), mask)
    assert decode(code).dtype == bool
