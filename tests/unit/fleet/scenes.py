"""Values for sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from sagemaker_autoshutdown.fleet.advance import Step, advance
from sagemaker_autoshutdown.fleet.bill import Rates
from sagemaker_autoshutdown.fleet.model import (
    KERNEL_GATEWAY,
    NOTEBOOK_INSTANCE,
    SPACE,
    USER_PROFILE,
    VOLUME,
    Defaults,
    Domain,
    Key,
    Policy,
    Reports,
    Resource,
    Scope,
    Space,
    State,
    Sweep,
)
from sagemaker_autoshutdown.model import Price, PriceSource, VolumePrice

NOON = datetime(2026, 9, 1, 12, tzinfo=timezone.utc)
LONG_AGO = NOON - timedelta(days=3)
SCOPE = Scope("123456789012", "us-east-2")
POLICY = Policy()


class MadeUpPrices:
    """A dollar an hour for everything, and 7.30 a gigabyte and month."""

    def price(self, instance_type: str, app_type: str) -> Price:
        """None for an unknown type."""
        if instance_type == "ml.unknown":
            return Price(instance_type, None, PriceSource.UNPRICED)
        return Price(instance_type, Decimal(1), PriceSource.LIST, "2026-09-01")

    def volume_price(self) -> VolumePrice:
        """A cent for each gigabyte and hour."""
        return VolumePrice(Decimal("7.30"), PriceSource.LIST, "2026-09-01")


def after(minutes: float) -> datetime:
    """A time after noon."""
    return NOON + timedelta(minutes=minutes)


def app(
    app_type: str = KERNEL_GATEWAY,
    *,
    name: str = "default",
    owner: str = "ada",
    in_space: bool = False,
    instance_type: str = "ml.t3.medium",
    status: str = "InService",
    created: datetime = LONG_AGO,
    config: str = "",
    domain: str = "d-1",
) -> Resource:
    """An app of a user profile, or of a space."""
    kind = SPACE if in_space else USER_PROFILE
    return Resource(
        Key(domain, kind, owner, app_type, name), status, instance_type, created, config
    )


def notebook(name: str = "nb", status: str = "InService", config: str = "") -> Resource:
    """A notebook instance."""
    key = Key("", "", "", NOTEBOOK_INSTANCE, name)
    return Resource(key, status, "ml.t3.medium", LONG_AGO, config)


def volume(space: str, gigabytes: int = 100) -> Resource:
    """The volume of a space."""
    key = Key("d-1", SPACE, space, VOLUME, space)
    return Resource(key, "InService", "gp3", LONG_AGO, size_gb=gigabytes)


def sweep(
    minutes: float,
    *resources: Resource,
    spaces: Iterable[Space] = (),
    users: Defaults | None = None,
    shared: Defaults | None = None,
    reports: Reports | None = None,
    unseen: Mapping[str, str] | None = None,
    domains: bool = True,
) -> Sweep:
    """A sweep this long after noon."""
    at = after(minutes)
    domain = Domain("d-1", "team", users or Defaults(), shared or Defaults())
    return Sweep(
        SCOPE,
        f"{at:%Y-%m-%dT%H:%M:%SZ}",
        at,
        resources,
        {(space.domain, space.name): space for space in spaces},
        {"d-1": domain} if domains else {},
        reports,
        unseen or {},
    )


def rates() -> Rates:
    """Made-up ones."""
    return Rates(MadeUpPrices())


def stepped(state: State, found: Sweep, policy: Policy = POLICY) -> Step:
    """The step of a new sweep."""
    step = advance(state, found, rates(), policy)
    assert step is not None
    return step


def dollars(step: Step) -> Decimal:
    """The sum of a step."""
    return Decimal(sum(charge.nano for charge in step.charges.values())).scaleb(-9).normalize()
