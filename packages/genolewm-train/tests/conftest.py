import pytest
import train_cases


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    return train_cases.write_data(tmp_path_factory.mktemp("train") / "data")
