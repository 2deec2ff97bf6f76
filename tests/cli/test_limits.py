"""`dripiq limits`: what is said takes the place of the defaults, one scope at a time, and can be taken back."""

from sqlalchemy import Engine

from tests.cli.conftest import Dripiq, count


def test_limits_are_listed_with_their_defaults_set_and_taken_back(dripiq: Dripiq, engine: Engine, acme: str) -> None:
    tenant = ("--tenant", "Acme", "--json")
    dripiq("limits", "set", "sender", "--per-minute", "30", "--per-day", "2000", "--ramp-start", "50", *tenant)
    told = dripiq("limits", "set", "domain", "--for", "Example.COM", "--per-hour", "50", *tenant).json["limit"]
    assert (told["scope"], told["for"], told["per_hour"], told["per_day"]) == ("domain", "example.com", 50, None)
    listed = dripiq("limits", "list", *tenant).json["limits"]
    by_email = {(each["scope"], each["for"]): each for each in listed if each["channel"] == "email"}
    sender = by_email["sender", None]
    assert (sender["per_minute"], sender["per_hour"], sender["per_day"]) == (30, None, 2000)
    assert (sender["ramp"]["start"], sender["ramp"]["double_every_days"]) == (50, 3)
    assert by_email["domain", "example.com"]["per_hour"] == 50
    assert dripiq("limits", "set", "tenant", "--unlimited", "--tenant", acme).out == "Acme, email, tenant: unlimited\n"
    for scope in ("sender", "tenant"):
        assert dripiq("limits", "clear", scope, *tenant).code == 0
    dripiq("limits", "clear", "domain", *tenant)
    listed = dripiq("limits", "list", *tenant).json["limits"]
    left = {(each["scope"], each["for"]): each for each in listed if each["channel"] == "email"}
    assert (left["sender", None]["per_minute"], left["sender", None]["is_default"]) == (20, True)
    assert count(engine, "send_rate_limits", "channel = 'email'") == 1
    assert "per minute" in dripiq("limits", "list", "--tenant", "Acme").out


def test_what_makes_no_limit_is_refused_and_changes_nothing(dripiq: Dripiq, engine: Engine, acme: str) -> None:
    before = count(engine, "send_rate_limits")
    for arguments, code, error in (
        (("set", "sender"), 2, "limit"),
        (("set", "sender", "--per-hour", "10", "--unlimited"), 2, "limit"),
        (("set", "sender", "--per-hour", "0"), 2, "limit"),
        (("set", "domain", "--for", "not a domain", "--per-hour", "5"), 2, "invalid_domain"),
        (("set", "tenant", "--for", "x", "--per-hour", "10"), 2, "limit"),
        (("set", "sender", "--for", "nobody", "--per-hour", "10"), 4, "unknown_sender"),
        (("set", "sender", "--per-hour", "10", "--ramp-start", "5"), 2, "ramp"),
        (("clear", "domain", "--for", "example.org"), 4, "unknown_limit"),
    ):
        refused = dripiq("limits", *arguments, "--tenant", acme, "--json")
        assert (refused.code, refused.error["code"]) == (code, error), arguments
    assert count(engine, "send_rate_limits") == before


def test_a_limit_of_one_sender_is_set_shown_and_cleared_by_its_address(dripiq: Dripiq, acme: str) -> None:
    one = ("sender", "--for", "Kim@acme.example.com", "--tenant", acme)
    assert (
        dripiq("limits", "set", *one, "--per-hour", "3").out == "Acme, email, sender kim@acme.example.com: 3 an hour\n"
    )
    listed = dripiq("limits", "list", "--tenant", acme, "--json").json["limits"]
    assert [each["per_hour"] for each in listed if each["for"] == "kim@acme.example.com"] == [3]
    both = dripiq("limits", "set", *one, "--per-hour", "3", "--unlimited").err
    assert "one or the other, not both" in both
    assert dripiq("limits", "clear", *one).code == 0
    assert "Nothing was said of it; the default holds." in dripiq("limits", "clear", *one).err
