"""The database of studies: who may open it, and when."""

from at_once import open_at_once


def test_several_controllers_may_first_use_a_file_at_the_same_moment(tmp_path):
    urls = [f"sqlite:///{tmp_path}/{n}.db" for n in range(2)]
    assert open_at_once(tmp_path, urls) == "opened\n" * 6
