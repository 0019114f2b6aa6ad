"""The arguments and environments of apps' processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.localstudio import names
from tests.localstudio.servers import Places, base_environment


def test_no_setting_of_the_developers_shell_reaches_an_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "JUPYTER_TOKEN", "KERNEL_X", "SAGEMAKER_SPACE_NAME")
    for name in own:
        monkeypatch.setenv(name, "the developer's")
    env = base_environment("http://127.0.0.1:1", sys.executable, Places(tmp_path, tmp_path))
    assert not [name for name in own if name in env]
    assert "the developer's" not in env.values()
    assert env["AWS_ENDPOINT_URL_SAGEMAKER"] == "http://127.0.0.1:1"
    assert not Path(env["AWS_CONFIG_FILE"]).exists()


def test_an_interpreter_of_another_environment_does_not_get_this_ones_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/this/environment")
    places = Places(tmp_path, tmp_path)
    assert "PYTHONPATH" not in base_environment("http://x", "/other/bin/python", places)
    assert base_environment("http://x", sys.executable, places)["PYTHONPATH"]


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("python3__SAGEMAKER_INTERNAL__arn:aws:sagemaker:r:1:image/a-1.0", "a-1.0"),
        ("python3__SAGEMAKER_INTERNAL__arn:aws:sagemaker:r:1:image/a-1.0/3", "a-1.0"),
    ],
)
def test_the_version_in_a_kernelspecs_name_does_not_hide_its_image(name: str, image: str) -> None:
    assert names.split_kernelspec(name) == ("python3", f"arn:aws:sagemaker:r:1:image/{image}")


def test_an_app_keeps_its_name_and_fits_into_the_length_that_aws_allows() -> None:
    image = names.find_image("tensorflow-2.12.0-cpu-py310")
    name = names.app_name(image, "ml.p4de.24xlarge")
    assert name == names.app_name(image, "ml.p4de.24xlarge")
    assert name != names.app_name(image, "ml.p4d.24xlarge")
    assert len(name) <= 63
    assert "." not in name


def test_an_image_that_is_not_known_is_named_with_those_that_are() -> None:
    assert names.find_image("arn:aws:sagemaker:us-east-2:1:image/own").name == "own"
    with pytest.raises(ValueError, match=r"known are datascience-1\.0"):
        names.find_image("datascience")
