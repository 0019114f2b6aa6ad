"""Studio Classic with real processes: a JupyterServer, Kernel Gateways, kernels, terminals.

One studio for the module, because its processes take seconds to start; each test uses apps of its
own, or leaves the shared one unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.localstudio import Fault, KernelOverride, LocalStudioError, Owner
from tests.localstudio.names import find_image
from tests.localstudio.scene import Scene
from tests.localstudio.state import AppKey
from tests.localstudio.testing import BlockingStudio, running_studio

from .test_processes import lives, wait_until

PYTORCH = "pytorch-2.0.0-gpu-py310"
BASE = "base-python-310-v1"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingStudio]:
    with running_studio(tmp_path_factory.mktemp("classic")) as studio:
        yield studio


@pytest.fixture(scope="module")
def scene(studio: BlockingStudio) -> Scene:
    return studio.classic(profile="Ada-Lovelace")


@pytest.fixture(scope="module")
def owner(scene: Scene) -> Owner:
    assert scene.owner is not None
    return scene.owner


@pytest.fixture(scope="module")
def app(studio: BlockingStudio, owner: Owner) -> AppKey:
    """An app that all tests may use and none may end."""
    return studio.create_kernel_app(owner)


@pytest.fixture(autouse=True)
def no_faults(studio: BlockingStudio) -> Iterator[None]:
    yield
    studio.faults_off()


def test_a_cell_runs_through_the_server_the_gateway_and_the_app(
    studio: BlockingStudio, scene: Scene, app: AppKey
) -> None:
    kernel = studio.start_kernel(app, path="work/Untitled.ipynb")
    result = studio.run(
        lambda s: s.jupyter(scene.target).execute(kernel, "import os; os.environ['AWS_REGION']")
    )
    assert (result.status, result.text) == ("ok", "'us-east-2'")
    [session] = [
        each
        for each in studio.request(scene.target, "GET", "api/sessions")
        if each["kernel"]["id"] == kernel
    ]
    model = session["kernel"]
    assert session["path"] == "work/Untitled.ipynb"
    assert model["app_name"] == app.name
    assert model["instance_type"] == "ml.t3.medium"
    assert re.fullmatch(
        r"python3__SAGEMAKER_INTERNAL__arn:aws:sagemaker:us-east-2:\d{12}:image/datascience-1\.0",
        model["name"],
    )


def test_the_server_offers_the_kernelspecs_of_the_images(
    studio: BlockingStudio, scene: Scene, app: AppKey
) -> None:
    specs = studio.request(scene.target, "GET", "api/kernelspecs")["kernelspecs"]
    name = find_image(PYTORCH).kernelspec
    assert specs[name]["spec"]["language"] == "python"
    one = studio.request(scene.target, "GET", f"api/kernelspecs/{quote(name, safe='')}")
    assert one["name"] == name


def test_deleting_an_app_ends_its_kernels_and_terminals_and_what_those_started(
    studio: BlockingStudio, scene: Scene, owner: Owner, app: AppKey
) -> None:
    doomed = studio.create_kernel_app(owner, PYTORCH, "ml.g4dn.xlarge")
    kept, kernel = studio.start_kernel(app), studio.start_kernel(doomed)
    spawn = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True).pid"
    child = int(studio.execute(doomed, kernel, spawn).text)
    studio.execute(doomed, kernel, "import time; time.sleep(1000)", wait=False)
    studio.type(studio.open_terminal(doomed), "sleep 1001 &\n")
    wait_until(lambda: len(studio.processes(doomed)) >= 5, "gateway, kernel, child, shell, job")
    pids = [process.pid for process in studio.processes(doomed)]
    assert child in pids

    studio.client().delete_app(**studio.parameters(doomed))
    studio.wait_for(doomed, "Deleted")

    assert [pid for pid in pids if lives(pid)] == []
    assert studio.processes(doomed) == []
    ids = [model["id"] for model in studio.request(scene.target, "GET", "api/kernels")]
    assert kept in ids
    assert kernel not in ids
    assert studio.request(scene.target, "GET", "api/terminals") == []


def test_a_kernel_starts_where_the_request_says_else_in_the_newest_app_of_the_image(
    studio: BlockingStudio, owner: Owner
) -> None:
    small = studio.create_kernel_app(owner, BASE, "ml.t3.medium")
    large = studio.create_kernel_app(owner, BASE, "ml.m5.large")
    name = find_image(BASE).kernelspec
    gateway = studio.do(lambda s: s.gateway_client(owner))

    def app_of(kernelspec: str = name, **more: object) -> str:
        model = studio.run(lambda _: gateway.start_kernel(kernelspec, **more))
        return str(model["app_name"])

    assert app_of() == large.name
    assert app_of(f"{name}/1", instance_type="ml.t3.medium") == small.name
    assert app_of(env={"KERNEL_INSTANCE_TYPE": "ml.t3.medium"}) == small.name
    assert app_of(env={"KERNEL_APP_NAME": small.name}) == small.name
    with pytest.raises(LocalStudioError, match="404"):
        app_of(app_name="never-was")
    for key in (small, large):
        studio.client().delete_app(**studio.parameters(key))
    studio.wait_for(large, "Deleted")
    with pytest.raises(LocalStudioError, match="404"):
        app_of("python3")


def test_a_kernel_of_an_image_without_an_app_gets_one_on_the_default_instance_type(
    studio: BlockingStudio, scene: Scene, owner: Owner
) -> None:
    name = find_image("tensorflow-2.12.0-cpu-py310").kernelspec
    model = studio.run(lambda s: s.jupyter(scene.target).start_kernel(name))
    assert model["name"] == name
    assert model["instance_type"] == "ml.t3.medium"
    apps = studio.client().list_apps(UserProfileNameEquals=owner.name, MaxResults=100)["Apps"]
    [made] = [each for each in apps if each["AppName"] == model["app_name"]]
    assert made["Status"] == "InService"
    studio.client().delete_app(
        **{key: made[key] for key in ("DomainId", "UserProfileName", "AppType", "AppName")}
    )


def test_an_image_terminal_is_listed_under_its_studio_name_beside_the_servers_own(
    studio: BlockingStudio, scene: Scene, app: AppKey
) -> None:
    system = studio.request(scene.target, "POST", "api/terminals", {})
    image = studio.open_terminal(app)
    silent = studio.open_terminal(app, shows_activity=False)
    prefix = f"{find_image('datascience-1.0').arn}__"
    assert re.fullmatch(re.escape(prefix) + r"\d+__ml\.t3\.medium", image.name)

    def listed() -> dict[str, str | None]:
        models = studio.request(scene.target, "GET", "api/terminals")
        return {model["name"]: model.get("last_activity") for model in models}

    first = listed()
    assert set(first) == {system["name"], image.name, silent.name}
    assert first[silent.name] is None
    studio.type(image, "echo out-$((40+2))\n")
    wait_until(lambda: b"out-42" in image.output, "the shell's answer")
    assert (listed()[image.name] or "") > (first[image.name] or "")

    path = f"api/terminals/{quote(image.name, safe='')}"
    assert studio.request(scene.target, "GET", path)["name"] == image.name
    pid = studio.do(lambda _: image.process.pid)
    studio.request(scene.target, "DELETE", path)
    assert not lives(pid)
    studio.type(silent, "exit\n")
    wait_until(lambda: set(listed()) == {system["name"]}, "only the system terminal is left")
    studio.request(scene.target, "DELETE", f"api/terminals/{system['name']}")


def test_kernels_run_on_while_the_server_is_killed_and_started_again(
    studio: BlockingStudio, scene: Scene, app: AppKey
) -> None:
    kernel = studio.start_kernel(app)
    studio.execute(app, kernel, "import time; time.sleep(1000)", wait=False)
    before = studio.server(scene.target)
    studio.kill(scene.target)
    with pytest.raises(LocalStudioError):
        studio.request(scene.target, "GET", "api/status")
    assert studio.status(scene.target) == "InService"
    studio.restart_server(scene.target)
    assert studio.server(scene.target) == before
    [model] = [each for each in studio.kernels(app) if each["id"] == kernel]
    assert model["execution_state"] == "busy"


def test_an_app_whose_gateway_dies_has_failed_and_says_so(
    studio: BlockingStudio, owner: Owner
) -> None:
    app = studio.create_kernel_app(owner, "sagemaker-data-science-310-v1", "ml.m5.xlarge")
    kernel = studio.start_kernel(app)
    pids = [process.pid for process in studio.processes(app)]
    studio.kill(app)
    with pytest.raises(LocalStudioError, match="failed"):
        studio.wait_for(app, "Deleted")
    told = studio.client().describe_app(**studio.parameters(app))
    assert told["Status"] == "Failed"
    assert "code -9" in told["FailureReason"]
    wait_until(lambda: not any(lives(pid) for pid in pids), "kernels of the failed app gone")
    gateway = studio.do(lambda s: s.gateway_client(owner))
    assert kernel not in [each["id"] for each in studio.run(lambda _: gateway.kernels())]
    studio.client().delete_app(**studio.parameters(app))
    studio.wait_for(app, "Deleted")


def test_the_kernels_of_an_app_that_is_coming_up_are_answered_503(
    studio: BlockingStudio, owner: Owner
) -> None:
    app = studio.create_kernel_app(owner, PYTORCH, "ml.m5.2xlarge", wait=False)
    gateway = studio.do(lambda s: s.gateway_client(owner))
    name = find_image(PYTORCH).kernelspec
    with pytest.raises(LocalStudioError, match="503"):
        studio.run(lambda _: gateway.start_kernel(name, app_name=app.name))
    # Deleted while it starts: its process must not come up afterwards.
    studio.client().delete_app(**studio.parameters(app))
    studio.wait_for(app, "Deleted")
    assert studio.processes(app) == []


def test_the_gateway_tells_odd_things_of_kernels_when_a_test_wants_it(
    studio: BlockingStudio, app: AppKey
) -> None:
    kernel = studio.start_kernel(app)
    studio.override_kernels(
        KernelOverride(
            kernel_id=kernel,
            changes={"execution_state": "dead", "last_activity": ""},
            without=("connections",),
        )
    )
    [model] = [each for each in studio.kernels(app) if each["id"] == kernel]
    assert (model["execution_state"], model["last_activity"]) == ("dead", "")
    assert "connections" not in model


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("Gateway.ListKernels", status=500), "500"),
        (Fault("Gateway.ListKernels", body="[{"), "."),
        (Fault("Gateway.*", drop=True), "."),
    ],
)
def test_the_server_sees_the_faults_of_the_gateway(
    studio: BlockingStudio, scene: Scene, app: AppKey, fault: Fault, told: str
) -> None:
    studio.fault(fault)
    with pytest.raises(LocalStudioError, match=told):
        studio.request(scene.target, "GET", "api/kernels")
    studio.faults_off()
    assert isinstance(studio.request(scene.target, "GET", "api/kernels"), list)


def test_the_gateway_is_closed_to_who_has_no_token_and_to_other_owners(
    studio: BlockingStudio, owner: Owner, app: AppKey, scene: Scene
) -> None:
    studio.start_kernel(app)
    client = studio.do(lambda s: s.gateway_client(owner))
    stranger = type(client)(client.url, "wrong")
    with pytest.raises(LocalStudioError, match="401"):
        studio.run(lambda _: stranger.kernels())
    other = studio.do(lambda s: s.gateway_client(Owner("user-profile", "other")))
    assert studio.run(lambda _: other.kernels()) == []


def test_what_runs_in_an_app_can_not_see_the_developers_own_aws_settings(
    studio: BlockingStudio, app: AppKey, tmp_path: Path
) -> None:
    kernel = studio.start_kernel(app)
    code = "import os; sorted(k for k in os.environ if k.startswith('AWS_'))"
    assert "'AWS_ENDPOINT_URL_SAGEMAKER'" in studio.execute(app, kernel, code).text
    code = "import boto3; print(boto3.client('sagemaker').list_domains()['Domains'][0]['DomainId'])"
    assert studio.execute(app, kernel, code).text.strip() == app.domain_id
