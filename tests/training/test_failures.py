"""What goes wrong in a training, and what the user is told."""

import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file
from tiny_learner import TinyBatch, TinyImages, TinyLearner
from torch import nn
from torch.utils.data import get_worker_info

from automl_images.core.errors import DataError, SettingsError, TrainingError
from automl_images.training import loading


class PoisonedLearner(TinyLearner):
    """Its loss is `value` as soon as a batch holds image 5 in the second epoch."""

    def __init__(self, value):
        super().__init__()
        self.value, self.calls = value, 0

    def losses(self, model, batch):
        self.calls += model.training
        losses = super().losses(model, batch)
        if self.calls > 6 and model.training and "image-5" in batch.image_ids:
            losses["cross_entropy"] = losses["cross_entropy"] * 0 + self.value
        return losses


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 101.0])
def test_a_loss_that_is_not_finite_or_too_large_stops_with_step_and_images(value, tmp_path, train_here, events_of):
    with pytest.raises(TrainingError, match=r"step \d of epoch 2 .*learning_rate.*image-5\b"):
        train_here(tmp_path, PoisonedLearner(value))
    failed = events_of(tmp_path, "failed")
    assert failed[0]["kind"] == "TrainingError"
    assert "image-5" in failed[0]["reason"]
    assert not (tmp_path / "result.json").exists()
    assert all(torch.isfinite(t).all() for t in load_file(tmp_path / "best.safetensors").values())


def test_weights_that_are_not_finite_never_become_the_best(tmp_path, train_here):
    class Broken(TinyLearner):
        def predict(self, model, batch):
            with torch.no_grad():
                model[-1].weight[0, 0] = float("nan")
            return super().predict(model, batch)

    with pytest.raises(TrainingError, match=r"5.weight are not finite"):
        train_here(tmp_path, Broken(norm=True))


class HungryLearner(TinyLearner):
    """Memory does not suffice for more than `fits` images, in the backward pass and in prediction."""

    def __init__(self, fits, predicted=100, **options):
        super().__init__(**options)
        self.fits, self.predicted = fits, predicted

    def losses(self, model, batch):
        losses = super().losses(model, batch)
        if model.training and len(batch) > self.fits:
            losses["cross_entropy"].register_hook(self._exhaust)
        return losses

    def predict(self, model, batch):
        if len(batch) > self.predicted:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")
        return super().predict(model, batch)

    def _exhaust(self, gradient):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_exhausted_memory_halves_the_batch_and_keeps_the_effective_one(tmp_path, train_here, events_of):
    given = {"training_batch_size": 8, "gradient_accumulation_step": 2}
    plain = {"norm": False, "dropout": 0.0}  # neither depends on how the batch is cut
    expected = train_here(tmp_path / "enough", TinyLearner(**plain), **given)
    found = train_here(tmp_path / "hungry", HungryLearner(2, 3, **plain), **given)
    told = [(e["parameter"], e["from"], e["to"]) for e in events_of(tmp_path / "hungry", "batch_size_reduced")]
    assert told == [
        ("training_batch_size", 8, 4),
        ("training_batch_size", 8, 2),
        ("validation_batch_size", 4, 2),
    ]
    first = events_of(tmp_path / "hungry", "batch_size_reduced")[1]
    assert first["gradient_accumulation_step"] == 8
    assert "effective batch stays" in first["message"]
    assert found.primary_metric == pytest.approx(expected.primary_metric, abs=1e-5)
    for name, weights in load_file(tmp_path / "enough" / "best.safetensors").items():
        assert torch.allclose(load_file(tmp_path / "hungry" / "best.safetensors")[name], weights, atol=1e-5), name


def test_memory_that_does_not_suffice_for_one_image_is_an_error(tmp_path, train_here):
    with pytest.raises(TrainingError, match="single image"):
        train_here(tmp_path, HungryLearner(0, norm=False))


class PooledLearner(HungryLearner):
    """Has a batch norm on maps of one pixel, like the attention of ResNeSt."""

    def __init__(self, fits=100, **options):
        super().__init__(fits, **options)
        layers = [nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)]
        self.model = nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("learner", "batch_size", "reason"),
    [
        (PooledLearner(), 1, r"training_batch_size is 1\)\. Set training_batch_size to 2 or more"),
        (PooledLearner(fits=1), 4, r"training_batch_size is 4, cut into 4 parts for want of memory\)\. Use smaller"),
        (PooledLearner(unreadable=range(1, 22)), 4, r"is 4, of which no other image could be read\)\. Bring the files"),
    ],
)
def test_a_model_that_cannot_train_on_one_image(learner, batch_size, reason, tmp_path, train_here, events_of):
    with pytest.raises(TrainingError, match=rf"Expected at least 2 images .*got 1 .*{reason}"):
        train_here(tmp_path, learner, training_batch_size=batch_size)
    [failed] = events_of(tmp_path, "failed")
    assert (failed["kind"], failed["is_final"]) == ("TrainingError", True)


def test_another_value_error_passes_unchanged(tmp_path, train_here):
    class Wrong(TinyLearner):
        def losses(self, model, batch):
            raise ValueError("Expected something else")

    with pytest.raises(ValueError, match="something else"):
        train_here(tmp_path, Wrong(), training_batch_size=1)


def test_other_runtime_errors_pass_unchanged(tmp_path, train_here, events_of):
    class Wrong(TinyLearner):
        def losses(self, model, batch):
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train_here(tmp_path, Wrong())
    assert events_of(tmp_path, "failed")[0]["reason"] == "shapes do not fit"


