"""A merchant's side of the HTTP API: used by `pds ws`, wherever the platform is."""
