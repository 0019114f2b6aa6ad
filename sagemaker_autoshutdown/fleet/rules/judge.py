"""The rules' verdicts on every run in a sweep. Pure.

The first rule whose ``which`` fits applies to an app; its ``when`` says when the app is due. If a
fact is missing, the verdict is *unknown*, which changes nothing. ``LastUserActivityTimestamp`` is
not used: health checks change it.

Always left alone, whatever the rules say: resources that are not billed by the hour; an app whose
extension reports and that is not past its own deadline by ``OVERDUE``; apps that are starting or
being deleted; and, unless a rule names the type in full, a domain's RStudioServerPro and apps of a
type that is new to this package: nobody knows what depends on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ...clock import to_iso
from ...text import span
from ..acting.model import EXCEPTION_TAG, Answer, Grade, Hold, Phase, RunId, Verdict
from ..acting.steps import GOING, exception_of
from ..coverage import report_key
from ..model import (
    APP_TYPES,
    CANVAS,
    JUPYTER_SERVER,
    RSTUDIO_SERVER,
    SPACE,
    TAGS,
    VOLUME,
    Coverage,
    Run,
    State,
    Sweep,
)
from ..view import Line, tags_of
from .model import OVERDUE, Facts, Reported, Rule, Rules, When, matches

#: How long CloudWatch's facts about a session of Canvas are used.
_CANVAS_FRESH = timedelta(minutes=20)
#: Types that a rule need not name.
_FOR_ANY_RULE = frozenset(APP_TYPES) - {RSTUDIO_SERVER}
_WORST_LAST = (Grade.SEEN, Grade.REPORTED, Grade.GUESSED)


@dataclass(frozen=True)
class _Met:
    """A condition. ``holds`` is None if that can't be known."""

    holds: bool | None
    grade: Grade = Grade.SEEN
    why: str = ""
    evidence: tuple[tuple[str, str], ...] = ()


_NOT = _Met(False)
_UNKNOWN = _Met(None)


def verdicts(
    found: Iterable[Line],
    state: State,
    sweep: Sweep,
    rules: Rules,
    facts: Facts,
    holds: Mapping[RunId, Hold],
) -> Iterator[Verdict]:
    """The verdicts that are due or unknown. ``state`` is the one after the sweep."""
    judge = _Judge(state, sweep, rules, facts, holds)
    for line in found:
        verdict = judge.verdict(line)
        if verdict is not None and verdict.answer is not Answer.NOT_DUE:
            yield verdict