class TroubledImages(TinyImages):
    """Image 3 ends or hangs the loader process that reads it; in the training's own process it is harmless."""

    def __init__(self, trouble):
        super().__init__(22, 0)
        self.trouble = trouble

    def __getitem__(self, key):
        if get_worker_info() is not None and key[1] == 3 and key[0] == 1:
            if self.trouble == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(1000)
        return super().__getitem__(key)


@pytest.mark.parametrize("trouble", ["dies", "hangs"])
def test_a_loader_process_that_dies_or_hangs(trouble, tmp_path, train_here, events_of, monkeypatch):
    if trouble == "hangs":
        monkeypatch.setattr(loading, "TIMEOUT_SECONDS", 6.0)
    expected = train_here(tmp_path / "calm")
    learner = TinyLearner()
    learner.training_set = TroubledImages(trouble)
    found = train_here(tmp_path / "troubled", learner, number_of_workers=1)
    (told,) = events_of(tmp_path / "troubled", "loader_failed")
    assert told["image_ids"] == ["image-3"]
    assert "image-3" in told["message"]
    assert found.primary_metric == expected.primary_metric
    assert [e["number_of_workers"] for e in events_of(tmp_path / "troubled", "started")] == [1, 0]


def test_an_error_while_reading_in_a_loader_process_is_no_loader_failure(tmp_path, train_here, events_of):
    class Faulty(TinyImages):
        def __getitem__(self, key):
            raise RuntimeError("a bug")

    learner = TinyLearner()
    learner.training_set = Faulty(22, 0)
    with pytest.raises(RuntimeError, match="a bug"):
        train_here(tmp_path, learner, number_of_workers=1)
    assert not events_of(tmp_path, "loader_failed")


def test_unreadable_images_are_left_out_and_a_batch_of_them_is_reported(tmp_path, train_here, events_of):
    learner = TinyLearner(unreadable=range(8))
    result = train_here(tmp_path, learner, training_batch_size=2, gradient_accumulation_step=1)
    assert result.epochs == 3
    skipped = events_of(tmp_path, "batch_skipped")
    assert skipped
    assert all(int(name.split("-")[1]) < 8 for event in skipped for name in event["image_ids"])


def test_images_that_are_left_out_are_told_once_a_trial_also_after_a_resume(
    tmp_path, train_here, train_apart, events_of
):
    kill = {"AUTOML_IMAGES_FAILPOINT": "training:step:10:kill"}
    train_apart(tmp_path, TinyLearner(unreadable=[3, 20]), environment=kill).join(60)
    assert len(events_of(tmp_path, "epoch")) == 1
    train_here(tmp_path, TinyLearner(unreadable=[3, 20]))
    [told] = events_of(tmp_path, "images_left_out")
    assert (told["epoch"], told["images"]) == (1, 2)
    assert set(told["image_ids"]) == {"image-3", "image-20"}
    assert told["message"].startswith(
        f"2 training images were left out in epoch 1, the first is {told['image_ids'][0]}"
    )
    assert [e["epoch"] for e in events_of(tmp_path, "epoch")] == [1, 2, 3]


def test_images_that_can_all_be_read_are_not_told_of(tmp_path, train_here, events_of):
    train_here(tmp_path, number_of_epochs=1)
    assert not events_of(tmp_path, "images_left_out")


def test_no_readable_training_image_is_an_error(tmp_path, train_here, events_of):
    with pytest.raises(DataError, match=r"none could be read in epoch 1, for example image-\d+\. Bring the files back"):
        train_here(tmp_path, TinyLearner(unreadable=range(22)))
    assert events_of(tmp_path, "images_left_out")[0]["images"] == 22
    assert events_of(tmp_path, "failed")[0]["is_final"]
    assert not (tmp_path / "result.json").exists()


def test_no_readable_validation_image_is_an_error(tmp_path, train_here):
    learner = TinyLearner()
    learner.validation_set = TinyImages(4, 0, unreadable=range(4))
    with pytest.raises(DataError, match="No image could be read"):
        train_here(tmp_path, learner)


def test_an_empty_side_is_an_error(tmp_path, train_here):
    learner = TinyLearner()
    learner.validation_set = TinyImages(0, 0)
    with pytest.raises(TrainingError, match="got none"):
        train_here(tmp_path, learner)


def test_nothing_to_train_is_an_error(tmp_path, train_here):
    learner = TinyLearner()
    learner.model.requires_grad_(False)
    with pytest.raises(TrainingError, match="layers_to_freeze"):
        train_here(tmp_path, learner)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device can do fp16")
def test_fp16_without_a_gpu_is_an_error(tmp_path, train_here):
    with pytest.raises(SettingsError, match="bf16"):
        train_here(tmp_path, mixed_precision="fp16")


def test_missing_best_weights_are_named(tmp_path, train_here, train_apart):
    process = train_apart(tmp_path, environment={"AUTOML_IMAGES_FAILPOINT": "training:step:10:kill"})
    process.join(60)
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(TrainingError, match="best so far"):
        train_here(tmp_path)


def test_the_tiny_batch_splits_as_the_contract_says():
    batch = TinyBatch(torch.zeros(5, 1), torch.zeros(5), [str(i) for i in range(5)])
    assert [len(piece) for piece in batch.split(2)] == [3, 2]
