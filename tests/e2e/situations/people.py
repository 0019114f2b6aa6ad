"""Lines of the table about people: in terminals, documents and web apps, and whether they are
there at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count, cycle
from typing import Any

from tests.e2e.conftest import until
from tests.localstudio.processes import free_port

from .table import CLASSIC, SMD_1, SMD_2, SMD_4, situation
from .world import LIMIT, Space

#: A program as people run it behind jupyter-server-proxy.
WEB_APP = """
import sys
from tornado import ioloop, web, websocket

class Page(web.RequestHandler):
    def get(self): self.write("here")
    def post(self): self.write("done")

class Socket(websocket.WebSocketHandler):
    def on_message(self, message): pass

web.Application([("/socket", Socket), ("/.*", Page)]).listen(int(sys.argv[1]), "127.0.0.1")
ioloop.IOLoop.current().start()
"""

#: Takes what it downloads slowly.
SLOW_BROWSER = """
import pathlib, sys, time, urllib.request
headers = {"Authorization": f"token {sys.argv[2]}"}
file = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers))
pathlib.Path("begun").touch()
while file.read(20_000):
    time.sleep(0.1)
"""
#: How people who log in over SSH are recognized.
LOGIN = {"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}
#: A terminal of an IDE's server, into which somebody types now and then.
IDE_TERMINAL = """
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("bash", ["bash", "--norc"])
while True:
    time.sleep(float(sys.argv[1]))
    os.write(terminal, b"true\\r")
    os.read(terminal, 10000)
