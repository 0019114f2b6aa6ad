"""Observes all accounts and regions of a configuration, once or in rounds. The edge.

``Fleet`` wires the parts: AWS, Prometheus, prices, the record. A round asks Prometheus once and
sweeps each account and region, a few at a time, each on one connection. A failure in one does not
affect the others; the next sweep charges the missed time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Optional

from ..aws import Aws, AwsError, ErrorKind, Role, region_of_environment
from ..lifecycle.throttling import Patient
from ..prices.book import PriceBook, endpoint_region
from .advance import advance
from .bill import Rates
from .config import Account, Config
from .facts import gather
from .model import Scope, State, Sweep
from .record import Record
from .reports import AppReports, Heard, NotAsked, with_reports
from .rules.model import Facts
from .sweep import Sweeper
from .view import Line, lines

if TYPE_CHECKING:
    from ..prices.price_list import PriceListCache

#: Sweeps that run at once.
AT_ONCE = 4
#: After a good sweep was beaten by another sweeper this often, it is given up.
_TRIES = 3

PRICE_CACHE_NAME = "fleet-prices-{region}.json"

#: Called with progress: the account's name and region, the current list, and its count so far.
Progress = Callable[[str, str, int], None]
#: Returns the AWS client for a region, a callback for waits, and a role.
MakeAws = Callable[[str, Callable[[str], None], Optional[Role]], Aws]


@dataclass(frozen=True)
class Observation:
    """The result of one sweep, with the memory before it. ``seconds`` is how long it took."""

    sweep: Sweep
    state: State
    rates: Rates
    seconds: float


@dataclass(frozen=True)
class Failure:
    """An account and region that could not be swept, with the reason."""

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
    #: Makes each call once, where the other client waits and repeats.
    once: Aws
    prices: PriceBook | None = None

    @property
    def name(self) -> str:
        """For people."""
        return " ".join(part for part in (self.account.name, self.region) if part) or "this account"


@dataclass
class Fleet:
    """Everything that the configuration names."""

    config: Config
    progress: Progress = lambda name, what, count: None
    say: Callable[[str], None] = lambda message: None
    #: Whether the Price List is asked. A command that ends at once has no time for that.
    ask_price_list: bool = False
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(__name__))
    make_aws: MakeAws = Patient
    targets: list[Target] = field(init=False)

    def __post_init__(self) -> None:
        """Makes the parts. Does no I/O."""
        self.targets = [
            self._target(account, region)
            for account in self.config.accounts
            for region in account.regions
        ]

    def _target(self, account: Account, region: str) -> Target:
        region = region or region_of_environment()
        aws = self.make_aws(region, self.say, account.role)
        name = " ".join(part for part in (account.name, region) if part)
        sweeper = Sweeper(
            aws,
            _account_id(account),
            lambda what, count: self.progress(name, what, count),
            self.config.swept_tags,
        )
        return Target(account, region, aws, sweeper, Aws(region, role=account.role))

    def rates(self, target: Target) -> Rates:
        """The prices in the region of a target that has been swept."""
        if target.prices is None:
            target.prices = price_book(
                target.aws.effective_region,
                self.config,
                ask=self.ask_price_list and self.config.price_list_api,
                log=self.log,
            )
        return Rates(target.prices)

    def heard(self) -> tuple[Heard | None, str]:
        """When each server last reported, and a problem; None if that can't be known. If there
        is a problem with an answer, servers may be missing from it."""
        if self.config.prometheus is None:
            return None, ""
        try:
            heard = self.config.prometheus.ask()
        except NotAsked as error:
            return None, str(error)
        return heard, heard.doubt

    def reported(self) -> tuple[AppReports | None, str]:
        """The extensions' reports on their apps, if a rule may need them, and a problem."""
        if self.config.prometheus is None or not self.config.rules.rules:
            return None, ""
        try:
            return self.config.prometheus.ask_apps(), ""
        except NotAsked as error:
            return None, str(error)

    def facts(self, target: Target, sweep: Sweep, reported: AppReports | None) -> tuple[Facts, str]:
        """The facts that the rules need beyond a sweep, and a problem."""
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
        """Sweeps all of them, a few at a time, and yields each as it is done."""

        def one(target: Target) -> tuple[Target, Sweep | Failure, float]:
            started = time.monotonic()
            found: Sweep | Failure
            try:
                found = target.sweeper.sweep(sweep_id, now(), None)
                if heard is not None:
                    found = with_reports(found, heard)
            except AwsError as error:
                found = _failure(target, error)
            except Exception as error:  # an unforeseen error in one must not end the others
                self.log.debug("the sweep of %s failed", target.name, exc_info=True)
                message = f"{type(error).__name__}: {error}"
                found = Failure(target.sweeper.scope(ask=False), target.name, message, _DEFECT)
            return target, found, time.monotonic() - started

        if len(self.targets) == 1:
            yield one(self.targets[0])
            return
        todo: SimpleQueue[Target] = SimpleQueue()
        done: SimpleQueue[tuple[Target, Sweep | Failure, float]] = SimpleQueue()
        for target in self.targets:
            todo.put(target)

        def work() -> None:
            with contextlib.suppress(Empty):
                while True:
                    done.put(one(todo.get_nowait()))

        # Not a pool: a call that hangs must not hold up the end of the process.
        for _ in range(min(AT_ONCE, len(self.targets))):
            threading.Thread(target=work, name="sagemaker_autoshutdown_fleet", daemon=True).start()
        for _ in self.targets:
            yield done.get()

    def observation(
        self, target: Target, sweep: Sweep, seconds: float, store: Record | None
    ) -> Observation:
        """A sweep with the memory of a record, which it does not change."""
        rates = self.rates(target)
        if store is None:
            return Observation(sweep, State(sweep.scope), rates, seconds)
        state = store.load(sweep.scope)
        step = advance(state, sweep, rates, self.config.policy)
        return Observation(sweep, step.state if step else state, rates, seconds)

    def lines(self, observation: Observation) -> Iterator[Line]:
        """Everything that an observation showed."""
        return lines(observation.state, observation.sweep, observation.rates, self.config.policy)


def price_book(
    region: str, config: Config, *, ask: bool, log: logging.Logger | None = None
) -> PriceBook:
    """Prices of a region by the configuration."""
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


_DEFECT = "The sweep is retried. This is a defect of this package: please report it."
#: The remedies for an admin, if they differ from those for a user of an app.
_REMEDY = {
    ErrorKind.NO_CREDENTIALS: "Check the AWS credentials that this command runs with, and that the "
    "region is enabled for the account.",
    ErrorKind.OTHER: "The sweep is retried.",
}


def _failure(target: Target, error: AwsError) -> Failure:
    # If the sweep could not reach AWS, a question about the account will not either.
    in_vain = (ErrorKind.NO_CREDENTIALS, ErrorKind.TIMEOUT, ErrorKind.UNREACHABLE)
    scope = target.sweeper.scope(ask=error.kind not in in_vain)
    return Failure(
        scope, target.name, str(error).rstrip("."), _REMEDY.get(error.kind, error.remedy)
    )


def _account_id(account: Account) -> str:
    return account.role.arn.split(":")[4] if account.role else ""


def problems_of(observations: Iterable[Observation]) -> Iterator[str]:
    """The parts that the sweeps could not see, for people."""
    for observation in observations:
        for part, why in observation.sweep.unseen.items():
            where = " ".join(observation.sweep.scope).strip()
            yield f"{where}: the {part} are not known: {why}."
