"""How long ``lifecycle-config status`` takes for a large domain with slow calls.

``python -m tests.benchmarks.bench_rollout [PROFILES] [MILLISECONDS]``. Printed, never asserted. The
domain is the local Studio's; the command runs in a process of its own: once just after all settings
were changed, when it has to ask for each app's script, and once a day later.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

from tests.localstudio import AppKey, Fault, space, user
from tests.localstudio.operations.lifecycle import configs_of
from tests.localstudio.state import Resource
from tests.localstudio.studio import LocalStudio
from tests.localstudio.testing import BlockingStudio, running_studio

from .__main__ import say

PROFILES = 2_000
MILLISECONDS = 50
#: This many of five users have a JupyterLab space that is up.
UP_OF_FIVE = 4


def fill(studio: BlockingStudio, profiles: int) -> None:
    """A domain with the extension, in which most users work in a space of their own."""
    domain_id = studio.create_domain()
    _command(studio, "install", "--yes")

    async def make(local: LocalStudio) -> None:
        for number in range(profiles):
            name = f"user-{number:04}"
            await local.create_owner(user(name))
            if number % 5 >= UP_OF_FIVE:
                continue
            await local.create_owner(
                space(f"space-{number:04}"),
                OwnershipSettings={"OwnerUserProfileName": name},
                SpaceSharingSettings={"SharingType": "Private"},
                SpaceSettings={"AppType": "JupyterLab"},
            )
            key = AppKey(domain_id, "space", f"space-{number:04}", "JupyterLab", "default")
            now = local.now()
            chosen, built_in = configs_of(local.account, key, {})
            app = local.account.create_app(
                key, Resource("ml.t3.medium", None, None, chosen, built_in), now
            )
            local.account.app_is_up(key, app.run, now)

    studio.run(make)


def _command(studio: BlockingStudio, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sagemaker_autoshutdown.cli", "lifecycle-config", *arguments]
    environment = {**os.environ, **studio.aws_environment()}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def measure(studio: BlockingStudio) -> None:
    """Runs the command and prints how long it took."""
    load = os.getloadavg()[0]
    before, began, own = len(studio.calls()), time.perf_counter(), time.process_time()
    earlier = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = _command(studio, "status", "--summary")
    wall, own = time.perf_counter() - began, time.process_time() - own
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    made = Counter(call.operation for call in studio.calls()[before:])
    cpu = used.ru_utime + used.ru_stime - earlier.ru_utime - earlier.ru_stime
    sys.stdout.write(
        f"{done.stdout}{done.stderr}\n{sum(made.values())} calls in {wall:.1f} s: the command "
        f"used {cpu:.1f} s of CPU and at most {used.ru_maxrss // 1024} MiB, the local Studio "
        f"{own:.1f} s of CPU. Load {load:.1f} on {os.cpu_count()} cores.\n"
        + ", ".join(f"{operation} {count}" for operation, count in made.most_common())
        + "\n"
    )


def main(profiles: int = PROFILES, milliseconds: int = MILLISECONDS) -> None:
    """Creates the domain and runs the command twice."""
    with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder)) as studio:
        fill(studio, profiles)
        studio.fault(Fault(delay=milliseconds / 1000))
        say(f"lifecycle-config status: {profiles} user profiles, {milliseconds} ms a call")
        measure(studio)
        studio.date_settings_back(timedelta(days=1))
        say("the same a day later: the apps were started since the settings were changed")
        measure(studio)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
