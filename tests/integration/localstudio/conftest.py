"""A local Studio without processes: the API is tested on an account set by hand."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.localstudio import user
from tests.localstudio.testing import QUICK, BlockingStudio, running_studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[BlockingStudio]:
    """A studio with a domain and the user profile ``ada``."""
    with running_studio(tmp_path, timing=replace(QUICK, pending=0, deleting=0)) as studio:
        studio.create_domain()
        studio.create_owner(user("ada"))
        yield studio


def http_request(
    url: str, method: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, Any]:
    """Status and JSON that a plain HTTP client gets."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=90)
    try:
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    is_json = "json" in (answer.getheader("Content-Type") or "")
    return answer.status, json.loads(content) if is_json and content else None
