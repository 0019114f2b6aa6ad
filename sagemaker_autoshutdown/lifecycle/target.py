"""The target that ours is attached to: a domain, or one user profile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A domain, or one user profile of it."""

    domain_id: str
    user_profile: str | None = None

    def __str__(self) -> str:
        if self.user_profile is None:
            return f"domain {self.domain_id}"
        return f"user profile {self.user_profile} of {self.domain_id}"

    @property
    def groups(self) -> tuple[str, ...]:
        """The members of its description that hold settings of apps."""
        if self.user_profile is None:
            return ("DefaultUserSettings", "DefaultSpaceSettings")
        return ("UserSettings",)

    @property
    def resource(self) -> str:
        """The name of the API's operations for it."""
        return "Domain" if self.user_profile is None else "UserProfile"

    @property
    def parameters(self) -> dict[str, str]:
        """The arguments that identify it in a call."""
        named = {"DomainId": self.domain_id}
        if self.user_profile is not None:
            named["UserProfileName"] = self.user_profile
        return named
