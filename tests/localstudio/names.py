"""Names in SageMaker's form: ARNs, ids, images and the kernelspecs that images offer.

Pure values; `state` owns the things that exist.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from dataclasses import dataclass

REGION = "us-east-2"
ACCOUNT = "123456789012"
#: The account that owns SageMaker's own images in us-east-2 (AWS's table of Studio images).
IMAGE_ACCOUNT = "429704687514"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/service-role/AmazonSageMaker-ExecutionRole"
DEFAULT_INSTANCE_TYPE = "ml.t3.medium"
#: Separates the kernel's own name from the image in a Studio kernelspec's name.
KERNELSPEC_MARK = "__SAGEMAKER_INTERNAL__"


@dataclass(frozen=True)
class Image:
    """A Studio image; every one here offers one kernel, ``python3``."""

    name: str
    display_name: str
    account: str = IMAGE_ACCOUNT

    @property
    def arn(self) -> str:
        """The image's ARN, as in ``ResourceSpec.SageMakerImageArn``."""
        return f"arn:aws:sagemaker:{REGION}:{self.account}:image/{self.name}"

    @property
    def version_arn(self) -> str:
        """The ARN of the version that apps run."""
        return f"arn:aws:sagemaker:{REGION}:{self.account}:image-version/{self.name}/1"

    @property
    def kernelspec(self) -> str:
        """The kernelspec's name as a Classic JupyterServer shows it."""
        return kernelspec_name("python3", self.arn)


IMAGES = (
    Image("datascience-1.0", "Data Science"),
    Image("sagemaker-data-science-310-v1", "Data Science 3.0"),
    Image("base-python-310-v1", "Base Python 3.0"),
    Image("pytorch-2.0.0-gpu-py310", "PyTorch 2.0.0 Python 3.10 GPU Optimized"),
    Image("tensorflow-2.12.0-cpu-py310", "TensorFlow 2.12.0 Python 3.10 CPU Optimized"),
)
#: The image of an app whose request names none.
DEFAULT_IMAGE = IMAGES[0]


def find_image(name_or_arn: str) -> Image:
    """The image of that name or ARN; an ARN that is not SageMaker's own is a custom image."""
    for image in IMAGES:
        if name_or_arn in (image.name, image.arn):
            return image
    head, _, name = name_or_arn.rpartition("/")
    fields = head.split(":")
    if name and len(fields) == 6 and fields[5] == "image":
        return Image(name, name, account=fields[4])
    known = ", ".join(image.name for image in IMAGES)
    raise ValueError(f"no such image: {name_or_arn!r}; known are {known}, or give a full ARN")


def kernelspec_name(kernel: str, image_arn: str) -> str:
    """Studio's name for a kernel of an image."""
    return f"{kernel}{KERNELSPEC_MARK}{image_arn}"


def split_kernelspec(name: str) -> tuple[str, str | None]:
    """A kernelspec's name → the kernel's own name and the image's ARN.

    A version after the ARN (``.../image/datascience-1.0/1``) is dropped; the ARN is None if the
    name is not one of Studio's.
    """
    kernel, mark, arn = name.partition(KERNELSPEC_MARK)
    if not mark:
        return name, None
    head, separator, rest = arn.partition(":image/")
    return kernel, head + separator + rest.split("/")[0]


def app_name(image: Image, instance_type: str) -> str:
    """The name Studio gives to an app of an image on an instance type; the same every time."""
    readable = f"{image.name}-{instance_type}".replace(".", "-")
    digest = hashlib.sha256(f"{image.arn} {instance_type}".encode()).hexdigest()[:28]
    return f"{readable[: 63 - 29].rstrip('-')}-{digest}"


def new_domain_id() -> str:
    """An id in the form that AWS gives to domains."""
    alphabet = string.ascii_lowercase + string.digits
    return "d-" + "".join(secrets.choice(alphabet) for _ in range(12))


def arn(resource: str) -> str:
    """The ARN of a SageMaker resource of this account and region."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}"
