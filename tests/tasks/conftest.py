import gc

import pytest
import torch

pytest.register_assert_rewrite("effects", "effects_on_classifiers", "effects_on_detectors", "effects_on_training")


@pytest.fixture(autouse=True)
def _one_thread():
    """Forked children cannot use OpenMP threads that their parent began."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def _quick_garbage_collection():
    """Every training ends with a collection, which need not look at all imported modules: that takes half a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
