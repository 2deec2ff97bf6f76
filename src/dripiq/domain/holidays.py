"""Is this day a holiday?

Public holidays come from the `holidays` package, by country (ISO 3166-1, "DE") or subdivision (ISO 3166-2, "DE-BY"); a day off that makes up
for one on a weekend is one too. It knows most countries for the years 2001 to 2100, some for fewer; for a year that it does not know there
are none. A country is imported when its first year is asked for, and a year is worked out once.
"""

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import Final

from dripiq.domain.errors import PlanError
from dripiq.domain.plan.model import Holidays

YEARS: Final = range(2000, 2100)
"""The years over which `all_days` looks."""

_SUBDIVISION: Final = re.compile(r"[A-Z0-9]{1,3}")


def is_holiday(holidays: Holidays, day: date) -> bool:
    """Whether nothing is sent that day.

    Raises:
        PlanError: `unknown_region`.
    """
    return day in holidays.dates or any(day in public_holidays(region, day.year) for region in holidays.regions)


def all_days(holidays: Holidays) -> Iterator[date]:
    """The holidays of all `YEARS`, in order.

    Raises:
        PlanError: `unknown_region`.
    """
    for year in YEARS:
        given = (day for day in holidays.dates if day.year == year)
        yield from sorted({*given, *(day for region in holidays.regions for day in public_holidays(region, year))})


@lru_cache(maxsize=16_384)
def public_holidays(region: str, year: int) -> frozenset[date]:
    """The public holidays of a country or subdivision in that year.

    Raises:
        PlanError: `unknown_region`.
    """
    import holidays  # 50 ms and many modules, for plans that ask for it

    if region not in regions():
        raise PlanError(
            f'No holidays are known for "{region}": write a country, such as "DE", or a subdivision, such as "DE-BY".',
            code="unknown_region",
        )
    country, _, subdivision = region.partition("-")
    days = holidays.country_holidays(country, subdiv=subdivision or None)
    if not days.start_year <= year <= days.end_year:
        return frozenset()
    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=year))


@lru_cache(maxsize=1)
def regions() -> frozenset[str]:
    """Every code that `Holidays.regions` may hold."""
    import holidays

    countries = holidays.list_supported_countries(include_aliases=False)
    return frozenset(countries) | {
        f"{country}-{code}" for country, codes in countries.items() for code in codes if _SUBDIVISION.fullmatch(code)
    }
