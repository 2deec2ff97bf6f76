"""`dripiq doctor` names what is wrong and the record to publish; the records come from a real DNS server on loopback."""

import socketserver
import threading
from base64 import b64encode
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rrset
import pytest
from sqlalchemy import Engine, text

from dripiq.domain.sender_check import judge_dkim, judge_dmarc, judge_spf
from tests.cli.conftest import Dripiq

KEY = b64encode(bytes(294)).decode()
GOOD = {
    "good.example.com": ["v=spf1 include:sendgrid.net -all", "something=else"],
    "sendgrid.net": ["v=spf1 ip4:192.0.2.0/24 -all"],
    "s1._domainkey.good.example.com": [f"v=DKIM1; k=rsa; p={KEY}"],
    "_dmarc.example.com": ["v=DMARC1; p=reject"],
}


class _Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, connection = self.request
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        question = query.question[0]
        texts = GOOD.get(question.name.to_text(omit_final_dot=True))
        if texts is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:  # in strings of 100 characters: they are put together
            quoted = [" ".join(f'"{text[at : at + 100]}"' for at in range(0, len(text), 100)) for text in texts]
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", *quoted))
        connection.sendto(answer.to_wire(), self.client_address)


@pytest.fixture
def dns_server() -> Iterator[str]:
    """The address of a DNS server that knows `GOOD`."""
    with socketserver.UDPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_domain_whose_records_are_right_is_fine(dripiq: Dripiq, dns_server: str) -> None:
    found = dripiq(
        "doctor", "--domain", "good.example.com", "--selector", "s1", "--source", "include:sendgrid.net", "--json",
        dns_server=dns_server, secret="s" * 32, public_url="https://example.com",
    )  # fmt: skip
    assert {f["what"]: f["level"] for f in found.json["findings"]} == dict.fromkeys(
        ("public URL", "secret", "database", "SPF", "DKIM s1", "DMARC"), "ok"
    )
    assert found.code == 0


def test_what_a_domain_lacks_is_said_with_the_record_to_publish(dripiq: Dripiq, dns_server: str) -> None:
    found = dripiq("doctor", "--domain", "bare.test", dns_server=dns_server, smtp_provider="sendgrid")
    assert found.code == 1
    assert 'publish  bare.test.  TXT  "v=spf1 include:sendgrid.net ~all"' in found.out
    assert 'publish  _dmarc.bare.test.  TXT  "v=DMARC1; p=none; rua=mailto:dmarc@bare.test"' in found.out
    assert "There is no key at s2._domainkey.bare.test" in found.out


def test_wrong_settings_are_named(dripiq: Dripiq) -> None:
    found = dripiq(
        "doctor", "--json", public_url="example.com", secret="s" * 32, sendgrid_webhook_key="x", email_channel="smtp",
        smtp_host="127.0.0.1", smtp_port="1", database_url="postgresql://nobody@127.0.0.1:1/none",
    )  # fmt: skip
    faults = {f["code"] for f in found.json["findings"] if f["level"] == "fault"}
    assert faults == {"public_url", "verification_key", "smtp_unreachable", "database_unreachable"}
    assert found.code == 1


def test_dns_that_does_not_answer_is_said(dripiq: Dripiq) -> None:
    assert dripiq("doctor", "--domain", "x.test", "--json", dns_server="9.9.9.9").error["code"] == "dns_server"
    found = dripiq("doctor", "--domain", "x.test", "--json", dns_server="127.0.0.1:1").json["findings"]
    assert found[-1]["code"] == "dns_failed"


SOURCE = "include:a.test"
INCLUDED = {"a.test": ["v=spf1 mx -all"]}


@pytest.mark.parametrize(
    ("texts", "code", "published"),
    [
        ([], "spf_missing", "v=spf1 include:a.test ~all"),
        (["v=spf10 -all"], "spf_missing", "v=spf1 include:a.test ~all"),
        (["v=spf1 a -all", "v=spf1 mx ~all"], "spf_several", "v=spf1 a mx ~all"),
        (["v=spf1 ipv4:1.2.3.4 -all"], "spf_syntax", None),
        (["v=spf1 include:a.test +all"], "spf_open", "v=spf1 include:a.test ~all"),
        (["v=spf1 a -all"], "spf_source", "v=spf1 include:a.test a -all"),
        (["v=spf1 include:gone.test -all"], "spf_include", None),
        (["v=spf1 include:a.test " + "a " * 8 + "-all"], "spf", None),
        (["v=spf1 include:a.test " + "a " * 9 + "-all"], "spf_lookups", None),
        (["v=spf1 include:a.test ip4:192.0.2.0/24 ip6:2001:db8::/32 exists:%{i}.x.test exp=e.test ~all"], "spf", None),
    ],
)
def test_spf_is_judged(texts: list[str], code: str, published: str | None) -> None:
    found = judge_spf("x.test", texts, INCLUDED, SOURCE)
    assert (found.code, found.value) == (code, published)


