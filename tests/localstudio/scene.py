"""Ready-made scenes: the start of a demonstration or a test, for each host.

A scene is the state of AWS before a user does anything: a domain with a user, a space or a notebook
instance, and its Jupyter server in service.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import names
from .errors import LocalStudioError
from .runtime import Target
from .servers import Launch, ServerOptions
from .state import AppKey, Owner, space, user
from .studio import LocalStudio

CLASSIC = "classic"
SPACE = "space"
NOTEBOOK_INSTANCE = "notebook-instance"
HOSTS = (CLASSIC, SPACE, NOTEBOOK_INSTANCE)


@dataclass(frozen=True)
class Scene:
    """The parts of a scene."""

    host: str
    #: The app or notebook instance in which the Jupyter server runs.
    target: Target
    #: That server's address and token.
    server: Launch
    #: A notebook instance has neither.
    domain_id: str | None = None
    owner: Owner | None = None

    @property
    def browser_url(self) -> str:
        """The address to open in a browser."""
        return f"{self.server.url}lab?token={self.server.token}"

    @property
    def app(self) -> AppKey:
        """The server's app; LocalStudioError for a notebook instance."""
        if not isinstance(self.target, AppKey):
            raise LocalStudioError(f"{self.target} is no app")
        return self.target


async def classic(
    studio: LocalStudio, *, profile: str = "data-scientist", options: ServerOptions | None = None
) -> Scene:
    """Studio Classic: a domain, a user profile and its JupyterServer app."""
    domain_id = await studio.create_domain()
    owner = await studio.create_owner(user(profile), domain_id=domain_id)
    key = await studio.create_app(owner, "JupyterServer", domain_id=domain_id, options=options)
    return Scene(CLASSIC, key, studio.server(key), domain_id, owner)


async def jupyterlab_space(
    studio: LocalStudio,
    *,
    name: str = "team-a",
    profile: str = "data-scientist",
    instance_type: str = names.DEFAULT_INSTANCE_TYPE,
    domain_id: str | None = None,
    options: ServerOptions | None = None,
) -> Scene:
    """A JupyterLab space of a user profile, with its app; in a new domain unless one is given."""
    domain_id = domain_id or await studio.create_domain()
    member = await studio.create_owner(user(profile), domain_id=domain_id)
    owner = await studio.create_owner(
        space(name),
        domain_id=domain_id,
        OwnershipSettings={"OwnerUserProfileName": member.name},
        SpaceSharingSettings={"SharingType": "Private"},
        SpaceSettings={
            "AppType": "JupyterLab",
            "SpaceStorageSettings": {"EbsStorageSettings": {"EbsVolumeSizeInGb": 5}},
        },
    )
    key = await studio.create_app(
        owner,
        "JupyterLab",
        domain_id=domain_id,
        spec={"InstanceType": instance_type},
        options=options,
    )
    return Scene(SPACE, key, studio.server(key), domain_id, owner)


async def notebook_instance(
    studio: LocalStudio,
    *,
    name: str = "notebook-1",
    instance_type: str = names.DEFAULT_INSTANCE_TYPE,
    options: ServerOptions | None = None,
) -> Scene:
    """A notebook instance."""
    await studio.create_notebook_instance(name, instance_type, options=options)
    return Scene(NOTEBOOK_INSTANCE, name, studio.server(name))


async def set_up(studio: LocalStudio, host: str, *, options: ServerOptions | None = None) -> Scene:
    """The scene of a host, by its name."""
    if host == CLASSIC:
        return await classic(studio, options=options)
    if host == SPACE:
        return await jupyterlab_space(studio, options=options)
    if host == NOTEBOOK_INSTANCE:
        return await notebook_instance(studio, options=options)
    raise ValueError(f"no such host: {host!r}; known are {', '.join(HOSTS)}")
