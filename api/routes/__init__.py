"""The JSON API, one module a noun. Routes translate; services decide."""
