"""披露: public figures of the operation, counted from the audit log, and published on purpose."""
