"""Lines of the table about programs: jobs in the background, monitors, services, downloads."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

from tests.e2e.conftest import until
from tests.localstudio.processes import free_port

from .table import SMD_1, SMD_2, SMD_4, situation
from .world import LackingError, Space

BURN = "while True: pass"
#: Takes keys, and waits for them as vim does.
EDITOR = """
import select, sys, tty
tty.setraw(0)
open('begun', 'w').close()
select.select([sys.stdin], [], [])
"""
#: Writes 1 MB a second and rests in between, as a download does.
DOWNLOAD = """
import time
with open("download.part", "wb") as file:
    while True:
        file.seek(0)
        file.write(b"x" * 200_000)
        file.flush()
        time.sleep(0.2)
"""

#: Serves ever more, so many bytes five times a second.
SLOW_BUCKET = """
import http.server, sys, time
class Bucket(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * int(sys.argv[2]))
            time.sleep(0.2)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Bucket).serve_forever()
"""
#: Accepts connections, and never answers.
HUNG_BUCKET = """
import socket, sys
bucket = socket.create_server(("127.0.0.1", int(sys.argv[1])))
open("begun", "w").close()
accepted = []
while True: accepted.append(bucket.accept())
"""
#: Answers an sftp client until that has its prompt: its version, and where it is.
SFTP_SERVER = """
import sys
from struct import pack, unpack
asks, answers = sys.stdin.buffer, sys.stdout.buffer
while length := asks.read(4):
    asked = asks.read(*unpack(">I", length))
    is_first = asked[0] == 1
    place = pack(">IIcIcI", 1, 1, b"/", 1, b"/", 0)
    answer = pack(">BI", 2, 3) if is_first else b"h" + asked[1:5] + place
    answers.write(pack(">I", len(answer)) + answer)
    answers.flush()
    if not is_first: open("begun", "w").close()
"""
#: Waits as for a disk: its child holds it up until it has opened a pipe that nobody writes to.
SLOW_DISK = """
import os
os.mkfifo("pipe")
opens = (os.POSIX_SPAWN_OPEN, 0, "pipe", os.O_RDONLY, 0)
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[opens])
"""
#: Takes what a bucket gives, and writes nothing.
STREAM = """
import sys, urllib.request
bucket = urllib.request.urlopen(sys.argv[1])
while bucket.read(10_000): pass
"""
#: Leaves its parent, its session and its terminal.
DAEMON = f"""
import os
for _ in range(2):
    if os.fork(): os._exit(0)
    os.setsid()
open("begun", "w").close()
{BURN}
"""
#: Shows its progress in its title, which takes the place of its arguments and its environment.
TITLED = f"""
values = open("/proc/self/stat").read().rpartition(")")[2].split()
first, last, end = (int(values[n]) for n in (45, 46, 48))
title = b"train: epoch 1 " + b"." * (last - first) + b" loss=0.1"
with open("/proc/self/mem", "r+b") as memory:
    memory.seek(first)
    memory.write(title.ljust(end - first, bytes(1)))
open("begun", "w").close()
{BURN}
"""
POOL = (
    "from concurrent.futures import ProcessPoolExecutor; import multiprocessing; "
    "pool = ProcessPoolExecutor(2, multiprocessing.get_context('fork'))"
)
#: Workers that use a few per cent of a CPU each, as in a cluster.
FEW_PERCENT = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        while True:
            began, used = time.monotonic(), time.process_time()
            while time.process_time() - used < 0.03: pass
            time.sleep(max(0.0, 1.0 - time.monotonic() + began))
time.sleep(1000)
"""


def _line(command: list[str]) -> str:
    return " ".join(command)


def _begun(here: Space, name: str) -> None:
    until((here.home / name).exists, f"{name} has begun")


@situation("a program that replaced its shell", in_use=True, in_sample=True, on=(SMD_1,))
def _(here: Space) -> None:
    here.type(here.terminal(), f"exec {_line(here.python(BURN, 'train.py'))}")


@situation("a job in the background of a terminal", in_use=True)
def _(here: Space) -> None:
    here.type(here.terminal(), f"{_line(here.python(BURN, 'train.py'))} &")


