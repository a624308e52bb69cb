"""Where a resource's deliveries come from by themselves: a drop folder, or a table of the department's database.

The declaration names a connection; its address and password stand in the settings, and only there. A department can
name only connections that the operator has given to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from policies.text import Text
from sandbox.catalog.repository import Resource, get
from sandbox.kernel import accounts, permissions
from sandbox.kernel.errors import BadInput
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Unit


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class DropFolder(_Declared):
    """Files are put into the resource's folder by the department's own means."""

    kind: Literal["drop"]


class DatabaseTable(_Declared):
    """A table or view, read with the read-only account of a connection."""

    kind: Literal["database"]
    connection: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    table: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")
    namespace: str | None = Field(default=None, alias="schema", max_length=200, pattern=r"^[^\x00-\x1f]+$")


Source = Annotated[DropFolder | DatabaseTable, Field(discriminator="kind")]
_SOURCE: TypeAdapter[DropFolder | DatabaseTable] = TypeAdapter(Source)


def source_of(resource: Resource) -> DropFolder | DatabaseTable | None:
    """The declared source. Raises `BadInput` when the declaration does not hold."""
    declared = resource.declared.get("source")
    return None if declared is None else _checked(declared)


def declare(unit: Unit, resource_id: str, declared: dict[str, Any] | None) -> Resource:
    """The department says where deliveries come from; None: it delivers by hand again."""
    resource = get(unit.session, resource_id)
    permissions.check(unit.actor, "resource:declare", owner=resource.organisation_id)
    if declared is not None:
        source = _checked(declared)
        if isinstance(source, DatabaseTable):
            connection_url(unit, resource, source)
        else:
            drop_folder(unit.settings, resource).mkdir(parents=True, exist_ok=True)
        declared = source.model_dump(mode="json", by_alias=True, exclude_none=True)
    rest = {k: v for k, v in resource.declared.items() if k != "source"}
    resource.declared = rest | ({"source": declared} if declared is not None else {})
    unit.audit("resource:declare", "resource", resource.id, source=declared["kind"] if declared else "none")
    return resource


def connection_url(unit: Unit, resource: Resource, source: DatabaseTable) -> str:
    """The address behind the declared connection. Raises `BadInput` unless the operator gave it to this department."""
    found = unit.settings.sources.get(source.connection)
    department = accounts.organisation(unit.session, resource.organisation_id)
    if found is None or found.department != department.name:
        raise BadInput(
            "source.connection",
            Text(
                f"没有为本部门配置名为“{source.connection}”的数据库连接",
                f"No database connection named {source.connection} is set up for this department",
            ),
            fix=Text("请运营机构在部署设置 PDS_SOURCES 中配置", "The operator sets it up in PDS_SOURCES"),
            id=resource.id,
        )
    return found.url.get_secret_value()


def drop_folder(settings: Settings, resource: Resource) -> Path:
    """Where the department puts files of this resource; both names are numbers of ours, so the path is safe."""
    return settings.home / "drop" / resource.organisation_id / resource.id


def _checked(declared: Any) -> DropFolder | DatabaseTable:
    try:
        return _SOURCE.validate_python(declared)
    except ValidationError as wrong:
        fields = sorted({".".join(map(str, e["loc"])) or "kind" for e in wrong.errors()})
        raise BadInput(
            "source.unclear",
            Text(f"登记的数据来源有误：{'、'.join(fields)}", f"The declared source does not hold: {', '.join(fields)}"),
            fix=Text(
                '写作 {"kind": "drop"} 或 {"kind": "database", "connection": …, "table": …}',
                'Write {"kind": "drop"} or {"kind": "database", "connection": …, "table": …}',
            ),
        ) from wrong
