"""Every lifecycle of the platform, with the modules that register their guards loaded."""

from __future__ import annotations

from sandbox.applications import service as _applications
from sandbox.applications.model import APPLICATION, APPROVAL
from sandbox.catalog import deliveries as _deliveries
from sandbox.catalog import versions as _versions
from sandbox.catalog.corrections import CORRECTION
from sandbox.catalog.model import DELIVERY, LOWERING, RESOURCE
from sandbox.exports import service as _exports
from sandbox.exports.model import EXPORT, RECALL
from sandbox.merchants import service as _merchants
from sandbox.merchants.model import MERCHANT, ONBOARDING
from sandbox.products.model import RUN
from sandbox.workspaces.model import QUOTA, UPLOAD, WORKSPACE

LIFECYCLES = (
    RESOURCE, DELIVERY, LOWERING, CORRECTION, ONBOARDING, MERCHANT, APPLICATION, APPROVAL, WORKSPACE, QUOTA,
    UPLOAD, RUN, EXPORT, RECALL,
)  # fmt: skip
GUARDING = (_applications, _deliveries, _versions, _exports, _merchants)
