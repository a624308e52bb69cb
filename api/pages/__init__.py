"""The portal's pages, one module a noun. Pages translate; services decide, the same ones the JSON API calls."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from api.pages import (
    applications,
    audit,
    catalog,
    corrections,
    deliveries,
    demonstration,
    export_groups,
    exports,
    grading,
    home,
    job,
    jobs,
    metering,
    onboarding,
    plans,
    policies,
    preview,
    queries,
    queue,
    reading,
    reports,
    resources,
    reviewing,
    runs,
    schedules,
    selfchecks,
    session,
    subjects,
    twins,
    viewer,
    workspace_files,
    workspaces,
)

MODULES = (
    home, session, catalog, resources, twins, grading, subjects, plans, deliveries, corrections, onboarding,
    applications, workspaces, queries, workspace_files, reading, preview, runs, metering, exports, export_groups,
    selfchecks, queue, reviewing, audit, jobs, job,
    schedules, policies, reports, demonstration,
)  # fmt: skip

router = APIRouter(include_in_schema=False, dependencies=[Depends(viewer.seat)])
for _module in MODULES:
    router.include_router(_module.router)
