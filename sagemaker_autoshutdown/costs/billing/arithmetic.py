"""Computes cost by pure arithmetic over intervals.

AWS bills instances, not apps: an instance costs its price once while at least one of its apps is
up. It is idle while all its apps are. Sums are exact and do not depend on how a history was split
into records: time is counted in whole microseconds per price, and multiplied once, at the end.

Times are microseconds since 1970 (see ``microseconds``), prices are USD per hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeVar

from ...model import Money
from ..microseconds import DAY, HOUR, SECOND

K = TypeVar("K")

#: Amounts are shown to a millionth of a dollar.
CENT_OF_A_CENT = 6


class Stretch(NamedTuple):
    """One app that was up on an instance for a while, in one state and at one price.

    ``usd_per_hour`` is None if the instance type is unpriced. ``estimated`` means that this was
    reconstructed, not observed. ``closed_since`` is the time since which no browser was connected,
    if that is known and was asked for; the bill does not depend on it.
    """

    instance: str
    start: int
    end: int
    app: str
    instance_type: str
    idle: bool
    usd_per_hour: Decimal | None
    estimated: bool = False
    closed_since: int | None = None


class Charge(NamedTuple):
    """A time during which an instance was billed and the same apps were up on it."""

    instance: str
    start: int
    end: int
    apps: tuple[str, ...]
    instance_type: str
    idle: bool
    usd_per_hour: Decimal | None
    estimated: bool


_instance = itemgetter(0)
_in_order = itemgetter(0, 1, 2)


def bill(stretches: Iterable[Stretch]) -> Iterator[Charge]:
    """The billed time: for each instance the union of its apps' stretches, in order of time."""
    for _, on_instance in groupby(sorted(stretches, key=_in_order), key=_instance):
        yield from _bill_instance(on_instance)


def _bill_instance(stretches: Iterable[Stretch]) -> Iterator[Charge]:
    """Sweeps over the stretches of one instance, which must be sorted by their start."""
    up: list[Stretch] = []
    at = 0
    for stretch in stretches:
        start = stretch.start
        if stretch.end <= start:
            continue
        while up and at < start:
            until = min([start, *[one.end for one in up]])
            yield _charge(up, at, until)
            at = until
            up = [one for one in up if one.end > at]
        at = start
        up.append(stretch)
    while up:
        until = min([one.end for one in up])
        if until > at:
            yield _charge(up, at, until)
        at = until
        up = [one for one in up if one.end > at]


def _charge(up: Sequence[Stretch], start: int, end: int) -> Charge:
    if len(up) == 1:
        (one,) = up
        return Charge(
            one.instance,
            start,
            end,
            (one.app,),
            one.instance_type,
            one.idle,
            one.usd_per_hour,
            one.estimated,
        )
    apps = sorted({one.app for one in up})
    # Apps of one instance have one price. If two records disagree, the higher price counts, so that
    # the order of rows does not decide.
    prices = [one.usd_per_hour for one in up if one.usd_per_hour is not None]
    return Charge(
        up[0].instance,
        start,
        end,
        tuple(apps),
        up[0].instance_type,
        all(one.idle for one in up),
        max(prices, default=None),
        any(one.estimated for one in up),
    )


def clip(stretches: Iterable[Stretch], start: int, end: int) -> Iterator[Stretch]:
    """The parts of the stretches that lie between two times."""
    for stretch in stretches:
        if stretch.start >= start and stretch.end <= end:
            yield stretch
        elif stretch.start < end and stretch.end > start:
            yield stretch._replace(start=max(stretch.start, start), end=min(stretch.end, end))


