"""Chinese identifiers, names and places that look right and belong to nobody.

Every provider takes a `numpy.random.Generator` first, returns a numpy object array of `str` of the asked length, and
gives the same bytes for the same seed. Identifiers of one call differ from each other; a range that is too small raises
ValueError instead of repeating a value.

| provider | range | why nobody holds it |
|---|---|---|
| `resident_ids`, `school_numbers` | region 4499xx | no prefecture has the code 4499 in the statistics bureau's list |
| `usccs` | registration region 4499xx | the same |
| `mobiles` | 154 + 8 digits | the segment 154 was never allotted to an operator (MIIT) |
| `landlines` | 0767- + 8 digits | gap in Guangdong's area codes (assumed) |
| `bank_cards` | 629999 + 13 digits, Luhn right | no issuer known for the prefix (assumed) |
| `plates` | 粤O | letter of former police plates, withdrawn (assumed) |
| `vins` | maker's code L00 | no maker known (assumed) |
| `passports` | EZ + 7 digits | issue has not reached EZ (assumed) |
| `emails` | @example.com | kept for examples by RFC 2606 |
| `company_names`, `addresses` | 示范市 | the city does not exist |
| `medical_numbers` | M4499 + 8 digits | hospital-internal form, marked by the city code |
| `organisation_codes` | MA + 6, check right | not excluded: the code carries no region and names no person |
| `person_names` | none | a name alone belongs to many people |

A shape checker that knows only allotted segments refuses 154 and 粤O: that is the price of belonging to nobody.
"""

from __future__ import annotations

from synthetic.providers.address import addresses, places
from synthetic.providers.contact import emails, landlines, mobiles
from synthetic.providers.finance import bank_cards
from synthetic.providers.organisation import company_names, organisation_codes, usccs
from synthetic.providers.person import (
    People,
    births,
    medical_numbers,
    passports,
    people,
    person_names,
    person_sexes,
    resident_ids,
    school_numbers,
)
from synthetic.providers.remark import remarks
from synthetic.providers.vehicle import plates, vins

__all__ = [
    "People",
    "addresses",
    "bank_cards",
    "births",
    "company_names",
    "emails",
    "landlines",
    "medical_numbers",
    "mobiles",
    "organisation_codes",
    "passports",
    "people",
    "person_names",
    "person_sexes",
    "places",
    "plates",
    "remarks",
    "resident_ids",
    "school_numbers",
    "usccs",
    "vins",
]
