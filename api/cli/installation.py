"""The installation a command works on: its database, and who gives the order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import CouldNotRun
from policies.text import Text

if TYPE_CHECKING:
    from sandbox.kernel.identity import Actor
    from sandbox.kernel.unit import Platform

Login = Annotated[
    str,
    typer.Option(
        "--as", help="以谁的账号办理，口令取自 PDS_PASSWORD 或提示输入 · login; password: PDS_PASSWORD or asked"
    ),
]


@contextmanager
def installed() -> Iterator[Platform]:
    """The platform under PDS_HOME. Raises `CouldNotRun` where there is no database, or it is not up to date."""
    import sandbox.migrations.tables  # noqa: F401 - every table must be known before the first query
    from sandbox.kernel.settings import Settings
    from sandbox.kernel.unit import Platform

    settings = Settings()
    found = database_state(settings.metadata_url)
    if found != "current":
        raise CouldNotRun(
            f"database.{found}",
            Text(
                f"数据库尚不可用（{found}）：{settings.home}", f"the database is not ready ({found}): {settings.home}"
            ),
            fix=Text(
                "运行 pds migrate，或检查 PDS_HOME 与 PDS_DATABASE_URL",
                "run pds migrate, or check PDS_HOME and PDS_DATABASE_URL",
            ),
        )
    platform = Platform(settings)
    try:
        yield platform
    finally:
        platform.database.dispose()


def database_state(url: str) -> str:
    """ "current", "absent", "unreachable", "empty" or "outdated"; looks without changing anything."""
    from pathlib import Path

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.exc import SQLAlchemyError

    from sandbox.kernel.database import Database

    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return "absent"
    database = Database(url)
    try:
        with database.engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError:
        return "unreachable"
    finally:
        database.dispose()
    return "empty" if revision is None else "current" if revision == newest_revision() else "outdated"


def newest_revision() -> str | None:
    """The revision this program brings a database to."""
    from pathlib import Path

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    import sandbox.migrations.tables

    config = Config()
    config.set_main_option("script_location", str(Path(sandbox.migrations.tables.__file__).parent))
    return ScriptDirectory.from_config(config).get_current_head()


def actor_of(platform: Platform, login: str) -> Actor:
    """The person behind `login`, by password; a wrong one is refused and recorded as at the portal."""
    from sandbox.kernel import accounts
    from sandbox.kernel.identity import VISITOR

    password = secret("PDS_PASSWORD", Text(f"{login} 的口令", f"password of {login}"))
    with platform.begin(VISITOR) as unit:
        account, session = accounts.sign_in(unit, login, password)
        accounts.sign_out(unit, session)
        return account.actor()


def secret(variable: str, what: Text) -> str:
    """A password from the environment, else asked without showing it."""
    given = os.environ.get(variable)
    if given:
        return given
    return str(typer.prompt(f"{what.zh} · {what.en}", hide_input=True, err=True))
