"""Fills the demonstration city in the background: every department's table registered, delivered, confirmed, published.

Runs as a process of its own beside the server, acting as the people of the city, one step at a time; it may be stopped
and started again at any point. The two tables of the story are left for the story.
"""

from __future__ import annotations

import time

from api.demo import city
from api.demo.story import STORY_TABLES
from policies.text import UserError
from sandbox.catalog import deliveries, repository, service, versions
from sandbox.kernel import accounts
from sandbox.kernel.identity import VISITOR, Actor
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.merchants import service as merchants
from sandbox.merchants.model import MATERIALS

PATIENCE = 1800.0
MERCHANT, COMPANY, USCC = "merchant", "示范数科有限公司", "91449967MAQXJT373A"


def main() -> None:
    """Settle every table, or give up after half an hour."""
    import sandbox.migrations.tables  # noqa: F401

    platform = Platform(Settings())
    admit_merchant(platform)
    tables = [t for t in city.build_files(platform.settings.home / "city") if t.name not in STORY_TABLES]
    end = time.monotonic() + PATIENCE
    while tables and time.monotonic() < end:
        tables = [t for t in tables if not _advance(platform, t)]
        time.sleep(2.0)


def admit_merchant(platform: Platform) -> None:
    """The city's own merchant, registered, checked and admitted once, so that somebody can look around at once."""
    with platform.database.transaction() as session:
        if accounts.account_by_login(session, MERCHANT):
            return
    papers = dict.fromkeys(MATERIALS, "演示材料.pdf")
    with platform.begin(VISITOR) as unit:
        merchants.register_organisation(
            unit, name=COMPANY, uscc=USCC, login=MERCHANT, person="产品经理", password=city.password_of(platform)
        )
    with platform.begin(actor_of(platform, MERCHANT)) as unit:
        onboarding = merchants.apply(unit, contact="产品经理", business="城市数据服务", materials=papers)
        merchants.submit(unit, onboarding.id)
    with platform.begin(actor_of(platform, "operator")) as unit:
        merchants.decide(unit, onboarding.id, "admit", "")


def actor_of(platform: Platform, login: str) -> Actor:
    with platform.database.transaction() as session:
        account = accounts.account_by_login(session, login)
    if account is None:
        raise LookupError(login)
    return account.actor()


def _advance(platform: Platform, table: city.CityTable) -> bool:
    """Take one step with one table; True when it is published or a person must look at its delivery."""
    department, operator = actor_of(platform, table.login), actor_of(platform, "operator")
    with platform.begin(department) as unit:
        resource = repository.by_name(unit.session, department.organisation_id, table.name)
        if resource is None:
            resource = service.register(unit, **table.registration)
        state, resource_id = resource.state, resource.id
        latest = repository.deliveries(unit.session, resource_id)
    if state != "registered":
        return True
    try:
        if not latest:
            _deliver(platform, department, resource_id, table)
        elif latest[0].state == "proposed":
            with platform.begin(department) as unit:
                versions.confirm(unit, resource_id)
        elif latest[0].state == "confirmed":
            with platform.begin(operator) as unit:
                versions.publish(unit, resource_id)
    except UserError:
        return True
    return bool(latest) and latest[0].state in ("refused", "needs_recipe", "withdrawn")


def _deliver(platform: Platform, department: Actor, resource_id: str, table: city.CityTable) -> None:
    limit = platform.settings.body_limit_mb << 20
    with table.path.open("rb") as stream:
        sha256, size = deliveries.store_delivery(platform.settings.inbox, stream, limit)
    with platform.begin(department) as unit:
        deliveries.deliver(unit, resource_id, file_name=table.path.name, sha256=sha256, size=size)


if __name__ == "__main__":
    main()
