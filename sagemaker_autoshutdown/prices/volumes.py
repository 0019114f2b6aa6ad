"""The monthly price of a gigabyte of an EBS volume under SageMaker, by region. Pure.

Every price found in SageMaker's list is 1.4 times EC2's: 0.112 USD for gp3 and 0.14 for gp2 in
us-east-1, 0.154 for gp2 in eu-west-1. So 1.4 times EC2's price is the estimate for other regions.
gp3 costs four fifths of gp2. Spaces have gp3, notebook instances gp2.
"""

from __future__ import annotations

from decimal import Decimal

from ..model import PriceSource, VolumePrice

#: Prices from SageMaker's own price list or from bills: by region and volume type, with the date.
_LISTED = {
    ("us-east-1", "gp3"): (Decimal("0.112"), "2026-08-24"),
    ("us-east-1", "gp2"): (Decimal("0.14"), "2026-10-01"),
    ("eu-west-1", "gp2"): (Decimal("0.154"), "2023-12-01"),
}
_OVER_EC2 = Decimal("1.4")
_GP3_OVER_GP2 = Decimal("0.8")

#: EC2's price of gp2, USD per GB and month, as generally known.
_EC2_GP2 = {
    "af-south-1": "0.1309",
    "ap-east-1": "0.132",
    "ap-northeast-1": "0.12",
    "ap-northeast-2": "0.114",
    "ap-northeast-3": "0.12",
    "ap-south-1": "0.114",
    "ap-southeast-1": "0.12",
    "ap-southeast-2": "0.12",
    "ap-southeast-3": "0.12",
    "ca-central-1": "0.11",
    "eu-central-1": "0.119",
    "eu-north-1": "0.1045",
    "eu-south-1": "0.1155",
    "eu-west-1": "0.11",
    "eu-west-2": "0.116",
    "eu-west-3": "0.116",
    "me-south-1": "0.121",
    "sa-east-1": "0.19",
    "us-east-1": "0.10",
    "us-east-2": "0.10",
    "us-gov-west-1": "0.12",
    "us-gov-east-1": "0.12",
    "us-west-1": "0.12",
    "us-west-2": "0.10",
}
_ELSEWHERE = "us-east-1"
_ESTIMATED_AT = "2026-11-25"


def volume_price(region: str, *, of_notebook_instance: bool = False) -> VolumePrice:
    """The price of a space's volume in a region, or of a notebook instance's."""
    kind = "gp2" if of_notebook_instance else "gp3"
    listed = _LISTED.get((region, kind))
    if listed is not None:
        return VolumePrice(listed[0], PriceSource.LIST, listed[1])
    usd = Decimal(_EC2_GP2.get(region, _EC2_GP2[_ELSEWHERE])) * _OVER_EC2
    if kind == "gp3":
        usd *= _GP3_OVER_GP2
    return VolumePrice(usd.normalize(), PriceSource.ESTIMATE, _ESTIMATED_AT)
