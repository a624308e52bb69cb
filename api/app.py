"""Composition root: one application out of platform, broker, routes, pages and error handlers."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api import errors
from api.middleware import BodyLimit, RequestNumber
from api.pages import frame
from api.pages import router as portal_pages
from api.routes import (
    accounts,
    applications,
    catalog,
    corrections,
    deliveries,
    exports,
    groups,
    merchants,
    metering,
    oversight,
    plans,
    preview,
    queries,
    reading,
    refreshing,
    runs,
    selfchecks,
    simulated,
    subjects,
    workspace_files,
    workspaces,
)
from sandbox.kernel import state
from sandbox.kernel.keys import load_secret
from sandbox.kernel.unit import Platform
from sandbox.workspaces import tiers
from sandbox.workspaces.broker import Broker

VERSION = "0.1.0"
ROUTERS = (
    queries, accounts, merchants, catalog, subjects, simulated, deliveries, corrections, plans, refreshing,
    applications, workspaces, workspace_files, reading, preview, runs, metering, exports, groups, selfchecks, oversight,
)  # fmt: skip
"""Each answers paths of its own. Asked in this order at every request, so the most asked for comes first."""


def create_app(platform: Platform, broker: Broker, parts: Callable[[], dict[str, str]]) -> FastAPI:
    """The API and the portal on one platform. `parts` says what else of the platform is up."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=_look_at_routes, args=(app,), name="routes", daemon=True).start()
        yield
        broker.close()

    app = FastAPI(
        title="公共数据沙箱 · Public data sandbox", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )  # fmt: skip
    app.state.platform, app.state.broker, app.state.parts = platform, broker, parts
    for module in ROUTERS:
        app.include_router(module.router, prefix="/api/v1", responses=errors.PROBLEMS)
    with platform.system() as unit:
        city, tier = state.read(unit.session, state.DEMONSTRATION), tiers.current(unit)
    secret = load_secret(platform.settings.keys_root / "forms.key")
    frame.install(app, frame.Portal(secret, bool(city), tier, platform.settings.secure_cookies))
    app.include_router(portal_pages)
    errors.install(app)
    app.add_middleware(BodyLimit, upload_limit=(platform.settings.body_limit_mb << 20) + (1 << 20))
    app.add_middleware(RequestNumber)
    _describe_problems(app)
    return app


def _look_at_routes(app: FastAPI) -> None:
    """The framework makes a route ready when a request first passes it: whoever comes first would wait for hundreds."""
    nowhere = {"type": "http", "method": "GET", "path": "", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(dict(nowhere))


def _describe_problems(app: FastAPI) -> None:
    """Put the shape of errors into the OpenAPI document once."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        document = plain()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = errors.Problem.model_json_schema()
        return document

    app.openapi = described  # type: ignore[method-assign]
