"""What every noun shares: settings, clock, errors, identity, permissions, lifecycles, audit, database, jobs."""
