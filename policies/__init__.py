"""规则: what compliance officers own. YAML editions with one typed loader; imports nothing else of the project."""