@situation("a job that was started with nohup, its tab closed", in_use=True, on=(SMD_2,))
def _(here: Space) -> None:
    terminal = here.terminal()
    job = _line(here.python(f"open('begun', 'w').close()\n{BURN}", "train.py"))
    here.type(terminal, f"nohup {job} > /dev/null 2>&1 &")
    _begun(here, "begun")
    here.request("DELETE", f"api/terminals/{terminal}")


@situation("a job in tmux, its tab closed", in_use=True)
def _(here: Space) -> None:
    terminal = here.terminal()
    job = _line(here.python(f"open('begun', 'w').close()\n{BURN}", "train.py"))
    here.type(terminal, f"tmux -L {here.home.name}-{id(here)} new-session -d '{job}'")
    _begun(here, "begun")
    here.request("DELETE", f"api/terminals/{terminal}")


@situation("a download that hardly uses the CPU", in_use=True, in_sample=True)
def _(here: Space) -> None:
    here.type(here.terminal(), f"{_line(here.python(DOWNLOAD, 'fetch.py'))} &")


def _bucket(here: Space, bytes_per_second: int) -> str:
    """A place from which data comes slowly; gives its address."""
    port = free_port()
    here.start(*here.python(SLOW_BUCKET, "bucket.py"), str(port), str(bytes_per_second // 5))
    until(lambda: _answers(port), "the bucket answers", 60)
    return f"http://127.0.0.1:{port}/"


def _answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@situation("a slow download by curl", in_use=True)
def _(here: Space) -> None:
    here.type(here.terminal(), f"curl -s -o model.bin {_bucket(here, 20_000)} &")


@situation("a clone by git over a slow line", in_use=True)
def _(here: Space) -> None:
    if shutil.which("git") is None:
        raise LackingError("git")
    here.type(here.terminal(), f"git clone {_bucket(here, 20_000)} repo &")


@situation("a page that fetches from a slow remote by git, again and again", in_use=False)
def _(here: Space) -> None:
    # As JupyterLab-git's.
    git = _line(here.python("import time; time.sleep(4)", "git"))
    loop = f"while true; do {git} fetch --all --prune; sleep 1; done"
    here.type(here.terminal(), f"({loop}) &")


@situation("a language server at work though nobody types", in_use=False)
def _(here: Space) -> None:
    here.type(here.terminal(), f"{_line(here.python(BURN, 'pylsp'))} &")


@situation("a reloader that looks at all files several times a second", in_use=False)
def _(here: Space) -> None:
    here.type(here.terminal(), f"{_line(here.python(BURN, 'uvicorn'))} main:app --reload &")


@situation("an installation by npm over a slow line", in_use=True)
def _(here: Space) -> None:
    if shutil.which("npm") is None:
        raise LackingError("npm")
    here.type(here.terminal(), f"npm install --registry {_bucket(here, 20_000)} lodash &")


@situation("a download by a program whose services never count", in_use=True)
def _(here: Space) -> None:
    mlflow = _line(here.python(STREAM, "mlflow"))
    here.type(here.terminal(), f"{mlflow} {_bucket(here, 500_000)} artifacts download &")


@situation("a training that streams its data and writes nothing", in_use=True)
def _(here: Space) -> None:
    train = here.python(STREAM, "train.py")
    here.type(here.terminal(), f"{_line(train)} {_bucket(here, 500_000)} &")


@situation("a connection over which hardly anything comes", in_use=False)
def _(here: Space) -> None:
    tunnel = here.python(STREAM, "tunnel.py")
    here.type(here.terminal(), f"{_line(tunnel)} {_bucket(here, 500)} &")


@situation("a stream below the admin's number", in_use=False, work_bytes_per_second=10_000_000)
def _(here: Space) -> None:
    player = here.python(STREAM, "player.py")
    here.type(here.terminal(), f"{_line(player)} {_bucket(here, 500_000)} &")


@situation("a loop that asks a bucket in passing", in_use=False)
def _(here: Space) -> None:
    aws = here.home / "aws"
    aws.write_text("#!/bin/sh\nsleep 0.5\n")
    aws.chmod(0o755)
    here.type(here.terminal(), "while :; do ./aws s3 ls; sleep 1; done")


@situation("a copy that waits for a password", in_use=False)
def _(here: Space) -> None:
    here.type(here.terminal(), _line(here.python("import getpass; getpass.getpass()", "scp")))


@situation("a copy that asks whether to go on", in_use=False)
def _(here: Space) -> None:
    # As scp does of its ssh, which asks the terminal.
    ask = here.python("open('/dev/tty', 'rb', buffering=0).read(1)", "ssh")
    copy = here.python(f"import subprocess; subprocess.run({ask!r})", "scp")
    here.type(here.terminal(), _line(copy))


@situation("a pull that asks for a message in an editor", in_use=False)
def _(here: Space) -> None:
    editor = here.python(EDITOR, "vim")
    pull = here.python(f"import subprocess; subprocess.run({editor!r})", "git")
    here.type(here.terminal(), f"{_line(pull)} pull")
    _begun(here, "begun")


@situation("a list of a bucket that was left open in a pager", in_use=False)
def _(here: Space) -> None:
    aws = _line(here.python("while True: print('a line')", "aws"))
    here.type(here.terminal(), f"{aws} s3 ls --recursive | cat -n | less")


@situation("an sftp at its prompt", in_use=False)
def _(here: Space) -> None:
    if shutil.which("sftp") is None:
        raise LackingError("sftp")
    server = here.python(SFTP_SERVER, "server.py")
    here.type(here.terminal(), f"sftp -D '{_line(server)}'")
    _begun(here, "begun")


def _hung(here: Space) -> None:
    """A download from a place that accepts the connection and never answers."""
    port = free_port()
    here.start(*here.python(HUNG_BUCKET, "bucket.py"), str(port))
    _begun(here, "begun")
    here.type(here.terminal(), f"curl -o model.bin http://127.0.0.1:{port}/ &")


@situation("a download whose other side says nothing", in_use=True)
def _(here: Space) -> None:
    _hung(here)


@situation(
    "a download whose other side says nothing, for longer than the admin allows",
    in_use=False,
    max_waiting_time=15,
)
def _(here: Space) -> None:
    _hung(here)


@situation("a program that waits for a slow disk", in_use=True)
def _(here: Space) -> None:
    here.type(here.terminal(), f"{_line(here.python(SLOW_DISK, 'train.py'))} &")


@situation(
    "a program that waits for a dead disk, for longer than the admin allows",
    in_use=False,
    max_waiting_time=15,
)
def _(here: Space) -> None:
    here.type(here.terminal(), f"{_line(here.python(SLOW_DISK, 'train.py'))} &")


@situation("a build by Docker, whose daemon works elsewhere", in_use=True)
def _(here: Space) -> None:
    docker = here.python("import time; time.sleep(1000)", "docker")
    here.type(here.terminal(), f"{_line(docker)} build . &")


@situation("a job of cron", in_use=True)
def _(here: Space) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    shutil.copy(bash, here.home / "cron")
    job = _line(here.python(f"open('begun', 'w').close()\n{BURN}", "nightly.py"))
    here.type(here.terminal(), f"setsid -f env -i ./cron -c '{job}; true'")
    _begun(here, "begun")


@situation("a detached job, where the admin ignores all", in_use=False, ignore_detached_jobs="*")
def _(here: Space) -> None:
    here.type(here.terminal(), f"setsid {_line(here.python(BURN, 'train.py'))} &")


@situation("a daemon that has cleared its environment", in_use=True)
def _(here: Space) -> None:
    here.type(here.terminal(), f"env -i {_line(here.python(DAEMON, 'daemon.py'))}")
    _begun(here, "begun")


@situation("a job without a terminal that shows its progress in its title", in_use=True)
def _(here: Space) -> None:
    here.type(here.terminal(), f"setsid -f {_line(here.python(TITLED, 'train.py'))}")
    _begun(here, "begun")


@situation("a training in the debugger of code-server", in_use=True)
def _(here: Space) -> None:
    runs = "import runpy, sys; runpy.run_path(sys.argv[-1])"
    folder = ".local/share/code-server/extensions/ms-python.debugpy-1/bundled/libs/debugpy"
    debugpy = here.python(runs, f"{folder}/__main__.py")
    debugpy[1] = debugpy[1].removesuffix("/__main__.py")
    train = here.python(BURN, "train.py")[1]
    here.type(here.terminal(), f"{_line(debugpy)} --connect 127.0.0.1:1 {train} &")


@situation("tests that code-server's test explorer runs", in_use=True)
def _(here: Space) -> None:
    folder = ".local/share/code-server/extensions/ms-python.python-2024.22.0-universal"
    tests = here.python(BURN, f"{folder}/python_files/vscode_pytest/run_pytest_script.py")
    here.type(here.terminal(), f"{_line(tests)} --rootdir=. &")


@situation("a program in the background that only waits", in_use=False, in_sample=True, on=(SMD_4,))
def _(here: Space) -> None:
    here.type(here.terminal(), "sleep 10000 &")


@situation("an rsync that only waits", in_use=True)
def _(here: Space) -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    shutil.copy(sleep, here.home / "rsync")
    here.type(here.terminal(), "./rsync 10000 &")


@situation("slides that nbconvert serves until somebody ends it", in_use=False)
def _(here: Space) -> None:
    text = {"cell_type": "markdown", "metadata": {}, "source": "# Results"}
    notebook = {"cells": [text], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    (here.home / "a.ipynb").write_text(json.dumps(notebook))
    port = free_port()
    serve = f"--post serve --ServePostProcessor.port={port}"
    quiet = "--ServePostProcessor.open_in_browser=False"
    nbconvert = f"{here.interpreter} -m nbconvert a.ipynb --to slides {serve} {quiet}"
    here.type(here.terminal(), f"nohup {nbconvert} > /dev/null 2>&1 &")
    until(lambda: _answers(port), "nbconvert serves", 60)


@situation("a monitor in a terminal", in_use=False)
def _(here: Space) -> None:
    here.type(here.terminal(), "top -d 1")


@situation("watch in a terminal", in_use=False)
def _(here: Space) -> None:
    here.type(here.terminal(), "watch -n 0.5 ps")


@situation("a loop that shows a monitor again and again", in_use=False)
def _(here: Space) -> None:
    code = "import time\nwhile time.process_time() < 0.2: pass"
    monitor = _line(here.python(code, "nvidia-smi"))
    here.type(here.terminal(), f"while :; do {monitor}; sleep 1; done")


@situation("tail -f of a log that grows", in_use=False)
def _(here: Space) -> None:
    log = here.home / "app.log"
    log.touch()

    def grow() -> None:
        with log.open("a") as file:
            file.write("one more line\n")

    here.again_and_again(grow, 0.5)
    here.type(here.terminal(), "tail -f app.log")


@situation("a code server that never rests", in_use=False)
def _(here: Space) -> None:
    # Its program is node; the script is its first argument.
    node = here.home / "node"
    node.symlink_to(Path(here.interpreter))
    script = here.home / "lib" / "code-server"
    script.parent.mkdir()
    script.write_text(BURN)
    here.type(here.terminal(), f"./node {script} &")


@situation("an extension of a remote VS Code that never rests", in_use=False)
def _(here: Space) -> None:
    server = here.home / ".vscode-server" / "cli" / "servers" / "Stable-1" / "server"
    (server / "out").mkdir(parents=True)
    (server / "node").symlink_to(Path(here.interpreter))
    (server / "out" / "bootstrap-fork").write_text(BURN)
    host = f"{server}/node {server}/out/bootstrap-fork --type=extensionHost"
    here.type(here.terminal(), f"{host} &")


@situation("a TensorBoard that never rests", in_use=False)
def _(here: Space) -> None:
    package = here.home / "tensorboard"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "main.py").write_text(BURN)
    here.type(here.terminal(), f"{here.interpreter} -m tensorboard.main &")


@situation("a loop of commands that only look", in_use=False)
def _(here: Space) -> None:
    here.type(here.terminal(), "while :; do ps > /dev/null; date; sleep 1; done")


@situation("a command that waits for one that sleeps", in_use=False)
def _(here: Space) -> None:
    here.type(here.terminal(), "sleep 1000 && make")


# On a busy machine they get less than 5 % of a CPU.
@situation("a loop of programs that each take no time", in_use=True, work_cpu_percent=1)
def _(here: Space) -> None:
    here.type(here.terminal(), f"while :; do {here.interpreter} -c pass; sleep 0.3; done")


@situation("a job to which services that never rest leave hardly any CPU", in_use=True)
def _(here: Space) -> None:
    terminal = here.terminal()
    service = here.python(BURN, "tensorboard")
    for _ in range(os.cpu_count() or 1):
        here.type(terminal, f"{_line(service)} &")
    job = here.python(f"open('begun', 'w').close()\n{BURN}", "train.py")
    here.type(terminal, f"nice -n 19 {_line(job)} &")
    _begun(here, "begun")


@situation("a job that was stopped", in_use=False)
def _(here: Space) -> None:
    here.type(here.terminal(), f"{_line(here.python(BURN, 'train.py'))} & kill -STOP $!")


@situation("a child that has ended and that nobody took note of", in_use=False)
def _(here: Space) -> None:
    code = "import subprocess; child = subprocess.Popen(['true']); None"
    here.run(here.kernel(), code)


@situation("workers of a pool that rest", in_use=False)
def _(here: Space) -> None:
    here.run(here.kernel(), f"{POOL}; pool.submit(abs, 1).result()")


@situation("workers of a pool that work for no cell", in_use=True)
def _(here: Space) -> None:
    here.run(here.kernel(), f"{POOL}; pool.submit(sum, range(10**12)); None")


@situation("a thread in the kernel that wakes every second", in_use=False)
def _(here: Space) -> None:
    code = "import threading, time\ndef beat():\n    while True: time.sleep(1)\n"
    here.run(here.kernel(), f"{code}threading.Thread(target=beat, daemon=True).start()")


@situation("a job in a session of its own whose kernel was shut down", in_use=True)
def _(here: Space) -> None:
    kernel = here.kernel()
    job = here.python(f"open('begun', 'w').close()\n{BURN}", "train.py")
    here.run(
        kernel,
        f"import subprocess; subprocess.Popen({job!r}, cwd={str(here.home)!r}, "
        "start_new_session=True); None",
    )
    _begun(here, "begun")
    here.request("DELETE", f"api/kernels/{kernel}")


# On a busy machine thirty workers get no 3 % each, so here six count together from 5 % on.
@situation(
    "many detached workers that each do little",
    in_use=True,
    work_cpu_percent=50,
    work_group_cpu_percent=5,
)
def _(here: Space) -> None:
    crawl = here.python(FEW_PERCENT, "crawl.py")
    here.type(here.terminal(), f"setsid {_line(crawl)} &")


@situation(
    "an idle cluster of any size", in_use=False, work_cpu_percent=50, work_group_cpu_percent=5
)
def _(here: Space) -> None:
    cluster = here.python(FEW_PERCENT, "ray/cluster.py")
    here.type(here.terminal(), f"setsid {_line(cluster)} &")


@situation("a process that the kernel's cell has left at work", in_use=True)
def _(here: Space) -> None:
    kernel = here.kernel()
    command = [here.interpreter, "-c", BURN]
    here.run(kernel, f"import subprocess; subprocess.Popen({command!r}); None")


@situation(
    "a thread that the kernel's cell has left at work",
    in_use=True,
    in_sample=True,
    on=(SMD_1, SMD_4),
)
def _(here: Space) -> None:
    code = "import threading\ndef work():\n    while True: pass\n"
    here.run(here.kernel(), f"{code}threading.Thread(target=work, daemon=True).start()")


@situation("a child of the server at work", in_use=True, on=(SMD_1,))
def _(here: Space) -> None:
    # As an extension starts one; the server runs its configuration.
    command = [here.interpreter, "-c", BURN]
    here.configure(f"import subprocess\nsubprocess.Popen({command!r})")


# -- GPUs


@situation("a GPU at work, whatever its program uses of the CPU", in_use=True, in_sample=True)
def _(here: Space) -> None:
    here.give_gpu("87 4000000000 0 11")


@situation("a model that was loaded onto a GPU and that nobody asks", in_use=False)
def _(here: Space) -> None:
    here.give_gpu("0 4000000000 0 11")


@situation("a divided GPU, which does not tell whether it works", in_use=True)
def _(here: Space) -> None:
    here.give_gpu("-1 4000000000 1 11")


@situation(
    "a divided GPU that nobody has touched for longer than the admin allows",
    in_use=False,
    max_unknown_gpu_time=15,
)
def _(here: Space) -> None:
    here.give_gpu("-1 4000000000 1 11")
