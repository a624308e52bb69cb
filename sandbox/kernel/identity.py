"""Who acts: organisations, accounts, roles. 运商分离 starts here: a role belongs to one kind of organisation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from policies.text import Text


class OrganisationKind(StrEnum):
    OPERATOR = "operator"
    DEPARTMENT = "department"
    MERCHANT = "merchant"
    AUTHORITY = "authority"
    PLATFORM = "platform"


class Role(StrEnum):
    OPERATOR = "operator"
    COMPLIANCE = "compliance"
    DEPARTMENT = "department"
    MERCHANT = "merchant"
    AUDITOR = "auditor"
    SYSTEM = "system"
    VISITOR = "visitor"


ROLES_OF: dict[OrganisationKind, frozenset[Role]] = {
    OrganisationKind.OPERATOR: frozenset({Role.OPERATOR, Role.COMPLIANCE}),
    OrganisationKind.DEPARTMENT: frozenset({Role.DEPARTMENT}),
    OrganisationKind.MERCHANT: frozenset({Role.MERCHANT}),
    OrganisationKind.AUTHORITY: frozenset({Role.AUDITOR}),
    OrganisationKind.PLATFORM: frozenset({Role.SYSTEM, Role.VISITOR}),
}
"""Which roles an organisation's accounts may hold. No kind holds both operator and merchant roles."""

ROLE_NAMES: dict[Role, Text] = {
    Role.OPERATOR: Text("运营人员", "operator"),
    Role.COMPLIANCE: Text("合规人员", "compliance officer"),
    Role.DEPARTMENT: Text("数源部门", "data-source department"),
    Role.MERCHANT: Text("数据商", "merchant"),
    Role.AUDITOR: Text("安全审计员", "auditor"),
    Role.SYSTEM: Text("系统", "system"),
    Role.VISITOR: Text("访客", "visitor"),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """The person (or the platform itself) behind one transaction."""

    id: str
    name: str
    role: Role
    organisation_id: str

    def is_role(self, *roles: Role) -> bool:
        return self.role in roles


SYSTEM = Actor("system", "系统", Role.SYSTEM, "platform")
VISITOR = Actor("visitor", "访客", Role.VISITOR, "platform")
