"""The state between sweeps: a DynamoDB table for the valid state, and S3 for long bodies.

For each scope the table has one item with the last sweep and the *book* (``pack.py``: running apps,
the costs of today, the totals), and one for each day that is over. A body of more than ``INLINE``
bytes is an object in S3 that the item names. Objects never change: a step writes new ones, then one
conditional write of the scope's item makes all of them valid, or none. The loser deletes the
objects that it wrote; the winner deletes the ones that it replaced.

Why S3: with 100,000 apps a book is about 7 MB. DynamoDB accepts 400 KB an item and costs 625
dollars for a billion written kilobytes, so 7 MB every four minutes would cost 49 USD a month. S3
costs 5 dollars for a million objects, which is 5 cents a month. The costs of each owner change with
every sweep, so writing only the changes would not be less. Up to 8 KB (some hundred apps) an item
is cheaper.

Days that are over need no condition of their own: they are written in the same transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from ...aws import Aws, AwsError, ErrorKind
from ..advance import Charge, ChargeKey, Step
from ..model import Scope, State
from ..record import Cost, StoreError, Total
from ..store import DAYS_KEPT
from .pack import (
    Book,
    Charges,
    Payer,
    add,
    day_keys,
    pack_book,
    pack_charges,
    unpack_book,
    unpack_charges,
)

#: Bytes up to which a body is stored in its item: there a kilobyte costs an eighth of an object.
INLINE = 8 * 1024
#: The most items in one transaction beside the scope's own; DynamoDB accepts 100.
MOST_DAYS = 90
PREFIX = "record/"
#: Attempts to read a body whose object was replaced meanwhile.
_READS = 5
_BOOK, _DAY, _FAILED = "book", "day/", "failed"


class Table:
    """The record of a fleet, in the table and the bucket of a stack. Blocks."""

    def __init__(self, aws: Aws, table: str, bucket: str) -> None:
        self._aws = aws
        self._table = table
        self._bucket = bucket
        #: The scope that was read last, so that a step need not read it again.
        self._book: Book | None = None
        self._item: Mapping[str, Any] = {}

    # -- the state

    def load(self, scope: Scope) -> State:
        """The memory of a scope; empty for a new one. Raises :class:`StoreError`."""
        return self._load(scope).state

    def last_sweep(self, scope: Scope) -> str:
        """The last sweep of the scope; empty for a new one. Cheaper than the whole state."""
        item = self._read(scope, _BOOK, projection="sweep")
        return _text(item, "sweep")

    def _load(self, scope: Scope) -> Book:
        for _ in range(_READS):
            item = self._read(scope, _BOOK)
            if not item:
                self._book, self._item = Book(State(scope)), {}
                return self._book
            if (
                self._book is not None
                and self._book.state.scope == scope
                and self._book.state.sweep_id == _text(item, "sweep")
            ):
                self._item = item
                return self._book
            body = self._body(item)
            if body is not None:
                self._book, self._item = unpack_book(scope, body), item
                return self._book
        raise StoreError(f"The record of {'/'.join(scope)} changes faster than it can be read.")

    def apply(self, step: Step, before: str) -> bool:
        """Stores a step that was made from the state after the sweep ``before``. Returns False,
        without a change, if the scope is at another sweep by now. Raises :class:`StoreError`.

        A lost answer does no harm: the write carries a name, by which it is found again.
        """
        scope = step.state.scope
        sweep_id = step.state.sweep_id
        book = self._load(scope)
        if book.state.sweep_id != before or (before and sweep_id <= before):
            return False
        following, over = book.turn(step)
        written: list[str] = []
        replaced = [_text(self._item, "object")]
        token = uuid.uuid4().hex
        name = f"{'/'.join(scope)}/{sweep_id}-{token}"
        try:
            puts = [self._put_book(following, before, token, f"{name}-book", written)]
            for day, charges in sorted(_spread(over, book.day).items()):
                item = self._read(scope, _DAY + day)
                replaced.append(_text(item, "object"))
                known = self._charges(item) if item and day != book.day else {}
                puts.append(
                    self._put_day(scope, day, add(known, charges), f"{name}-{day}", written)
                )
            stored = self._write(puts) or self._is_mine(scope, token)
        except AwsError as error:
            # It is not known whether it was written, so uploaded objects stay until that is known.
            raise StoreError(f"The record can't be written: {error}.") from None
        for key in replaced if stored else written:
            self._forget(key)
        if stored:
            self._book, self._item = following, puts[0]["Item"]
        return stored

    def _put_book(
        self, book: Book, before: str, token: str, name: str, written: list[str]
    ) -> dict[str, Any]:
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": {
                **_key(book.state.scope, _BOOK),
                "sweep": {"S": book.state.sweep_id},
                "token": {"S": token},
                "day": {"S": book.day},
                **self._place(pack_book(book), name, written),
            },
        }
        if not before:
            return {**put, "ConditionExpression": "attribute_not_exists(sweep)"}
        return {
            **put,
            "ConditionExpression": "sweep = :before AND sweep < :new",
            "ExpressionAttributeValues": {
                ":before": {"S": before},
                ":new": {"S": book.state.sweep_id},
            },
        }

    def _put_day(
        self, scope: Scope, day: str, charges: Charges, name: str, written: list[str]
    ) -> dict[str, Any]:
        end = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone.utc) + DAYS_KEPT
        return {
            "TableName": self._table,
            "Item": {
                **_key(scope, _DAY + day),
                "expires": {"N": str(int((end + timedelta(days=1)).timestamp()))},
                **self._place(pack_charges(charges), name, written),
            },
        }

    def _place(self, body: bytes, name: str, written: list[str]) -> dict[str, Any]:
        """The attributes of a body: the body itself if it is short, else its place."""
        if len(body) <= INLINE:
            return {"body": {"B": body}}
        key = PREFIX + name
        # Noted first: an upload whose answer is lost may exist.
        written.append(key)
        self._call("s3", "PutObject", {"Bucket": self._bucket, "Key": key, "Body": body})
        return {"object": {"S": key}, "bytes": {"N": str(len(body))}}

    def _write(self, puts: list[dict[str, Any]]) -> bool:
        """Returns whether all were written; none is if a condition does not hold."""
        try:
            if len(puts) == 1:
                self._call("dynamodb", "PutItem", puts[0])
            else:
                items = [{"Put": put} for put in puts]
                self._call("dynamodb", "TransactWriteItems", {"TransactItems": items})
        except AwsError as error:
            if is_conflict(error):
                return False
            raise
        return True

    def _is_mine(self, scope: Scope, token: str) -> bool:
        """Whether the condition failed for this writer's own earlier write: botocore resends a
        request without an answer."""
        return _text(self._read(scope, _BOOK, projection="token"), "token") == token

    # -- reading

    def totals(self) -> Iterator[Total]:
        """The costs since records began. They never fall."""
        for scope in self.scopes():
            yield from self.totals_of(scope)

    def totals_of(self, scope: Scope) -> Iterator[Total]:
        """Those of one scope."""
        for payer, nano in self._load(scope).totals.items():
            yield Total(scope, *payer, nano)

    def costs(self, start: str, end: str) -> Iterator[Cost]:
        """The costs of the days (UTC, as ``2026-09-01``) from the first to before the last."""
        for scope in self.scopes():
            values = {":scope": {"S": _partition(scope)}, ":from": {"S": _DAY + start}}
            values[":to"] = {"S": _DAY + end}
            found = self._query("#scope = :scope AND #item BETWEEN :from AND :to", values)
            for item in found:
                day = _text(item, "item")[len(_DAY) :]
                if day < end:
                    yield from _costs(scope, day_keys(day, self._charges(item)))
            book = self._load(scope)
            if start <= book.day < end:
                yield from _costs(scope, day_keys(book.day, book.charges))

    def scopes(self) -> list[Scope]:
        """Every scope with a record: a scan, for people who wait, not for sweeps."""
        found = set()
        for item in self._pages(
            "Scan",
            {
                "TableName": self._table,
                "FilterExpression": "#item = :book",
                "ExpressionAttributeNames": {"#item": "item", "#scope": "scope"},
                "ExpressionAttributeValues": {":book": {"S": _BOOK}},
                "ProjectionExpression": "#scope",
            },
        ):
            account_id, _, region = _text(item, "scope").partition("/")
            found.add(Scope(account_id, region))
        return sorted(found)

    # -- sweeps that failed

    def count_failed(self, scope: Scope) -> None:
        """Counts a failed sweep."""
        self._call(
            "dynamodb",
            "UpdateItem",
            {
                "TableName": self._table,
                "Key": _key(scope, _FAILED),
                "UpdateExpression": "ADD sweeps :one",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            },
        )

    def sweeps(self, scope: Scope) -> tuple[int, int]:
        """How many sweeps were stored, and how many failed."""
        failed = self._read(scope, _FAILED).get("sweeps", {}).get("N", "0")
        return self._load(scope).sweeps, int(failed)

    # -- the edge

    def _charges(self, item: Mapping[str, Any]) -> dict[Payer, Charge]:
        body = self._body(item)
        for _ in range(_READS):
            if body is not None:
                return unpack_charges(body)
            account_id, _, region = _text(item, "scope").partition("/")
            item = self._read(Scope(account_id, region), _text(item, "item"))
            body = self._body(item)
        raise StoreError("A day of the record changes faster than it can be read.")

    def _body(self, item: Mapping[str, Any]) -> bytes | None:
        """A body; None if the item has been replaced since it was read."""
        if "body" in item:
            return bytes(item["body"]["B"])
        wanted = {"Bucket": self._bucket, "Key": _text(item, "object")}
        try:
            answer = self._aws.call_blocking("s3", "GetObject", wanted)
            return bytes(answer["Body"].read())
        except AwsError as error:
            if error.code == "NoSuchKey":
                return None
            raise StoreError(f"The record can't be read: {error}.") from None
        except Exception as error:  # the body's connection broke
            raise StoreError(f"The record can't be read: {type(error).__name__}.") from None

    def _read(self, scope: Scope, item: str, projection: str = "") -> Mapping[str, Any]:
        """The present item; empty if there is none."""
        wanted: dict[str, Any] = {
            "TableName": self._table,
            "Key": _key(scope, item),
            "ConsistentRead": True,
        }
        if projection:
            wanted["ProjectionExpression"] = "#it"
            wanted["ExpressionAttributeNames"] = {"#it": projection}
        try:
            found: Mapping[str, Any] = self._call("dynamodb", "GetItem", wanted).get("Item") or {}
        except AwsError as error:
            raise StoreError(f"The record can't be read: {error}.") from None
        return found

    def _query(self, condition: str, values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        return self._pages(
            "Query",
            {
                "TableName": self._table,
                "KeyConditionExpression": condition,
                "ExpressionAttributeNames": {"#scope": "scope", "#item": "item"},
                "ExpressionAttributeValues": values,
                "ConsistentRead": True,
            },
        )

    def _pages(self, operation: str, wanted: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        following: dict[str, Any] = {}
        while True:
            try:
                answer = self._call("dynamodb", operation, {**wanted, **following})
            except AwsError as error:
                raise StoreError(f"The record can't be read: {error}.") from None
            yield from answer.get("Items") or ()
            if not answer.get("LastEvaluatedKey"):
                return
            following = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _forget(self, key: str) -> None:
        """Deletes an object that nothing names any more. If that fails, it costs a fraction of a
        cent: the bucket's lifecycle rules can't tell it from a valid one."""
        if key:
            try:
                self._call("s3", "DeleteObject", {"Bucket": self._bucket, "Key": key})
            except AwsError as error:
                if error.kind is ErrorKind.NO_CREDENTIALS:
                    raise

    def _call(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._aws.call_blocking(service, operation, parameters)


def is_conflict(error: AwsError) -> bool:
    """Whether the condition of a write did not hold."""
    return error.code in ("ConditionalCheckFailedException", "TransactionConflictException") or (
        error.code == "TransactionCanceledException"
        and ("ConditionalCheckFailed" in error.message or "TransactionConflict" in error.message)
    )


def _spread(over: Mapping[str, Charges], whole: str) -> dict[str, Charges]:
    """Days that are over, as many as one transaction takes. If sweeps were further apart than
    that, the costs of earlier days are booked on the first of these. The day ``whole`` holds all
    of its costs, not only the new ones, and stays."""
    days = sorted(day for day in over if day != whole)
    kept: dict[str, Charges] = {day: over[day] for day in days[-MOST_DAYS:]}
    for day in days[:-MOST_DAYS]:
        first = days[-MOST_DAYS]
        kept[first] = add(kept[first], over[day])
    if whole in over:
        kept[whole] = over[whole]
    return kept


def _costs(scope: Scope, found: Iterable[tuple[ChargeKey, Charge]]) -> Iterator[Cost]:
    for key, charge in found:
        yield Cost(scope, key, charge)


def _partition(scope: Scope) -> str:
    return f"{scope.account_id}/{scope.region}"


def _key(scope: Scope, item: str) -> dict[str, Any]:
    return {"scope": {"S": _partition(scope)}, "item": {"S": item}}


def _text(item: Mapping[str, Any], name: str) -> str:
    return str(item.get(name, {}).get("S", ""))