def test_spf_that_takes_itself_in_ends() -> None:
    found = judge_spf("a.test", ["v=spf1 include:a.test ~all"], {"a.test": ["v=spf1 include:a.test ~all"]}, SOURCE)
    assert found.code == "spf_lookups"


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ([], "dkim_missing"),
        ([f"p={KEY}", f"p={KEY}"], "dkim_several"),
        (["v=DKIM2; p=x"], "dkim_syntax"),
        (["k=rsa"], "dkim_syntax"),
        (["p="], "dkim_revoked"),
        (["p=abc"], "dkim_syntax"),
        ([f"p={b64encode(bytes(94)).decode()}"], "dkim_weak"),
        ([f"h=sha1; p={KEY}"], "dkim_hash"),
        ([f"t=y:s; p={KEY}"], "dkim_testing"),
        ([f"p={b64encode(bytes(32)).decode()}; k=ed25519"], "dkim"),
        ([f"v=DKIM1; p={KEY[:100]} {KEY[100:]}"], "dkim"),
    ],
)
def test_a_dkim_key_is_judged(texts: list[str], code: str) -> None:
    assert judge_dkim("x.test", "s1", texts).code == code


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ({}, "dmarc_missing"),
        ({"_dmarc.m.x.test": ["v=DMARC1; p=none"]}, "dmarc_idle"),
        ({"_dmarc.m.x.test": ["v=DMARC1; p=none; rua=mailto:a@x.test"]}, "dmarc"),
        ({"_dmarc.m.x.test": ["v=DMARC1; rua=mailto:a@x.test"]}, "dmarc_policy"),
        ({"_dmarc.m.x.test": ["v=DMARC1; p=reject", "v=DMARC1; p=none"]}, "dmarc_several"),
        ({"_dmarc.x.test": ["v=DMARC1; p=none; sp=quarantine"]}, "dmarc"),
    ],
)
def test_dmarc_is_judged_by_its_own_record_or_the_one_above(found: dict[str, list[str]], code: str) -> None:
    assert judge_dmarc("m.x.test", found).code == code


def test_a_setting_that_is_misspelt_is_named_and_an_empty_one_is_not_set(dripiq: Dripiq) -> None:
    findings = dripiq("doctor", "--json", public_url="", publik_url="https://example.com").json["findings"]
    said = {finding["code"]: (finding["what"], finding["said"]) for finding in findings}
    assert "no_public_url" in said
    assert said["unknown_setting"] == (
        "DRIPIQ_PUBLIK_URL",
        'There is no such setting (did you mean "DRIPIQ_PUBLIC_URL"?).',
    )


def test_a_mailbox_that_is_not_read_is_said_and_the_variable_of_an_accounts_password_is_no_misspelt_setting(
    dripiq: Dripiq, engine: Engine
) -> None:
    dripiq("tenants", "create", "Acme")
    dripiq("senders", "add", "kim@example.com", "--tenant", "Acme", "--verified")
    account = ("senders", "account", "set", "kim@example.com", "--tenant", "Acme", "--smtp-host", "mail.test")
    login = ("--smtp-user", "kim", "--smtp-password", "env:DRIPIQ_KIMS", "--imap-host", "imap.test")
    assert dripiq(*account, *login).code == 0
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE dripiq_app.sender_accounts SET imap_failures = 3, imap_error = 'The server refuses the log-in.'"
            )
        )
    found = dripiq("doctor", "--json", kims="hunter2", kim="hunter2")
    said = {finding["code"]: (finding["what"], finding["level"], finding["said"]) for finding in found.json["findings"]}
    why = "The server refuses the log-in."
    assert said["mailbox_not_read"] == ("mailbox of kim@example.com", "fault", f"{why} (imap.test; tried 3 times)")
    assert [finding["what"] for finding in found.json["findings"] if finding["code"] == "unknown_setting"] == [
        "DRIPIQ_KIM"
    ]
    assert (found.code, "hunter2" in found.out) == (1, False)
    (listed,) = dripiq("senders", "list", "--tenant", "Acme", "--json").json["senders"]
    assert listed["mailbox_error"] == why
    assert "refuses" in dripiq("senders", "list", "--tenant", "Acme").out
    shown = dripiq("senders", "account", "show", "kim@example.com", "--tenant", "Acme", "--json").json["account"]
    assert (shown["imap"]["failures"], shown["imap"]["error"], shown["imap"]["read_at"]) == (3, why, None)
