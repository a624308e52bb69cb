"""治理流水线: reading, quality, grading, refresh as plain functions; flows.py is the only importer of Prefect."""
