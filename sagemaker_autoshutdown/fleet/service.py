"""Looking at all accounts and regions of a configuration, once or again and again. The edge.

``Fleet`` wires the parts: AWS, Prometheus, prices, the record. A round asks Prometheus once and
sweeps each account and region, a few at a time, each on one connection. What fails in one leaves
the others as they are; what was missed is charged by the next sweep.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ..aws import Aws, AwsError
from ..clock import to_iso
from ..lifecycle.throttling import Patient
from ..prices.book import PriceBook, endpoint_region
from .acting.protocols import Unavailable
from .advance import advance
from .bill import Rates
from .config import Account, Config
from .facts import gather
from .metrics import FAILED, OK, FleetMetrics
from .model import ReportKey, Scope, State, Sweep
from .record import Record
from .reports import AppReports, NotAsked, of_scope
from .rules.model import Facts
from .stopper import Stopper
from .sweep import Sweeper
from .view import Line, lines, summarise

if TYPE_CHECKING:
    from ..prices.price_list import PriceListCache

#: Sweeps that run at once.
AT_ONCE = 4
#: Of a good sweep, how often it was stored by somebody else meanwhile until it is given up.
_TRIES = 3

PRICE_CACHE_NAME = "fleet-prices-{region}.json"

#: Told of progress: the account's name and region, what is being listed, and how many so far.
Progress = Callable[[str, str, int], None]
#: What every server was last heard, of all accounts.
Heard = Mapping[tuple[str, str, ReportKey], datetime]


@dataclass(frozen=True)
class Observation:
    """What one sweep showed, with what was remembered. ``seconds`` is how long it took."""

    sweep: Sweep
    state: State
    rates: Rates
    seconds: float


@dataclass(frozen=True)
class Failure:
    """An account and region that could not be swept, and why."""

    scope: Scope
    name: str
    message: str
    remedy: str = ""


@dataclass
class Target:
    """One account in one region."""

    account: Account
    region: str
    aws: Aws
    sweeper: Sweeper
    #: Makes each call once, where the other one waits and repeats.
    once: Aws
    prices: PriceBook | None = None

    @property
    def name(self) -> str:
        """For people."""
        return " ".join(part for part in (self.account.name, self.region) if part) or "this account"

    @property
    def scope(self) -> Scope:
        """As far as it is known without a sweep."""
        return Scope(_account_id(self.account), self.region)


@dataclass
class Fleet:
    """All that a configuration names."""

    config: Config
    progress: Progress = lambda name, what, count: None
    say: Callable[[str], None] = lambda message: None
    #: Whether the Price List is asked. A command that ends at once has no time for that.
    ask_price_list: bool = False
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(__name__))
    targets: list[Target] = field(init=False)

    def __post_init__(self) -> None:
        """Makes the parts. Does no I/O."""
        self.targets = [
            self._target(account, region)
            for account in self.config.accounts
            for region in account.regions
        ]

    def _target(self, account: Account, region: str) -> Target:
        # As the AWS command line does; boto3 knows only AWS_DEFAULT_REGION.
        region = region or os.environ.get("AWS_REGION", "")
        aws = Patient(region, self.say, account.role)
        name = " ".join(part for part in (account.name, region) if part)
        sweeper = Sweeper(
            aws,
            _account_id(account),
            lambda what, count: self.progress(name, what, count),
            self.config.swept_tags,
        )
        return Target(account, region, aws, sweeper, Aws(region, role=account.role))

    def rates(self, target: Target) -> Rates:
        """What things cost in the region of a target that has been swept."""
        if target.prices is None:
            target.prices = price_book(
                target.aws.effective_region,
                self.config,
                ask=self.ask_price_list and self.config.price_list_api,
                log=self.log,
            )
        return Rates(target.prices)

    def heard(self) -> tuple[Heard | None, str]:
        """When each server was last heard of, and what is wrong; None where nobody can say."""
        if self.config.prometheus is None:
            return None, ""
        try:
            return self.config.prometheus.ask(), ""
        except NotAsked as error:
            return None, str(error)

    def reported(self) -> tuple[AppReports | None, str]:
        """What the extensions say of their apps, if a rule may need it, and what is wrong."""
        if self.config.prometheus is None or not self.config.rules.rules:
            return None, ""
        try:
            return self.config.prometheus.ask_apps(), ""
        except NotAsked as error:
            return None, str(error)

    def facts(self, target: Target, sweep: Sweep, reported: AppReports | None) -> tuple[Facts, str]:
        """What the rules need beyond a sweep, and what is wrong."""
        return gather(
            target.aws,
            sweep,
            self.config.rules,
            reported,
            expects_reports=self.config.prometheus is not None,
        )

    def sweep_all(
        self, sweep_id: str, now: Callable[[], datetime], heard: Heard | None
    ) -> Iterator[tuple[Target, Sweep | Failure, float]]:
        """Sweeps all of them, a few at a time, and gives each as it is done."""

        def one(target: Target) -> tuple[Target, Sweep | Failure, float]:
            started = time.monotonic()
            found: Sweep | Failure
            try:
                found = target.sweeper.sweep(sweep_id, now(), None)
                if heard is not None:
                    found = replace(found, reports=of_scope(heard, found.scope))
            except AwsError as error:
                found = Failure(target.scope, target.name, str(error), error.remedy)
            return target, found, time.monotonic() - started

        if len(self.targets) == 1:
            yield one(self.targets[0])
            return
        with ThreadPoolExecutor(AT_ONCE, "sagemaker_autoshutdown_fleet") as pool:
            for done in as_completed([pool.submit(one, target) for target in self.targets]):
                yield done.result()

    def observation(
        self, target: Target, sweep: Sweep, seconds: float, store: Record | None
    ) -> Observation:
        """A sweep with what a record remembers, which it leaves as it is."""
        rates = self.rates(target)
        if store is None:
            return Observation(sweep, State(sweep.scope), rates, seconds)
        state = store.load(sweep.scope)
        step = advance(state, sweep, rates, self.config.policy)
        return Observation(sweep, step.state if step else state, rates, seconds)

    def lines(self, observation: Observation) -> Iterator[Line]:
        """Everything that an observation showed."""
        return lines(observation.state, observation.sweep, observation.rates, self.config.policy)


@dataclass
class Recorder:
    """``fleet run``: rounds whose costs are recorded and shown."""

    fleet: Fleet
    store: Record
    metrics: FleetMetrics
    now: Callable[[], datetime]
    stopper: Stopper | None = None
    _states: dict[Scope, State] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def round(self) -> list[Failure]:
        """One round; what could not be seen. Blocks."""
        log = self.fleet.log
        sweep_id = planned(self.now(), self.fleet.config.interval)
        heard, problem = self.fleet.heard()
        if problem:
            log.warning("sagemaker_autoshutdown fleet: %s; coverage is not known", problem)
        reported, problem = self.fleet.reported()
        if problem:
            log.warning("sagemaker_autoshutdown fleet: %s; what servers say is not known", problem)
        failures = []
        for target, found, seconds in self.fleet.sweep_all(sweep_id, self.now, heard):
            if isinstance(found, Failure):
                failures.append(found)
                log.error("sagemaker_autoshutdown fleet: %s: %s", found.name, found.message)
                self.metrics.count_sweep(found.scope, FAILED)
                continue
            for part, why in found.unseen.items():
                log.warning("sagemaker_autoshutdown fleet: %s: no %s: %s", target.name, part, why)
            self._record(target, found, seconds, reported)
        self.metrics.show_totals(self.store.totals())
        return failures

    def _record(
        self, target: Target, sweep: Sweep, seconds: float, reported: AppReports | None
    ) -> None:
        is_stored = False
        policy = self.fleet.config.policy
        rates = self.fleet.rates(target)
        with self._lock:
            state = self._states.get(sweep.scope)
            for _ in range(_TRIES):
                if state is None:
                    state = self.store.load(sweep.scope)
                step = advance(state, sweep, rates, policy)
                if step is None:
                    break
                if self.store.apply(step, state.sweep_id):
                    state, is_stored = step.state, True
                    break
                state = None  # another process was first: from what that has stored
            state = state or self.store.load(sweep.scope)
            self._states[sweep.scope] = state
        found = lines(state, sweep, rates, policy)
        self.metrics.show(
            sweep.scope,
            summarise(found, by_owner=self.metrics.by_owner),
            sweep.at,
            seconds=seconds,
            unseen=len(sweep.unseen),
            coverage_known=sweep.reports is not None,
        )
        self.metrics.count_sweep(sweep.scope, OK)
        if is_stored and self.stopper is not None:
            self._act(self.stopper, target, state, sweep, rates, reported)

    def _act(
        self,
        stopper: Stopper,
        target: Target,
        state: State,
        sweep: Sweep,
        rates: Rates,
        reported: AppReports | None,
    ) -> None:
        """What the rules call for. Only who stored a sweep does that."""
        log = self.fleet.log
        facts, problem = self.fleet.facts(target, sweep, reported)
        if problem:
            log.warning("sagemaker_autoshutdown fleet: %s: %s", target.name, problem)
        found = lines(state, sweep, rates, self.fleet.config.policy)
        try:
            proposal, events = stopper.after(target.once, state, sweep, found, facts)
        except Unavailable as error:
            log.error("sagemaker_autoshutdown fleet: %s: %s", target.name, error)
            return
        self.metrics.show_acting(sweep.scope, proposal, events)


def planned(now: datetime, interval: timedelta) -> str:
    """The id of the sweep that is due: the same for everybody who makes it."""
    start = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return to_iso(start + (now - start) // interval * interval)


def next_round(now: datetime, interval: timedelta) -> timedelta:
    """How long it is until the next sweep is due."""
    start = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return interval - (now - start) % interval


def price_book(
    region: str, config: Config, *, ask: bool, log: logging.Logger | None = None
) -> PriceBook:
    """Prices of a region as the configuration wants them to be found."""
    endpoint = endpoint_region(region) if ask else None

    def price_list() -> PriceListCache:
        from ..prices.price_list import PriceListCache, fetch_with

        path = config.folder / PRICE_CACHE_NAME.format(region=region)
        return PriceListCache(region, fetch_with(Aws(endpoint or "").pages_blocking), path, log=log)

    return PriceBook(
        region,
        own=config.prices,
        own_file=config.price_file,
        price_list=price_list if endpoint else None,
        log=log,
    )


def _account_id(account: Account) -> str:
    return account.role.arn.split(":")[4] if account.role else ""


def problems_of(observations: Iterable[Observation]) -> Iterator[str]:
    """What the sweeps could not see, for people."""
    for observation in observations:
        for part, why in observation.sweep.unseen.items():
            yield f"{observation.sweep.scope.region}: the {part} are not known: {why}."