def by_day(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The days (since 1970, UTC) that an interval touches, with the microseconds in each."""
    day = start // DAY
    while start < end:
        day_end = (day + 1) * DAY
        yield day, min(end, day_end) - start
        start = day_end
        day += 1


class Tally:
    """Time by price and state, from which an amount is computed at the end.

    ``share`` is the number of apps that share an instance's time; 1 stands for the whole time.
    """

    __slots__ = ("avoided", "estimated", "time", "volume")

    def __init__(self) -> None:
        self.time: dict[tuple[Decimal | None, bool, int], int] = {}
        self.avoided = Fraction(0)
        self.volume = Fraction(0)
        self.estimated = False

    def add(
        self,
        duration: int,
        idle: bool,
        usd_per_hour: Decimal | None,
        estimated: bool = False,
        share: int = 1,
    ) -> None:
        """Counts ``duration`` microseconds of an instance."""
        key = (usd_per_hour, idle, share)
        self.time[key] = self.time.get(key, 0) + duration
        if estimated:
            self.estimated = True

    def merge(self, other: Tally) -> None:
        """Adds everything that ``other`` counted."""
        for key, duration in other.time.items():
            self.time[key] = self.time.get(key, 0) + duration
        self.avoided += other.avoided
        self.volume += other.volume
        self.estimated = self.estimated or other.estimated

    def usd(self, *, idle: bool) -> Fraction:
        """The exact cost of one state."""
        # Whole numbers by their divisor, because adding fractions one by one is slow.
        numerators: dict[int, int] = {}
        for (usd_per_hour, was_idle, share), duration in self.time.items():
            if was_idle is idle and usd_per_hour is not None:
                numerator, denominator = _ratio(usd_per_hour)
                divisor = denominator * share
                numerators[divisor] = numerators.get(divisor, 0) + numerator * duration
        return sum(
            (Fraction(numerator, divisor * HOUR) for divisor, numerator in numerators.items()),
            Fraction(0),
        )

    @property
    def unpriced(self) -> Fraction:
        """The microseconds without a known price."""
        return sum(
            (
                Fraction(duration, share)
                for (usd_per_hour, _, share), duration in self.time.items()
                if usd_per_hour is None
            ),
            Fraction(0),
        )


@lru_cache(maxsize=1024)
def _ratio(usd_per_hour: Decimal) -> tuple[int, int]:
    return usd_per_hour.as_integer_ratio()


def cost_of(duration: int, usd_per_hour: Decimal) -> Fraction:
    """The exact cost of ``duration`` microseconds."""
    return Fraction(usd_per_hour) * duration / HOUR


def moneys(tallies: Mapping[K, Tally]) -> tuple[dict[K, Money], Money]:
    """The amount of each group and their total, rounded so that the groups add up to the total."""
    keys = list(tallies)
    in_use, in_use_sum = apportion([tallies[key].usd(idle=False) for key in keys])
    idle, idle_sum = apportion([tallies[key].usd(idle=True) for key in keys])
    avoided, avoided_sum = apportion([tallies[key].avoided for key in keys])
    volume, volume_sum = apportion([tallies[key].volume for key in keys])
    each = {
        key: _money(in_use[i], idle[i], avoided[i], volume[i], [tallies[key]])
        for i, key in enumerate(keys)
    }
    return each, _money(in_use_sum, idle_sum, avoided_sum, volume_sum, tallies.values())


def money(tally: Tally) -> Money:
    """The amount of one tally."""
    return moneys({0: tally})[1]


def _money(
    in_use: Decimal, idle: Decimal, avoided: Decimal, volume: Decimal, tallies: Iterable[Tally]
) -> Money:
    tallies = list(tallies)
    usd = in_use + idle
    return Money(
        usd=usd,
        in_use_usd=in_use,
        idle_usd=idle,
        idle_share=round(float(idle / usd), 6) if usd else None,
        avoided_usd=avoided,
        volume_usd=volume,
        estimated=any(tally.estimated for tally in tallies),
        unpriced_seconds=round(
            float(sum((tally.unpriced for tally in tallies), Fraction(0)) / SECOND), 6
        ),
    )


def apportion(
    amounts: Sequence[Fraction], places: int = CENT_OF_A_CENT
) -> tuple[list[Decimal], Decimal]:
    """Amounts rounded to ``places``, and their rounded sum, to which they add up exactly.

    Each is rounded down; the missing units go to the amounts that lost most, one unit each.
    """
    unit = 10**places
    floors = [amount.numerator * unit // amount.denominator for amount in amounts]
    total = round(sum(filter(None, amounts), Fraction(0)) * unit)  # half to even, as below
    missing = total - sum(floors)
    if missing:
        by_loss = sorted(range(len(amounts)), key=lambda i: (floors[i] - amounts[i] * unit, i))
        for i in by_loss[:missing]:
            floors[i] += 1

    def decimal(units: int) -> Decimal:
        return Decimal(units).scaleb(-places)

    return [decimal(unit) for unit in floors], decimal(total)
