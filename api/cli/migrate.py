"""`pds migrate`: create the metadata database, or bring it to the newest schema."""

from __future__ import annotations

from api.cli.installation import database_state, newest_revision
from api.cli.output import AsJson, CouldNotRun, answer, say
from policies.text import Text


def command(as_json: AsJson = False) -> None:
    """建库或升级数据库，装入随附规则（可重复执行）· Create or upgrade the database; safe to repeat"""
    from api.setup import prepare
    from sandbox.kernel.settings import Settings
    from sandbox.kernel.unit import Platform

    settings = Settings()
    before = database_state(settings.metadata_url)
    if before == "unreachable":
        raise CouldNotRun(
            "database.unreachable",
            Text("连不上数据库", "the database cannot be reached"),
            fix=Text("检查 PDS_DATABASE_URL 与数据库服务", "check PDS_DATABASE_URL and the database server"),
        )
    platform = Platform(settings)
    prepare(platform)
    backend = platform.database.engine.dialect.name
    platform.database.dispose()
    revision = newest_revision()
    words = Text("数据库已是最新", "the database is up to date")
    document = {"before": before, "revision": revision, "backend": backend, "home": str(settings.home)}
    answer(document, as_json, lambda: print(f"✔ {say(words)}: {backend} {revision}  {settings.home}"))
