"""`dripiq suppress`, `suppressions` and `tenants pause`: what must not leave is said in one line, and taken back in another."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from dripiq.domain.errors import InputError
from dripiq.domain.states import Channel, SuppressionScope
from dripiq.domain.suppression_list import read_list, stored_value
from tests.cli.conftest import Dripiq, count

ADDRESS, DOMAIN = SuppressionScope.ADDRESS, SuppressionScope.DOMAIN


def test_addresses_domains_and_files_are_suppressed_listed_and_lifted(
    dripiq: Dripiq, engine: Engine, acme: str, tmp_path: Path
) -> None:
    told = dripiq("suppress", "Ann@Example.com", "bob@example.com", "ann@example.com", "--tenant", "Acme", "--json")
    assert told.json == {"suppressed": 2, "scope": "address", "channel": "email", "reason": "manual", "bad": []}
    assert dripiq("suppress", "@Example.com", "--domain", "--tenant", acme).out.endswith("to 1 domain (manual)\n")
    file = tmp_path / "list.csv"
    file.write_text("Name;E-Mail\nAnn;ann@example.com\nX;nobody\nKim;kim@example.org\n")
    arguments = ("suppress", "--file", str(file), "--reason", "unsubscribe", "--tenant", "Acme", "--json")
    refused = dripiq(*arguments)
    assert (refused.code, refused.error["facts"]) == (2, {"bad": [{"line": 3, "value": "nobody"}]})
    assert count(engine, "communication_suppressions") == 3
    assert dripiq(*arguments, "--skip-bad").json["suppressed"] == 2
    listed = dripiq("suppressions", "list", "--tenant", "Acme", "--for", "ann@example.com", "--json").json
    assert [(row["value"], row["type"], row["source"]) for row in listed["suppressions"]] == [
        ("ann@example.com", "manual", "manual"),
        ("ann@example.com", "unsubscribe", "import"),
        ("example.com", "manual", "manual"),
    ]
    page = dripiq("suppressions", "list", "--tenant", "Acme", "--limit", "4", "--json").json
    rest = dripiq("suppressions", "list", "--tenant", "Acme", "--after", page["next"], "--json").json
    assert [row["value"] for row in rest["suppressions"]] == ["kim@example.org"]
    lifted = dripiq("suppressions", "lift", "ann@example.com", "--tenant", "Acme", "--json").json
    assert lifted == {
        "lifted": [{"value": "ann@example.com", "reason": "manual"}],
        "left": [{"value": "ann@example.com", "reason": "unsubscribe"}],
    }
    again = dripiq("suppressions", "lift", "ann@example.com", "--tenant", "Acme", "--json")
    assert (again.code, again.error["code"], "unsubscribe" in again.error["message"]) == (
        4,
        "unknown_suppression",
        True,
    )
    assert dripiq("suppressions", "lift", "EXAMPLE.com", "--domain", "--tenant", "Acme").out == "Lifted: 1\n"
    dripiq("suppress", "0|b@example.com", "0|c@example.com", "--tenant", "Acme")
    first = dripiq("suppressions", "list", "--tenant", "Acme", "--limit", "1", "--json").json
    onward = dripiq("suppressions", "list", "--tenant", "Acme", "--limit", "1", "--after", first["next"], "--json").json
    assert [page["suppressions"][0]["value"] for page in (first, onward)] == ["0|b@example.com", "0|c@example.com"]
    nowhere = dripiq("suppressions", "list", "--tenant", "Acme", "--after", "kim", "--json")
    assert (nowhere.code, nowhere.error["code"]) == (2, "usage")
    file.write_text("\n")
    empty = dripiq(*arguments)
    assert (empty.code, empty.error["code"], str(file) in empty.error["message"]) == (2, "empty_file", True)
    neither = dripiq("suppress", "--tenant", "Acme", "--json")
    assert (neither.code, neither.error["code"]) == (2, "usage")


def test_the_kill_switch_turns_and_turns_back(dripiq: Dripiq, engine: Engine, acme: str) -> None:
    off = dripiq("tenants", "pause", "Acme", "--reason", "a wrong list", "--json")
    assert off.json == {"tenant_id": acme, "sending": "paused", "reason": "a wrong list"}
    (tenant,) = (t for t in dripiq("tenants", "list", "--json").json["tenants"] if t["id"] == acme)
    assert (tenant["sending_paused_reason"], bool(tenant["sending_paused_at"])) == ("a wrong list", True)
    with engine.begin() as connection:
        connection.execute(text("UPDATE dripiq_app.scheduled_actions SET status = 'held', reason = 'tenant_paused'"))
    on = dripiq("tenants", "resume", "Acme", "--json")
    assert on.json == {"tenant_id": acme, "sending": "on", "released": 0}
    assert dripiq("tenants", "pause", "Nobody", "--json").code == 4


def test_senders_are_listed_with_their_rates_paused_and_let_go_on(dripiq: Dripiq, acme: str) -> None:
    address = "kim@acme.example.com"
    assert dripiq("senders", "weigh", address, "3", "--tenant", "Acme", "--json").json["weight"] == 3
    paused = dripiq("senders", "pause", address, "--note", "on holiday", "--tenant", "Acme", "--json")
    assert paused.json == {"sender": address, "state": "paused"}
    (row,) = dripiq("senders", "list", "--tenant", "Acme", "--json").json["senders"]
    assert {key: row[key] for key in ("weight", "pause_reason", "pause_note", "sent", "bounce_rate")} == {
        "weight": 3,
        "pause_reason": "manual",
        "pause_note": "on holiday",
        "sent": 0,
        "bounce_rate": 0.0,
    }
    assert "on holiday" in dripiq("senders", "list", "--tenant", "Acme").out
    assert dripiq("senders", "resume", row["id"], "--tenant", "Acme", "--json").json["state"] == "sending"
    account = (
        "senders",
        "account",
        "set",
        address,
        "--smtp-host",
        "smtp.test",
        "--smtp-user",
        "kim",
        "--tenant",
        "Acme",
    )
    given = dripiq(*account, "--smtp-password", "hunter2", "--json")
    assert (given.code, given.error["code"], "hunter2" in given.out + given.err) == (2, "secret_reference", False)
    assert dripiq(*account, "--smtp-password", "env:KIMS", "--imap-host", "imap.test").code == 0
    shown = dripiq("senders", "account", "show", address, "--tenant", "Acme", "--json").json["account"]
    assert (shown["smtp"]["password"], shown["imap"]["user"], shown["imap"]["folder"]) == ("env:KIMS", "kim", "INBOX")
    assert dripiq("senders", "account", "remove", address, "--tenant", "Acme").code == 0
    assert dripiq("senders", "account", "show", address, "--tenant", "Acme", "--json").error["code"] == "no_account"
    again = dripiq("senders", "resume", address, "--tenant", "Acme", "--json")
    assert (again.code, again.error["code"]) == (5, "sender_not_paused")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a@example.com\nB@example.com\n\na@example.com", ("a@example.com", "b@example.com")),
        ("\ufeffemail\n a@example.com \n", ("a@example.com",)),
        ('name,"E-Mail Address"\n"Roe, Ann",a@example.com\n', ("a@example.com",)),
        ("", ()),
    ],
)
def test_a_list_has_a_header_or_one_entry_a_line(text: str, values: tuple[str, ...]) -> None:
    found = read_list(text.encode(), Channel.EMAIL, ADDRESS)
    assert (found.values, found.bad) == (values, ())


def test_entries_are_stored_in_the_form_in_which_messages_name_them() -> None:
    assert stored_value("Bücher.example", Channel.EMAIL, DOMAIN) == "xn--bcher-kva.example"
    assert stored_value("+49 (151) 123-456 78", Channel.SMS, ADDRESS) == "+4915112345678"
    for given, channel, scope in (("x", Channel.EMAIL, DOMAIN), ("0151", Channel.SMS, ADDRESS)):
        with pytest.raises(InputError):
            stored_value(given, channel, scope)
    with pytest.raises(InputError, match="UTF-8"):
        read_list(b"\xff\xfe", Channel.EMAIL, ADDRESS)
