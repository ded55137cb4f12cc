import pytest
import torch
from tiny_learner import TinyImages, TinyLearner

from automl_images.training.loading import Loader, PlainOrder, TrainingOrder


def keys(order):
    return [key for batch in order for key in batch]


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own():
    order = TrainingOrder(10, 4, seed=3)
    assert [len(batch) for batch in order] == [4, 4, 2]
    assert len(order) == 3
    first = keys(order)
    assert sorted(first) == [(0, i) for i in range(10)]
    order.epoch = 1
    second = keys(order)
    assert {epoch for epoch, _ in second} == {1}
    assert [i for _, i in second] != [i for _, i in first]
    assert keys(TrainingOrder(10, 4, seed=4)) != first
    assert keys(TrainingOrder(10, 4, seed=3)) == first


def test_a_position_is_an_epoch_and_a_batch():
    order = TrainingOrder(10, 4, seed=3)
    whole = list(order)
    order.first_batch = 2
    assert list(order) == whole[2:]
    assert order.batch(0) == whole[0]


@pytest.mark.parametrize(
    ("images", "batch_size", "sizes"), [(9, 4, [4, 4, 2]), (1, 4, [1]), (3, 1, [1, 1, 1]), (2, 8, [2])]
)
def test_no_lone_image_at_the_end(images, batch_size, sizes):
    order = TrainingOrder(images, batch_size, seed=0)
    assert [len(batch) for batch in order] == sizes
    assert len(order) == len(sizes)
    assert {i for _, i in keys(order)} == set(range(images))


@pytest.mark.parametrize("order", [TrainingOrder(9, 4, seed=0), TrainingOrder(8, 4, 0), PlainOrder(9, 4)])
def test_the_size_of_a_batch_is_known_beforehand(order):
    assert [order.size(number) for number in range(len(order))] == [len(batch) for batch in order]


def test_images_of_one_shape_make_batches_together_in_any_order():
    groups = [number % 3 - 1 for number in range(30)]
    order = TrainingOrder(30, 4, seed=0, shape_groups=groups)
    batches = list(order)
    assert [len(batch) for batch in batches] == [4] * 7 + [2]
    assert sorted(keys(order)) == [(0, index) for index in range(30)]
    mixed = [batch for batch in batches if len({groups[index] for _, index in batch}) > 1]
    assert len(mixed) <= 2  # where one group ends and the next begins
    of_batches = [groups[batch[0][1]] for batch in batches]
    assert of_batches != sorted(of_batches)
    assert list(TrainingOrder(30, 4, seed=0, shape_groups=groups)) == batches
    order.epoch = 1
    assert [{i for _, i in batch} for batch in order] != [{i for _, i in batch} for batch in batches]
    order.first_batch = 5
    assert next(iter(order)) == order.batch(5)


def test_processes_share_an_epoch_in_equal_numbers():
    orders = [TrainingOrder(10, 2, seed=0, rank=rank, world_size=4) for rank in range(4)]
    assert len({len(order) for order in orders}) == 1
    assert len({len(keys(order)) for order in orders}) == 1
    assert {i for order in orders for _, i in keys(order)} == set(range(10))


def test_plain_order_shares_without_repetition():
    assert list(PlainOrder(5, 2)) == [[0, 1], [2, 3], [4]]
    orders = [PlainOrder(5, 2, rank, 2) for rank in (0, 1)]
    assert sorted(keys(orders[0]) + keys(orders[1])) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_leaves_the_global_generator_alone(workers):
    learner = TinyLearner()
    loader = Loader(TinyImages(10, 0), TrainingOrder(10, 4, 0), learner.collate, workers=workers, pin_memory=False)
    before = torch.get_rng_state()
    ids = [name for batch in loader for name in batch.image_ids]
    assert torch.equal(torch.get_rng_state(), before)
    assert sorted(ids) == sorted(f"image-{i}" for i in range(10))
    assert ids == [name for number in range(3) for name in loader.image_ids(number)]
    assert loader.images_being_read() == []
    loader.close()
