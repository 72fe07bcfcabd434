"""Projects, users, the roles of users in projects, access keys; and what the first start makes."""

from naru.db.accounts import Member
from naru.services.accounts.installation import Accounts, Bootstrap, BootstrapResult
from naru.services.accounts.keys import KEYS_PER_USER, ROTATE_DAYS, KeyChange, Keys, KeyView, NewKey
from naru.services.accounts.members import Members
from naru.services.accounts.projects import Limits, ProjectChange, Projects, ProjectView
from naru.services.accounts.users import AccountView, UserChange, Users

__all__ = [
    "KEYS_PER_USER",
    "ROTATE_DAYS",
    "AccountView",
    "Accounts",
    "Bootstrap",
    "BootstrapResult",
    "KeyChange",
    "KeyView",
    "Keys",
    "Limits",
    "Member",
    "Members",
    "NewKey",
    "ProjectChange",
    "ProjectView",
    "Projects",
    "UserChange",
    "Users",
]