"""


def notebook(*outputs: str, source: str = "train()") -> dict[str, Any]:
    cell = {
        "cell_type": "code",
        "id": "a",
        "source": source,
        "metadata": {},
        "execution_count": 1,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": each} for each in outputs],
    }
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return {"type": "notebook", "format": "json", "content": content}


def _saves(here: Space, path: str, document: Callable[[int], dict[str, Any]]) -> None:
    """A document is saved every few seconds, as JupyterLab does."""
    numbers = count()

    def save() -> None:
        here.request("PUT", f"api/contents/{path}", document(next(numbers)))

    here.again_and_again(save, 3)


def _web_app(here: Space) -> str:
    """A program behind the proxy; returns its address."""
    port = free_port()
    here.start(*here.python(WEB_APP, "app.py"), str(port))
    address = f"proxy/{port}"

    def answers() -> bool:
        try:
            here.get(f"{address}/")
        except Exception:
            return False
        return True

    until(answers, "the web app answers")
    return address


# -- terminals


@situation(
    "somebody who types into a terminal", in_use=True, in_sample=True, on=(SMD_1, SMD_2, SMD_4)
)
def _(here: Space) -> None:
    terminal = here.terminal()
    here.again_and_again(lambda: here.type(terminal, "true"), 4)


@situation(
    "a terminal that prints by itself", in_use=False, in_sample=True, on=(SMD_1, SMD_2, SMD_4)
)
def _(here: Space) -> None:
    here.type(here.terminal(), "while :; do date; sleep 1; done")


@situation("a tab that connects to its terminal again and again", in_use=False, on=(SMD_1,))
def _(here: Space) -> None:
    terminal = here.terminal()
    here.again_and_again(lambda: here.look_at(terminal), 2)


@situation("a terminal in which nothing was typed for long", in_use=False)
def _(here: Space) -> None:
    here.type(here.terminal(), "true")


@situation("an editor that was left open in a terminal", in_use=False)
def _(here: Space) -> None:
    here.type(here.terminal(), "vi notes.txt")


@situation("somebody who types into a terminal of a remote IDE", in_use=True)
def _(here: Space) -> None:
    here.start(*here.python(IDE_TERMINAL, "server-main.py"), "3", env=LOGIN)


@situation("a terminal of a remote IDE into which nobody types", in_use=False)
def _(here: Space) -> None:
    here.start(*here.python(IDE_TERMINAL, "server-main.py"), "100000", env=LOGIN)


@situation(
    "an open terminal where the admin says that it holds its app", in_use=True, keep_terminals=True
)
def _(here: Space) -> None:
    here.type(here.terminal(), "true")


# -- documents


@situation("somebody who saves files in a remote IDE", in_use=True)
def _(here: Space) -> None:
    copies = here.home / ".vscode-server" / "data" / "User" / "History" / "1a2b"
    copies.mkdir(parents=True)
    (copies / "entries.json").write_text('{"resource": "vscode-remote://x/train.py"}')
    numbers = count()
    here.again_and_again(lambda: (copies / f"{next(numbers)}.py").touch(), 3)


@situation("somebody who writes a text", in_use=True, in_sample=True, on=(SMD_1, SMD_4))
def _(here: Space) -> None:
    _saves(here, "notes.md", lambda n: {"type": "file", "format": "text", "content": f"line {n}"})


@situation(
    "a notebook that is saved since its outputs have changed",
    in_use=False,
    in_sample=True,
    on=(SMD_1,),
)
def _(here: Space) -> None:
    _saves(here, "a.ipynb", lambda n: notebook(*map(str, range(n))))


@situation("somebody who edits a notebook and runs nothing", in_use=True)
def _(here: Space) -> None:
    _saves(here, "a.ipynb", lambda n: notebook(source=f"x = {n}"))


@situation("somebody who uploads files", in_use=True, on=(SMD_2,))
def _(here: Space) -> None:
    numbers = count()

    def upload() -> None:
        document = {"type": "file", "format": "base64", "content": "AAAA"}
        here.request("PUT", f"api/contents/data-{next(numbers)}.bin", document)

    here.again_and_again(upload, 3)


@situation("somebody who opens files and only reads", in_use=True)
def _(here: Space) -> None:
    (here.home / "a.py").write_text("train()")
    waits = cycle((2.1, 5.5, 0.7, 3.4))

    def read() -> None:
        here.request("GET", "api/contents/a.py?type=file&content=1")
        time.sleep(next(waits))

    here.again_and_again(read, 0.1)


@situation("a long download in a browser", in_use=True)
def _(here: Space) -> None:
    size = 200_000_000
    with (here.home / "model.bin").open("wb") as file:
        file.truncate(size)
    browser = here.python(SLOW_BROWSER, "browser.py")
    begun = here.home / "begun"
    process = here.start(*browser, f"{here.launch.url}files/model.bin", here.launch.token)
    until(begun.exists, "the download has begun", 60)
    assert process.poll() is None


@situation("a program that saves the same again and again", in_use=False)
def _(here: Space) -> None:
    _saves(here, "notes.md", lambda n: {"type": "file", "format": "text", "content": "the same"})


@situation("a file browser that looks at a folder again and again", in_use=False)
def _(here: Space) -> None:
    here.again_and_again(lambda: here.request("GET", "api/contents"), 2)


# -- web apps behind jupyter-server-proxy


@situation("somebody who uses a web app over a websocket", in_use=True, in_sample=True)
def _(here: Space) -> None:
    send = here.socket(f"{_web_app(here)}/socket")
    sizes = count(40)
    here.again_and_again(lambda: send(b"x" * next(sizes)), 2)


@situation("somebody who works in a remote desktop", in_use=True)
def _(here: Space) -> None:
    send = here.socket(f"{_web_app(here)}/socket")
    waits = cycle((2.1, 5.5, 0.7, 3.4))

    def work() -> None:
        send(b"\x05\x01\x00\x10\x00\x20")  # a click
        send(b"\x04\x01\x00\x00\x00\x00\x00a")  # a key
        time.sleep(next(waits))

    here.again_and_again(work, 0.1)


@situation("a remote desktop at which nobody sits", in_use=False)
def _(here: Space) -> None:
    send = here.socket(f"{_web_app(here)}/socket")
    here.again_and_again(lambda: send(b"\x03\x01" + bytes(8)), 0.7)


@situation("a web app whose page only sends heartbeats", in_use=False)
def _(here: Space) -> None:
    send = here.socket(f"{_web_app(here)}/socket")
    here.again_and_again(lambda: send(b"x" * 13), 2)


@situation("a web app whose page reloads its data", in_use=False)
def _(here: Space) -> None:
    address = _web_app(here)
    here.again_and_again(lambda: here.post(f"{address}/data/scalars"), 3)


@situation("a web app whose page asks every second", in_use=False)
def _(here: Space) -> None:
    # As Dash does at an interval.
    address = _web_app(here)
    here.again_and_again(lambda: here.post(f"{address}/_dash-update-component"), 1)


@situation("a web app whose page reloads several things at once", in_use=False)
def _(here: Space) -> None:
    address = _web_app(here)

    def reload() -> None:
        for _ in range(3):
            here.post(f"{address}/timeseries")

    here.again_and_again(reload, 4)


@situation("somebody who uses a web app whose page asks every second", in_use=True)
def _(here: Space) -> None:
    address = _web_app(here)
    here.again_and_again(lambda: here.post(f"{address}/update"), 1)
    waits = cycle((3.1, 4.4, 2.3))

    def click() -> None:
        here.post(f"{address}/update")
        time.sleep(next(waits))

    here.again_and_again(click, 0.1)


@situation("a web app that nobody uses", in_use=False)
def _(here: Space) -> None:
    _web_app(here)


# -- whether anybody is there


@situation(
    "a tab that was closed, where that has a shorter limit",
    in_use=False,
    in_sample=True,
    on=(SMD_1, SMD_2, SMD_4, CLASSIC),
)
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "1")
    close = here.keep_open(f"api/kernels/{kernel}/channels")
    here.server.wait_for_checks()
    close()
    here.request("POST", "sagemaker-autoshutdown/api/page-closed")
    here.limit = {"idle_timeout": 3600, "closed_idle_timeout": LIMIT}


@situation(
    "a tab that is open, where a closed one has a shorter limit", in_use=True, on=(SMD_2, CLASSIC)
)
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "1")
    here.keep_open(f"api/kernels/{kernel}/channels")
    here.limit = {"idle_timeout": 3600, "closed_idle_timeout": LIMIT}


@situation("nobody has connected yet, where a closed tab has a shorter limit", in_use=True)
def _(here: Space) -> None:
    here.limit = {"idle_timeout": 3600, "closed_idle_timeout": LIMIT}


@situation("a tab that was closed while a cell runs", in_use=True)
def _(here: Space) -> None:
    kernel = here.kernel()
    close = here.keep_open(f"api/kernels/{kernel}/channels")
    here.run(kernel, "import time; time.sleep(1000)", wait=False)
    here.server.wait_for_checks()
    close()
    here.request("POST", "sagemaker-autoshutdown/api/page-closed")
    here.limit = {"idle_timeout": 3600, "closed_idle_timeout": LIMIT}
