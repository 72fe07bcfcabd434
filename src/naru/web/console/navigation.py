"""What leads where: the entries beside every page, and the tabs below lists. A new part adds a line here."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from naru.core.permissions import Permission, ProjectFacts
from naru.web.console.language import N_


@dataclass(frozen=True, slots=True)
class Item:
    """``need`` None: whoever is signed in. ``group``: project, account or installation."""

    group: str
    label: str
    icon: str
    path: str  # in a project: after its address
    need: Permission | None = None


ITEMS = (
    Item("project", N_("Overview"), "house", "", Permission.VIEW),
    Item("project", N_("Registries"), "boxes", "/registries", Permission.VIEW),
    Item("project", N_("Jobs"), "list-checks", "/jobs", Permission.VIEW),
    Item("project", N_("Trash"), "trash-2", "/trash", Permission.VIEW),
    Item("project", N_("Members"), "users", "/members", Permission.ADMINISTER),
    Item("project", N_("Audit log"), "scroll-text", "/audit", Permission.MANAGE),
    Item("project", N_("Settings"), "settings", "/settings", Permission.VIEW),
    Item("account", N_("Access keys"), "key-round", "/account/keys"),
    Item("account", N_("My account"), "user-round", "/account"),
    Item("account", N_("My activity"), "scroll-text", "/account/activity"),
    Item("installation", N_("Users"), "shield", "/installation/users"),
    Item("installation", N_("Projects"), "layers", "/installation/projects"),
    Item("installation", N_("Audit log"), "scroll-text", "/installation/audit"),
)
GROUPS = {"project": N_("Project"), "account": N_("Account"), "installation": N_("Installation")}


@dataclass(frozen=True, slots=True)
class Entry:
    """An item as one page shows it."""

    group: str
    label: str
    icon: str
    path: str
    current: bool


def navigation(
    project: ProjectFacts | None, permissions: frozenset[Permission], *, service_admin: bool, path: str
) -> list[Entry]:
    """The items that somebody may follow. ``path``: of the page that shows them."""
    found: list[tuple[Item, str]] = []
    for item in ITEMS:
        if item.group == "project":
            if project is not None and item.need in permissions:
                found.append((item, f"/projects/{quote(project.appkey)}{item.path}"))
        elif item.group == "account" or service_admin:
            found.append((item, item.path))
    # The longest that the page's address begins with is where one is.
    fitting = [target for _item, target in found if path == target or path.startswith(target + "/")]
    here = max(fitting, key=len, default="")
    return [Entry(item.group, item.label, item.icon, target, target == here) for item, target in found]


@dataclass(frozen=True, slots=True)
class Tab:
    """A part of what is shown below a list; ``key`` is the end of its address, empty for the first."""

    key: str
    label: str
    need: Permission = Permission.VIEW


REGISTRY_TABS = (
    Tab("", N_("Basic information")),
    Tab("usage", N_("Usage")),
    Tab("webhooks", N_("Webhooks")),
    Tab("cleanup", N_("Image cleanup")),
    Tab("protection", N_("Image protection")),
    Tab("quota", N_("Quota")),
    Tab("members", N_("Members"), Permission.ADMINISTER),
)
ARTIFACT_TABS = (
    Tab("", N_("Basic information")),
    Tab("tags", N_("Tags")),
    Tab("layers", N_("Layers")),
    Tab("config", N_("Config")),
    Tab("annotations", N_("Annotations")),
    Tab("accessories", N_("Accessories")),
    Tab("referrers", N_("Referrers")),
    Tab("manifest", N_("Manifest")),
)


def tabs(known: tuple[Tab, ...], permissions: frozenset[Permission]) -> list[Tab]:
    return [tab for tab in known if tab.need in permissions]
