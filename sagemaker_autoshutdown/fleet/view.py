"""The view of a sweep: each resource with all its facts, and sums over them. Pure.

The command line, its JSON and the metrics all show these values; none computes its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from .advance import payer
from .bill import Rate, Rates, instance_of
from .coverage import Judge, heard_of
from .model import (
    KERNEL_GATEWAY,
    NOTEBOOK_INSTANCE,
    SPACE,
    USER_PROFILE,
    VOLUME,
    Coverage,
    Key,
    Policy,
    Resource,
    Space,
    State,
    Sweep,
)


class Line(NamedTuple):
    """A resource with all its facts.

    ``up_since`` is when this run was first seen, None if nobody watched before. ``rate`` is that of
    the whole instance, which ``apps_on_instance`` apps share. ``is_first`` marks one of them, so
    that an instance is added up once. ``is_unused`` is about a volume: no app of its space is up.
    """

    resource: Resource
    owner: str
    space: Space | None
    rate: Rate
    coverage: Coverage | None
    up_since: datetime | None
    heard_at: datetime | None
    apps_on_instance: int
    is_first: bool
    is_unused: bool

    @property
    def nano_usd_per_hour(self) -> int:
        """The amount that this line adds to a present total."""
        is_counted = self.is_first and self.resource.is_billed
        return (self.rate.nano_usd_per_hour or 0) if is_counted else 0

    @property
    def is_unpriced(self) -> bool:
        """Whether it is billed at an unknown price."""
        return self.rate.nano_usd_per_hour is None and self.is_first and self.resource.is_billed


def lines(state: State, sweep: Sweep, rates: Rates, policy: Policy) -> Iterator[Line]:
    """Everything in the sweep: running apps, notebook instances and volumes.

    ``state`` is the one after the sweep, or the newest known one.
    """
    judge = Judge(state, sweep, policy)
    up = [
        resource
        for resource in sweep.resources
        if resource.is_up or resource.key.app_type == NOTEBOOK_INSTANCE
    ]
    shared = Counter(
        instance_of(resource)
        for resource in up
        if resource.key.app_type == KERNEL_GATEWAY and resource.is_billed
    )
    in_use = {
        (resource.key.domain, resource.key.owner)
        for resource in up
        if resource.key.owner_kind == SPACE and resource.key.app_type != VOLUME
    }
    counted: set[Key] = set()
    for resource in up:
        key = resource.key
        run = state.runs.get(key)
        instance = instance_of(resource)
        is_first = resource.is_billed and instance not in counted
        if is_first and key.app_type == KERNEL_GATEWAY:
            counted.add(instance)
        is_volume = key.app_type == VOLUME
        yield Line(
            resource,
            payer(key, sweep.spaces),
            sweep.spaces.get((key.domain, key.owner)) if key.owner_kind == SPACE else None,
            rates.of(resource),
            judge.coverage(resource, run) if resource.is_up and not is_volume else None,
            run.up_since if run else None,
            heard_of(key, state, sweep),
            max(shared[instance], 1) if key.app_type == KERNEL_GATEWAY else 1,
            is_first,
            is_volume and (key.domain, key.owner) not in in_use,
        )


def tags_of(sweep: Sweep, resource: Resource) -> dict[str, str]:
    """The tags of a resource, with those of its domain, its user profile (also the one that owns
    its space) and its space, in this order: the last one that has a tag counts, its own tags
    above all."""
    key = resource.key
    if key.app_type == NOTEBOOK_INSTANCE:
        names = [f"notebook-instance/{key.name.lower()}"]
    else:
        names = [f"domain/{key.domain}"]
        space = sweep.spaces.get((key.domain, key.owner)) if key.owner_kind == SPACE else None
        if space is not None and space.profile:
            names.append(f"{USER_PROFILE}/{key.domain}/{space.profile}")
        names.append(f"{key.owner_kind}/{key.domain}/{key.owner}")
        if key.app_type != VOLUME:
            app = f"{key.app_type.lower()}/{key.name}"
            names.append(f"app/{key.domain}/{key.owner}/{app}")
    found: dict[str, str] = {}
    for name in names:
        found.update(sweep.tags.get(name, {}))
    return found


class Group(NamedTuple):
    """The keys by which a fleet is added up. ``owner`` is empty unless it is asked for."""

    domain: str
    owner: str
    app_type: str
    instance_type: str
    coverage: str


@dataclass
class Sums:
    """The totals of a group."""

    count: int = 0
    nano_usd_per_hour: int = 0
    unpriced: int = 0
    gigabytes: int = 0
    oldest: datetime | None = None

    def add(self, line: Line) -> None:
        """Adds one."""
        self.count += 1
        self.nano_usd_per_hour += line.nano_usd_per_hour
        self.unpriced += line.is_unpriced
        self.gigabytes += line.resource.size_gb
        if line.up_since is not None and (self.oldest is None or line.up_since < self.oldest):
            self.oldest = line.up_since

    def merge(self, other: Sums) -> None:
        """Adds another group."""
        self.count += other.count
        self.nano_usd_per_hour += other.nano_usd_per_hour
        self.unpriced += other.unpriced
        self.gigabytes += other.gigabytes
        if other.oldest is not None and (self.oldest is None or other.oldest < self.oldest):
            self.oldest = other.oldest


#: A volume's coverage in a group.
USED, UNUSED = "in_use", "unused"


@dataclass
class Summary:
    """The sums of running resources in one scope. Stopped notebook instances are in none."""

    groups: dict[Group, Sums] = field(default_factory=dict)

    def add(self, line: Line, *, by_owner: bool = False) -> None:
        """Adds one line."""
        resource = line.resource
        if not resource.is_up:
            return
        if resource.key.app_type == VOLUME:
            coverage = UNUSED if line.is_unused else USED
        else:
            coverage = line.coverage.value if line.coverage else ""
        owner = line.owner if by_owner else ""
        group = Group(
            resource.key.domain, owner, resource.key.app_type, resource.instance_type, coverage
        )
        sums = self.groups.get(group)
        if sums is None:
            sums = self.groups[group] = Sums()
        sums.add(line)

    def by_coverage(self) -> dict[str, Sums]:
        """The same by coverage alone, without volumes."""
        found: dict[str, Sums] = {}
        for group, sums in self.groups.items():
            if group.app_type != VOLUME:
                found.setdefault(group.coverage, Sums()).merge(sums)
        return found

    def total(self, *, volumes: bool) -> Sums:
        """All volumes together, or everything else."""
        found = Sums()
        for group, sums in self.groups.items():
            if (group.app_type == VOLUME) is volumes:
                found.merge(sums)
        return found


def summarise(found: Iterable[Line], *, by_owner: bool = False) -> Summary:
    """The sums of some lines."""
    summary = Summary()
    for line in found:
        summary.add(line, by_owner=by_owner)
    return summary
