"""The address of each owner's gateway, and the token that opens it.

This module owns only the URLs and tokens, so that `runtime` can pass them to a Jupyter server and
`gateway` can check them.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from tornado import web

from .servers import Connections
from .state import Owner


@dataclass(frozen=True)
class Door:
    """The gateway of one owner. ``id`` is part of its URL, ``token`` opens it."""

    id: str
    token: str
    domain_id: str
    owner: Owner


class Doors:
    """The doors of all owners, each created when it is first asked for."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self._doors: dict[str, Door] = {}

    def connections(self, domain_id: str, owner: Owner) -> Connections:
        """The settings for a Jupyter server of that owner."""
        door = self.door(domain_id, owner)
        return Connections(self.endpoint_url, f"{self.endpoint_url}/gateway/{door.id}", door.token)

    def door(self, domain_id: str, owner: Owner) -> Door:
        """The owner's door."""
        for door in self._doors.values():
            if (door.domain_id, door.owner) == (domain_id, owner):
                return door
        # Lower case: jupyter_server's gateway client derives its websocket URL in lower case.
        door = Door(secrets.token_hex(8), secrets.token_urlsafe(24), domain_id, owner)
        self._doors[door.id] = door
        return door

    def find(self, door_id: str, authorization: str | None) -> Door:
        """The door behind a URL, for a caller with its token."""
        door = self._doors.get(door_id)
        if door is None:
            raise web.HTTPError(404, reason="No such gateway")
        _, _, token = (authorization or "").partition(" ")
        if not hmac.compare_digest(token.encode(), door.token.encode()):
            raise web.HTTPError(401, reason="The gateway's token is missing or wrong")
        return door
