"""Chinese identifiers, names and places that look right and belong to nobody.

Every provider takes a `numpy.random.Generator` first, returns a numpy object array of `str` of the asked length, and
gives the same bytes for the same seed. Identifiers of one call differ from each other; a range that is too small raises
`Exhausted` instead of repeating a value.

| provider | range | why nobody holds it |
|---|---|---|
| `resident_ids`, `old_resident_ids`, `school_numbers` | region 4499xx | the statistics bureau has no prefecture 4499 |
| `usccs` | registration region 4499xx | the same |
| `organisation_codes` | PDY + 5 digits | left to everybody's own use by GB 11714; for more than 50,000 see there |
| `mobiles` | 154 + 8 digits | the segment 154 was never allotted to an operator (MIIT, as of 2022) |
| `landlines` | 0767- + 8 digits | gap in Guangdong's area codes (in no list of its 21 cities) |
| `bank_cards` | 629999 + 13 digits, Luhn right | no issuer known for the prefix (assumed) |
| `plates` | 粤O | letter of former police plates, never a private person's (assumed) |
| `vins` | maker's code L00 | no maker known (assumed) |
| `passports` | EZ + 7 digits | issue has not reached EZ (assumed) |
| `permits` | see there | excluded by the rules of numbering, or far beyond the number of holders |
| `imeis` | 00 + 12 digits, Luhn right | kept for test equipment by GSMA TS.06 (assumed) |
| `ips` | 198.18.0.0/15, 2001:db8::/32 | kept for tests and examples by RFC 2544 and RFC 3849 |
| `macs` | 06:44:99 + 6 hexadecimal digits | locally administered, in the unused quarter of IEEE 802c (assumed) |
| `emails` | @example.com | kept for examples by RFC 2606 |
| `company_names`, `addresses` | 示范市 | the city does not exist, whatever its districts are called |
| `medical_numbers` | M4499 + 8 digits | hospital-internal form, marked by the city code |
| `coordinates` | around the districts of 示范市 | none: the ground is real, a point says where and never who |
| `person_names`, `remarks` | none | a name alone belongs to many people; a remark names nobody |

A shape checker that knows only allotted segments refuses 154 and 粤O: that is the price of belonging to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from synthetic.providers.address import addresses, places, streets_in, whereabouts
from synthetic.providers.contact import emails, landlines, mobiles
from synthetic.providers.device import coordinates, imeis, ips, macs
from synthetic.providers.documents import medical_numbers, passports, permit_kind, permits, school_numbers
from synthetic.providers.finance import bank_cards
from synthetic.providers.organisation import company_names, organisation_codes, usccs
from synthetic.providers.person import (
    People,
    births,
    old_resident_ids,
    people,
    person_names,
    person_sexes,
    resident_ids,
)
from synthetic.providers.pools import Exhausted, Words
from synthetic.providers.remark import remark_kind, remarks
from synthetic.providers.vehicle import plates, vins

INDEPENDENT: Mapping[str, Callable[[np.random.Generator, int], Words]] = {
    "mobile": mobiles, "landline": landlines, "uscc": usccs, "bank_card": bank_cards, "plate": plates, "email": emails,
    "passport": passports, "vin": vins, "imei": imeis, "mac": macs, "organisation_code": organisation_codes,
    "medical_number": medical_numbers,
}  # fmt: skip
"""meaning of a column → its provider, where a value depends on nothing else in the row"""

__all__ = [
    "INDEPENDENT",
    "Exhausted",
    "People",
    "addresses",
    "bank_cards",
    "births",
    "company_names",
    "coordinates",
    "emails",
    "imeis",
    "ips",
    "landlines",
    "macs",
    "medical_numbers",
    "mobiles",
    "old_resident_ids",
    "organisation_codes",
    "passports",
    "people",
    "permit_kind",
    "permits",
    "person_names",
    "person_sexes",
    "places",
    "plates",
    "remark_kind",
    "remarks",
    "resident_ids",
    "school_numbers",
    "streets_in",
    "usccs",
    "vins",
    "whereabouts",
]
