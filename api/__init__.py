"""入口: JSON API, portal, command line, worker."""