class _Judge:
    def __init__(
        self,
        state: State,
        sweep: Sweep,
        rules: Rules,
        facts: Facts,
        holds: Mapping[RunId, Hold],
    ) -> None:
        self._state, self._sweep, self._rules = state, sweep, rules
        self._facts, self._holds = facts, holds
        self._now = sweep.at

    def verdict(self, line: Line) -> Verdict | None:
        """None for a run that no rule can be about."""
        resource, key = line.resource, line.resource.key
        run = self._state.runs.get(key)
        if run is None or key.app_type == VOLUME:
            return None
        if key.app_type == JUPYTER_SERVER or line.rate.nano_usd_per_hour == 0:
            return None
        run_id = RunId(self._sweep.scope, key, run.up_since)
        if resource.status in GOING and run_id in self._holds:
            # Not spared: it may be going because of the hold. Its end is recorded once it is gone.
            return self._unknown(run_id, run)
        if resource.status != "InService":
            return None
        rule = self._rule(line)
        if rule is None:
            return self._unknown(run_id, run)
        if not rule.when:
            return None
        if self._is_unheard(line):
            return self._unknown(run_id, run)
        reported = self._reported(line)
        if line.coverage is Coverage.REPORTS and not self._is_overdue(reported):
            return None
        hold = self._holds.get(run_id)
        met = self._any(rule, line, run, reported, hold)
        if met.holds is None:
            return self._unknown(run_id, run)
        if not met.holds:
            return None
        return Verdict(
            run_id,
            Answer.DUE,
            self._now,
            run.changed_at,
            rule.name,
            met.grade,
            met.why + self._unread(line),
            dict(met.evidence),
            self._rules.warning if rule.warning is None else rule.warning,
            rule.acts and met.grade in self._rules.grades,
            self._kept_until(line, reported),
            line.owner,
            line.nano_usd_per_hour,
            line.space.profile if line.space else "",
        )

    def _unknown(self, run_id: RunId, run: Run) -> Verdict:
        return Verdict(run_id, Answer.UNKNOWN, self._now, run.changed_at)

    def _rule(self, line: Line) -> Rule | None:
        """The first rule that fits; one that is never due if none does; None if the first one
        can't be known."""
        for rule in self._rules.rules:
            if not self._fits(rule, line):
                continue
            if rule.which.tags:
                if TAGS in self._sweep.unseen:
                    return None
                tags = tags_of(self._sweep, line.resource)
                if not all(
                    key in tags and matches(patterns, tags[key])
                    for key, patterns in rule.which.tags.items()
                ):
                    continue
            return rule
        return Rule("")

    def _fits(self, rule: Rule, line: Line) -> bool:
        """All conditions except tags."""
        which, key = rule.which, line.resource.key
        if key.app_type not in _FOR_ANY_RULE and key.app_type not in which.app_type:
            return False
        in_space = key.owner_kind == SPACE
        if which.space and not (in_space and matches(which.space, key.owner)):
            return False
        coverage = line.coverage.value if line.coverage else ""
        return (
            matches(which.domain, key.domain)
            and matches(which.owner, line.owner)
            and matches(which.app_type, key.app_type)
            and matches(which.instance_type, line.resource.instance_type)
            and matches(which.coverage, coverage)
        )

    # -- what the extension says

    def _is_unheard(self, line: Line) -> bool:
        """Whether it may be reporting, and nobody can tell."""
        if not self._facts.expects_reports or report_key(line.resource.key) is None:
            return False
        return not self._sweep.knows_who_reports or self._facts.reported is None

    def _reported(self, line: Line) -> Reported | None:
        name = report_key(line.resource.key)
        if name is None or self._facts.reported is None:
            return None
        key = line.resource.key
        return self._facts.reported.get((name, key.app_type, key.name))

    def _is_overdue(self, reported: Reported | None) -> bool:
        # A missing deadline may come within minutes; idle time is always there.
        if reported is None or reported.deadline is None or not reported.idle:
            return False
        return self._now - reported.deadline >= OVERDUE

    def _kept_until(self, line: Line, reported: Reported | None) -> datetime | None:
        tag = tags_of(self._sweep, line.resource).get(EXCEPTION_TAG)
        ends = [exception_of(tag), reported.kept_until if reported else None]
        return max((end for end in ends if end is not None), default=None)

    def _unread(self, line: Line) -> str:
        """For somebody who believes that a tag is an exception. On notebook instances the tag has
        other values, too, which let them stop themselves."""
        tag = tags_of(self._sweep, line.resource).get(EXCEPTION_TAG, "")
        if exception_of(tag) is not None or not re.search("keep|until", tag, re.IGNORECASE):
            return ""
        form = f"keep-until:{self._now:%Y-%m-%d}"
        return f" (the tag {EXCEPTION_TAG} can't be read; write it as {form})"

    # -- conditions

    def _any(
        self, rule: Rule, line: Line, run: Run, reported: Reported | None, hold: Hold | None
    ) -> _Met:
        found = [self._all(part, rule, line, run, reported, hold) for part in rule.when]
        true = next((met for met in found if met.holds), None)
        if true is not None:
            return true
        return _UNKNOWN if any(met.holds is None for met in found) else _NOT

    def _all(
        self,
        part: When,
        rule: Rule,
        line: Line,
        run: Run,
        reported: Reported | None,
        hold: Hold | None,
    ) -> _Met:
        found = []
        if part.idle_for is not None:
            found.append(self._idle(part.idle_for, line, run, reported))
        if part.silent_for is not None:
            found.append(self._silent(part.silent_for, line, run))
        if part.up_for is not None:
            found.append(self._up(part.up_for, _since(run, hold)))
        if part.off_hours is not None:
            found.append(self._off(part, rule, run, hold))
        if any(met.holds is False for met in found):
            return _NOT
        if not found or any(met.holds is None for met in found):
            return _UNKNOWN
        return _Met(
            True,
            # As weak as its weakest part.
            max((met.grade for met in found), key=_WORST_LAST.index),
            " and ".join(met.why for met in found),
            tuple(pair for met in found for pair in met.evidence),
        )

    def _idle(self, least: timedelta, line: Line, run: Run, reported: Reported | None) -> _Met:
        key = line.resource.key
        if key.app_type == CANVAS:
            if self._facts.canvas is None:
                return _UNKNOWN
            measured = self._facts.canvas.get(key)
            if measured is None or self._now - measured.at > _CANVAS_FRESH:
                return _UNKNOWN
            # A measurement from before this run began belongs to the earlier run.
            if measured.idle < least or measured.at < run.up_since:
                return _NOT
            return _Met(
                True,
                Grade.REPORTED,
                f"idle for {_span(measured.idle)}",
                (
                    ("TimeSinceLastActive", f"{measured.idle.total_seconds():g} s"),
                    ("measured_at", to_iso(measured.at)),
                ),
            )
        # An extension that reports, and did not shut the app down in time.
        if reported is None or reported.idle is None or not self._is_overdue(reported):
            return _NOT
        if line.coverage is not Coverage.REPORTS or reported.idle < least:
            return _NOT
        deadline = reported.deadline
        return _Met(
            True,
            Grade.REPORTED,
            f"idle for {_span(reported.idle)} and past its own deadline",
            (
                ("idle_seconds", f"{reported.idle.total_seconds():g}"),
                ("deadline", to_iso(deadline) if deadline else ""),
            ),
        )

    def _silent(self, least: timedelta, line: Line, run: Run) -> _Met:
        if report_key(line.resource.key) is None:
            return _NOT
        if not self._sweep.knows_who_reports:
            return _UNKNOWN
        if line.heard_at is None:
            return _NOT  # it never reported, so it can't have fallen silent
        silent = self._now - max(line.heard_at, run.up_since)
        if silent < least:
            return _NOT
        evidence = (("last_report_at", to_iso(line.heard_at)),)
        return _Met(True, Grade.GUESSED, f"silent for {_span(silent)}", evidence)

    def _up(self, least: timedelta, since: datetime) -> _Met:
        up = self._now - since
        if up < least:
            return _NOT
        evidence = (("up_since", to_iso(since)),)
        return _Met(True, Grade.SEEN, f"up for {_span(up)}", evidence)

    def _off(self, part: When, rule: Rule, run: Run, hold: Hold | None) -> _Met:
        hours = part.off_hours
        if hours is None:
            return _UNKNOWN
        began = hours.began(self._now)
        chosen = self._chosen_at(rule, hold)
        # A run that was marked or kept within the hour may be shut down after it.
        if began is None and chosen is not None:
            began = hours.began(chosen)
        if began is None or _since(run, hold) >= began or hours.is_on_since(began, self._now):
            return _NOT
        evidence = (("off_hours", hours.text), ("off_since", to_iso(began)))
        return _Met(True, Grade.SEEN, "outside hours", evidence)

    def _chosen_at(self, rule: Rule, hold: Hold | None) -> datetime | None:
        if hold is None or not hold.is_open or hold.phase is Phase.NOTED or hold.rule != rule.name:
            return None
        return hold.kept_since or hold.marked_at or hold.changed_at


def _since(run: Run, hold: Hold | None) -> datetime:
    """Since when it is up for sure. What is up after an accepted deletion was most likely started
    again between two sweeps, with the CreationTime that it had."""
    is_done = hold is not None and hold.phase is Phase.DONE
    return max(run.up_since, hold.changed_at) if hold is not None and is_done else run.up_since


def _span(duration: timedelta) -> str:
    return span(duration.total_seconds())
