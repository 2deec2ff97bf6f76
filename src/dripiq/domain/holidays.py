"""Is this day a holiday?

Public holidays come from the `holidays` package, by country (ISO 3166-1, "DE") or subdivision (ISO 3166-2, "DE-BY"); a day off that makes up
for one on a weekend is one too. It knows most countries for the years 2001 to 2100, some for fewer; for a year that it does not know there
are none. A country is imported when its first year is asked for, and a year is worked out once.
"""

import re
import warnings
from datetime import date
from functools import lru_cache
from typing import Final

from dripiq.domain.errors import PlanError
from dripiq.domain.plan.model import Holidays

YEARS: Final = range(2025, 2055)
"""The years over which `all_days` looks: long enough for every Easter, Ramadan and weekend to meet the others."""

_SUBDIVISION: Final = re.compile(r"[A-Z0-9]{1,3}")


def is_holiday(holidays: Holidays, day: date) -> bool:
    """Whether nothing is sent that day.

    Raises:
        PlanError: `unknown_region`.
    """
    return day in holidays.dates or any(day in public_holidays(region, day.year) for region in holidays.regions)


def all_days(holidays: Holidays) -> list[date]:
    """The holidays of all `YEARS`, in order.

    Raises:
        PlanError: `unknown_region`.
    """
    given = {day for day in holidays.dates if day.year in YEARS}
    return sorted(given.union(*(_worked_out(region, YEARS) for region in holidays.regions)))


def public_holidays(region: str, year: int) -> frozenset[date]:
    """The public holidays of a country or subdivision in that year.

    Raises:
        PlanError: `unknown_region`.
    """
    return _worked_out(region, range(year, year + 1))


@lru_cache(maxsize=8192)
def _worked_out(region: str, years: range) -> frozenset[date]:
    import holidays  # 50 ms and many modules, for plans that ask for it

    if region not in regions():
        raise PlanError(
            f'No holidays are known for "{region}": write a country, such as "DE", or a subdivision, such as "DE-BY".',
            code="unknown_region",
        )
    country, _, code = region.partition("-")
    calendar = holidays.country_holidays(country, subdiv=code or None)
    known = [year for year in years if calendar.start_year <= year <= calendar.end_year]
    with warnings.catch_warnings():  # some countries say aloud that they know some feasts for fewer years
        warnings.simplefilter("ignore")
        return frozenset(holidays.country_holidays(country, subdiv=code or None, years=known))


@lru_cache(maxsize=1)
def regions() -> frozenset[str]:
    """Every code that `Holidays.regions` may hold: those of ISO, not the package's own names for parts that have none."""
    import holidays

    countries = holidays.list_supported_countries(include_aliases=False)
    return frozenset(countries) | {
        f"{country}-{code}" for country, codes in countries.items() for code in codes if _SUBDIVISION.fullmatch(code)
    }
