"""Mistakes in conf/ are named by file, line and key."""

import pytest

from automl_images.core.errors import SettingsError
from automl_images.jobs.configuration import ConfigLoader

BASE = "job_name: null\ntask:\n  limits:\n    max_trials: 1\n  space: [a]\n"


@pytest.fixture
def loader(tmp_path):
    """A function that writes the user's file and gives the loader."""

    def load(content, name="parameters.yml", base=BASE, **params):
        for folder in ("base", "local"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "base" / "parameters.yml").write_text(base)
        (tmp_path / "base" / "catalog.yml").write_text("a: {type: x}\n")
        (tmp_path / "local" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        soft = {"parameters": "soft"}
        return ConfigLoader(
            str(tmp_path), base_env="base", default_run_env="local", merge_strategy=soft, runtime_params=params
        )

    return load


def test_what_is_right_is_merged(loader):
    found = loader("task: {limits: {max_trials: 3}}", job_name="x")["parameters"]
    assert found == {"job_name": "x", "task": {"limits": {"max_trials": 3}, "space": ["a"]}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("limits: [1\n a: 2", r"local/parameters\.yml:2 is not valid YAML: did not find expected"),
        ("a: 1\na: 2", r"local/parameters\.yml:2 is not valid YAML: found duplicate key a"),
        ("task:\n  limits: [1]", r"local/parameters\.yml: task\.limits must be keys with values, got \[1\]"),
        ("task:\n  space: {a: 1}", r"local/parameters\.yml: task\.space must be a list, got \{'a': 1\}"),
        ("- a\n- b", r"local/parameters\.yml: expected keys, got a list"),
        (b"a: \xff", r"local/parameters\.yml cannot be read: 'utf-8' codec"),
        ("a: ${b", r"local/parameters\.yml cannot be read"),
    ],
)
def test_a_mistake_is_named_by_its_file(loader, content, message):
    with pytest.raises(SettingsError, match=message):
        _ = loader(content)["parameters"]


def test_a_mistake_in_another_file_or_on_the_command_line_is_named_too(loader):
    with pytest.raises(SettingsError, match=r"local/catalog\.yml:1 is not valid YAML"):
        _ = loader("a: {: b", name="catalog.yml")["catalog"]
    with pytest.raises(SettingsError, match=r"--params: task\.limits must be keys with values"):
        _ = loader("a: 1", task={"limits": [1]})["parameters"]
    with pytest.raises(SettingsError, match=r"Duplicate keys found in .*job_name"):
        _ = loader("job_name: x", base=BASE, name="parameters_b.yml")["parameters"], loader("job_name: y")["parameters"]
