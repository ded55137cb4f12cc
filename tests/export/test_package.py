import pytest
import torch
from torch import nn

from automl_images.core.errors import ModelError
from automl_images.export.package import read_weights, write_weights


class Tied(nn.Module):
    """Two layers that share one weight, and a view of it."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.register_buffer("part", self.first.weight.detach()[:, 1:3])
        self.register_buffer("steps", torch.tensor(3))


def test_weights_that_share_memory_come_back(tmp_path):
    network = Tied()
    write_weights(tmp_path, network.state_dict())
    again = read_weights(tmp_path)
    assert again.keys() == network.state_dict().keys()
    assert all(torch.equal(value, again[name]) for name, value in network.state_dict().items())
    Tied().load_state_dict(again)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    write_weights(tmp_path, {"w": torch.ones(2)})
    with pytest.raises(ModelError, match="'w' holds NaN or infinity"):
        write_weights(tmp_path, {"w": torch.tensor([1.0, value])})
    assert read_weights(tmp_path)["w"].tolist() == [1, 1]  # the earlier file is untouched


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"model\.safetensors, but there is no such file"):
        read_weights(tmp_path)
    write_weights(tmp_path, {"w": torch.ones(100)})
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        read_weights(tmp_path)
