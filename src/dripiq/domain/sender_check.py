"""May a domain's mail be believed to be its own? Judges its SPF, DKIM and DMARC records, and says what to publish.

SPF: RFC 7208 (one record, 4.5; terms, 4.6; ten look-ups at most, 4.6.4). DKIM: RFC 6376, 3.6.1, and RFC 8301 (no RSA key below 1024 bits, no SHA-1). DMARC: RFC
7489, 6.3 and 6.6.3.
"""

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_LOOKUPS: Final = 10
_LOOKING_UP: Final = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_MECHANISM: Final = re.compile(
    r"[+?~-]?(?:all|(?:include|exists):\S+|(?:a|mx)(?::[^\s/]+)?(?:/\d{1,2})?(?://\d{1,3})?|ptr(?::\S+)?|ip4:[\d.]+(?:/\d{1,2})?|ip6:[\da-f:.]+(?:/\d{1,3})?)",
    re.IGNORECASE,
)
_MODIFIER: Final = re.compile(r"[a-z][a-z0-9._-]*=\S*", re.IGNORECASE)
_SMALLEST_RSA: Final = 160
"""Bytes of an RSA key of 1024 bits as X.509 writes it (162), less what its numbers may lack."""


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `name` and `value` are the TXT record that would put it right."""

    what: str
    level: Level
    code: str
    said: str
    name: str | None = None
    value: str | None = None


def spf_of(texts: Sequence[str]) -> list[str]:
    """Which of a name's TXT records are SPF's."""
    return [text for text in texts if re.match(r"v=spf1(?: |$)", text, re.IGNORECASE)]


def spf_targets(record: str) -> list[str]:
    """The names whose records this one takes in: `include` and `redirect`; one with a macro in it depends on the mail, and is left out."""
    found = re.findall(r"(?:^|\s)(?:[+?~-]?include:|redirect=)(\S+)", record, re.IGNORECASE)
    return [name.rstrip(".").lower() for name in found if "%" not in name]


def judge_spf(domain: str, texts: Sequence[str], taken_in: Mapping[str, Sequence[str]], source: str) -> Finding:
    """Judge a domain's SPF.

    Args:
        texts: the TXT records of the domain.
        taken_in: those of all names that its record takes in, and theirs.
        source: the mechanism that names who sends (`include:sendgrid.net`).
    """

    def fault(code: str, said: str, value: str | None = None, level: Level = Level.FAULT) -> Finding:
        return Finding("SPF", level, code, said, domain if value else None, value)

    records = spf_of(texts)
    if not records:
        return fault("spf_missing", "There is no SPF record.", f"v=spf1 {source} ~all")
    if len(records) > 1:
        merged = " ".join(dict.fromkeys(t for r in records for t in r.split()[1:] if t.lstrip("+?~-").lower() != "all"))
        return fault(
            "spf_several", "There are several SPF records, so none counts: merge them.", f"v=spf1 {merged} ~all"
        )
    terms = records[0].split()[1:]
    bad = [term for term in terms if not (_MECHANISM.fullmatch(term) or _MODIFIER.fullmatch(term))]
    if bad:
        return fault("spf_syntax", f"{bad[0]!r} is no term of SPF, so the record does not count.")
    lookups = count_lookups(records[0], taken_in)
    if lookups > MOST_LOOKUPS:
        return fault(
            "spf_lookups", f"The record takes {lookups} look-ups where {MOST_LOOKUPS} are allowed: include less."
        )
    lacking = [name for name in spf_targets(records[0]) if not spf_of(taken_in.get(name, ()))]
    if lacking:
        return fault("spf_include", f"{lacking[0]} has no SPF record, so this one does not count: take it out.")
    if any(term.lower() in ("all", "+all") for term in terms):
        closed = re.sub(r"(?i)(?<=\s)\+?all\b", "~all", records[0])
        return fault("spf_open", "The record lets everybody send in the domain's name.", closed)
    if source.lower() not in (term.lstrip("+").lower() for term in terms):
        added = re.sub(r"(?i)^v=spf1", f"v=spf1 {source}", records[0])
        return fault("spf_source", "The record does not name who sends, by itself.", added, Level.WARNING)
    return Finding("SPF", Level.OK, "spf", f"One record, {lookups} look-ups.")


def count_lookups(record: str, taken_in: Mapping[str, Sequence[str]], seen: frozenset[str] = frozenset()) -> int:
    """How many DNS look-ups it takes to judge a record, those of what it takes in included; a circle counts as too many."""
    terms = [re.split(r"[:=/]", term.lstrip("+?~-").lower())[0] for term in record.split()[1:]]
    found = sum(term in _LOOKING_UP for term in terms)
    for name in spf_targets(record):
        if name in seen or found > MOST_LOOKUPS:
            return found + MOST_LOOKUPS * (name in seen)
        inner = spf_of(taken_in.get(name, ()))
        found += count_lookups(inner[0], taken_in, seen | {name}) if len(inner) == 1 else 0
    return found


def judge_dkim(domain: str, selector: str, texts: Sequence[str]) -> Finding:
    """Judge the key that a selector names."""
    name = f"{selector}._domainkey.{domain}"

    def found(level: Level, code: str, said: str) -> Finding:
        return Finding(f"DKIM {selector}", level, code, said)

    if not texts:
        said = f"There is no key at {name}: publish the one that your mail provider shows, as TXT or as its CNAME."
        return found(Level.FAULT, "dkim_missing", said)
    if len(texts) > 1:
        return found(Level.FAULT, "dkim_several", f"There are several records at {name}, so it is open which counts.")
    tags = _tags(texts[0])
    if "p" not in tags or tags.get("v", "DKIM1") != "DKIM1" or tags.get("k", "rsa") not in ("rsa", "ed25519"):
        return found(Level.FAULT, "dkim_syntax", f"What is at {name} is no DKIM key.")
    if not tags["p"]:
        return found(Level.FAULT, "dkim_revoked", f"The key at {name} was withdrawn (p= is empty).")
    try:
        key = b64decode(re.sub(r"\s", "", tags["p"]), validate=True)
    except ValueError:
        return found(Level.FAULT, "dkim_syntax", f"The key at {name} is no base64: it was cut, or quotes got into it.")
    if tags.get("k", "rsa") == "rsa" and len(key) < _SMALLEST_RSA:
        return found(Level.FAULT, "dkim_weak", f"The key at {name} has fewer than 1024 bits: make one of 2048.")
    if "h" in tags and "sha256" not in re.split(r"\s*:\s*", tags["h"]):
        return found(Level.FAULT, "dkim_hash", f"The key at {name} is not for SHA-256 (h=): take h= out.")
    if "y" in re.split(r"\s*:\s*", tags.get("t", "")):
        return found(Level.WARNING, "dkim_testing", f"The key at {name} is marked as a test (t=y): take that out.")
    return found(Level.OK, "dkim", "The key is there.")


def judge_dmarc(domain: str, found: Mapping[str, Sequence[str]]) -> Finding:
    """Judge a domain's DMARC, its own or that of a domain above it; `found` are the TXT records of each of `dmarc_names`."""
    own, published = dmarc_names(domain)[0], "v=DMARC1; p=none; rua=mailto:dmarc@" + domain
    for name in dmarc_names(domain):
        records = [text for text in found.get(name, ()) if re.match(r"v\s*=\s*DMARC1\s*(;|$)", text)]
        if not records:
            continue
        policy = _tags(records[0]).get("sp" if name != own else "p") or _tags(records[0]).get("p", "")
        if len(records) > 1:
            return Finding(
                "DMARC", Level.FAULT, "dmarc_several", f"There are several DMARC records at {name}, so none counts."
            )
        if policy.lower() not in ("none", "quarantine", "reject"):
            return Finding(
                "DMARC", Level.FAULT, "dmarc_policy", f"The record at {name} has no policy (p=).", own, published
            )
        if policy.lower() == "none" and "rua" not in _tags(records[0]):
            said = f"The policy at {name} is none, and nobody gets its reports (rua=): it does nothing."
            return Finding("DMARC", Level.WARNING, "dmarc_idle", said, own, published)
        return Finding("DMARC", Level.OK, "dmarc", f"{name}: policy {policy.lower()}.")
    return Finding("DMARC", Level.FAULT, "dmarc_missing", "There is no DMARC record.", own, published)


def dmarc_names(domain: str) -> list[str]:
    """Where a domain's DMARC record may stand: its own, then each domain's above it that has two labels or more."""
    labels = domain.split(".")
    return [f"_dmarc.{'.'.join(labels[at:])}" for at in range(max(1, len(labels) - 1))]


def _tags(record: str) -> dict[str, str]:
    """A record's `tag=value` pairs (RFC 6376, 3.2)."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}
