"""Every lifecycle of the platform, with the modules that register their guards loaded."""

from __future__ import annotations

from sandbox.applications import service as _applications
from sandbox.applications.model import APPLICATION, APPROVAL
from sandbox.catalog import service as _catalog
from sandbox.catalog.corrections import CORRECTION
from sandbox.catalog.model import RESOURCE
from sandbox.exports import service as _exports
from sandbox.exports.model import EXPORT
from sandbox.merchants import service as _merchants
from sandbox.merchants.model import MERCHANT, ONBOARDING
from sandbox.products.model import RUN
from sandbox.workspaces.model import WORKSPACE

LIFECYCLES = (RESOURCE, CORRECTION, ONBOARDING, MERCHANT, APPLICATION, APPROVAL, WORKSPACE, RUN, EXPORT)
GUARDING = (_applications, _catalog, _exports, _merchants)
