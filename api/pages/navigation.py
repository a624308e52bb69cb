"""The main navigation, in the words of the official flow: 目录 → 进驻 → 使用申请 → 开发 → 出域 → 披露."""

from __future__ import annotations

from api.pages.views import NavItem, Viewer
from sandbox.kernel.identity import Role

_R = Role
NAVIGATION: tuple[NavItem, ...] = (
    NavItem("nav.catalog", "/catalog"),
    NavItem("nav.resources", "/resources", frozenset({_R.DEPARTMENT, _R.OPERATOR, _R.COMPLIANCE, _R.AUDITOR})),
    NavItem("nav.onboarding", "/onboarding", frozenset({_R.MERCHANT, _R.OPERATOR})),
    NavItem("nav.merchants", "/merchants", frozenset({_R.OPERATOR, _R.COMPLIANCE, _R.AUDITOR})),
    NavItem(
        "nav.applications", "/applications",
        frozenset({_R.MERCHANT, _R.OPERATOR, _R.DEPARTMENT, _R.COMPLIANCE, _R.AUDITOR}),
    ),
    NavItem("nav.workspaces", "/workspaces", frozenset({_R.MERCHANT, _R.OPERATOR, _R.AUDITOR})),
    NavItem("nav.uploads", "/uploads", frozenset({_R.OPERATOR, _R.COMPLIANCE, _R.AUDITOR})),
    NavItem("nav.exports", "/exports", frozenset({_R.MERCHANT, _R.COMPLIANCE, _R.OPERATOR, _R.AUDITOR})),
    NavItem("nav.notices", "/release-notices", frozenset({_R.DEPARTMENT, _R.MERCHANT})),
    NavItem(
        "nav.machine", "/machine", frozenset({_R.OPERATOR, _R.AUDITOR}), ("/quota-requests", "/usage", "/isolation")
    ),
    NavItem("nav.jobs", "/jobs", frozenset({_R.OPERATOR, _R.AUDITOR})),
    NavItem("nav.policies", "/policies", frozenset({_R.COMPLIANCE, _R.AUDITOR, _R.OPERATOR})),
    NavItem("nav.reports", "/reports"),
    NavItem("nav.audit", "/audit", frozenset({_R.AUDITOR})),
)  # fmt: skip


def navigation_of(viewer: Viewer | None) -> list[NavItem]:
    """What this person sees; who is not signed in sees what is open to all."""
    return [item for item in NAVIGATION if not item.roles or (viewer and viewer.role in item.roles)]


def is_current(item: NavItem, path: str) -> bool:
    return any(path == href or path.startswith(href + "/") for href in (item.href, *item.also))
