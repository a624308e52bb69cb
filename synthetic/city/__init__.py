"""示范市: a city that does not exist, as demonstration, fixture and benchmark input.

Eight simulated tables of eight departments that fit together (people, firms, visits, …), written as departments write
them, with encodings, titles and dirt, the true answers beside them, and one real, openly licensed reference table.
"""

from __future__ import annotations

from synthetic.city.build import TABLES, CityFile, CityManifest, build

__all__ = ["TABLES", "CityFile", "CityManifest", "build"]
