"""`dripiq contacts import`."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.cli.conftest import Dripiq, count


def export(path: Path, rows: int, *, bad: tuple[int, ...] = ()) -> Path:
    """A file of that many rows; those on the `bad` lines hold no address."""
    lines = ["email,name,company,timezone,external_ref"]
    lines += [
        f"{'nobody' if line in bad else f'p{line}@example.com'},Person {line},Company {line % 7},Europe/Berlin,ref-{line}"
        for line in range(2, rows + 2)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_export_comes_in_with_its_own_delimiter_headers_and_byte_order_mark(
    dripiq: Dripiq, acme: str, engine: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "export.csv"
    file.write_bytes(
        "\ufeffE-Mail-Adresse;Vorname;Nachname;Firma;Zeitzone;Notiz\r\n"
        'MULLER@Example.COM;Jörg;Müller;"Hafen; Süd";Europe/Berlin;x\r\n'
        'ann@example.com;Ann;;"HAFEN; süd"\r\n'.encode()
    )

    answer = dripiq("contacts", "import", file, "--tenant", "Acme", "--json")

    assert (answer.code, answer.json["imported"], answer.json["leads_created"]) == (0, 2, 1)
    assert answer.json["columns"]["email"] == "E-Mail-Adresse"
    assert answer.json["ignored_columns"] == ["Notiz"]
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT tenant_id, email, name, timezone FROM dripiq_app.lead_point_of_contacts ORDER BY email")
        ).all()
    assert [tuple(row) for row in rows] == [
        (acme, "ann@example.com", "Ann", None),
        (acme, "muller@example.com", "Jörg Müller", "Europe/Berlin"),
    ]


@pytest.mark.usefixtures("acme")
def test_three_bad_rows_in_a_thousand_stop_the_import_and_are_named(
    dripiq: Dripiq, engine: Engine, tmp_path: Path
) -> None:
    file = export(tmp_path / "people.csv", 1000, bad=(17, 500, 1001))

    refused = dripiq("contacts", "import", file, "--tenant", "Acme")

    assert refused.code == 2
    assert "3 of 1000 rows are bad, so nothing was imported" in refused.err
    assert [line.split(":")[0] for line in refused.err.splitlines()[:3]] == ["line 17", "line 500", "line 1001"]
    assert count(engine, "lead_point_of_contacts") == count(engine, "leads") == 0

    taken = dripiq("contacts", "import", file, "--tenant", "Acme", "--skip-bad", "--json")

    assert (taken.code, taken.json["imported"]) == (0, 997)
    assert [(row["line"], row["code"]) for row in taken.json["bad"]] == [
        (17, "invalid_email"),
        (500, "invalid_email"),
        (1001, "invalid_email"),
    ]
    assert count(engine, "lead_point_of_contacts") == 997
    assert count(engine, "leads") == 7


@pytest.mark.usefixtures("acme")
def test_a_second_import_makes_nothing_and_says_who_was_there(dripiq: Dripiq, engine: Engine, tmp_path: Path) -> None:
    file = export(tmp_path / "people.csv", 3)
    dripiq("contacts", "import", file, "--tenant", "Acme")
    with file.open("a") as more:
        more.write("P2@example.com,Again,,,\nnew@example.com,New,,,ref-3\nother@example.com,Other,COMPANY 2,,\n")

    answer = dripiq("contacts", "import", file, "--tenant", "Acme", "--json").json

    assert (answer["imported"], answer["leads_created"], answer["rows"]) == (1, 0, 6)
    one = dripiq("contacts", "import", "-", "--tenant", "Acme", stdin=b"email\nzoe@example.com\n").out
    assert "1 contact, with 1 new lead; passed over: 0 duplicates" in one
    assert [(d["line"], d["by"], d["of_line"]) for d in answer["duplicates"]] == [
        (2, "email", None),
        (3, "email", None),
        (4, "email", None),
        (5, "email", 2),
        (6, "external_ref", 3),
    ]
    assert count(engine, "lead_point_of_contacts") == 5


@pytest.mark.parametrize(
    ("raw", "options", "code", "said"),
    [
        (b"Name,Phone\nAnn,1\n", (), "no_email_column", ("'Name', 'Phone'", "--map email=HEADER")),
        (
            b"email,name\na@example.com,M\xfcller\n",
            (),
            "wrong_encoding",
            ("line 2, byte 26", "'ü'", "--encoding latin-1"),
        ),
        (b'email\n"a@example.com\n', (), "csv_malformed", ("line 2",)),
        (b"", (), "csv_empty", ("first row",)),
        (b"mail_1\na@example.com\n", ("--map", "email=Mail"), "no_such_column", ("'mail_1'",)),
        (b"email\na@example.com\n", ("--map", "e-mail=email"), "unknown_field", ("external_ref",)),
        (b"email\na@example.com\n", ("--encoding", "klingon"), "unknown_encoding", ("klingon",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_cannot_be_read_is_told_clearly_and_makes_nothing(
    dripiq: Dripiq, engine: Engine, raw: bytes, options: tuple[str, ...], code: str, said: tuple[str, ...]
) -> None:
    answer = dripiq("contacts", "import", "-", "--tenant", "New", "--create-tenant", "--json", *options, stdin=raw)

    assert (answer.code, answer.error["code"]) == (2, code)
    for part in said:
        assert part in answer.error["message"]
    assert count(engine, "tenants") == 0


def test_latin_1_is_read_where_it_is_said(dripiq: Dripiq, engine: Engine) -> None:
    raw = "Mail\tName\na@example.com\tMüller\n".encode("latin-1")

    answer = dripiq(
        "contacts", "import", "-", "--tenant", "New", "--create-tenant", "--encoding", "latin-1", "--json", stdin=raw
    )

    assert (answer.code, answer.json["tenant"]["created"], answer.json["imported"]) == (0, True, 1)
    assert count(engine, "lead_point_of_contacts", "name = 'Müller'") == 1


def test_an_unknown_tenant_is_no_tenant_to_make(dripiq: Dripiq, engine: Engine) -> None:
    answer = dripiq("contacts", "import", "-", "--tenant", "Nobody", stdin=b"email\na@example.com\n")

    assert answer.code == 4
    assert "no tenant 'Nobody': " in answer.err
    assert count(engine, "tenants") == 0
    dripiq("tenants", "create", "Acme")
    assert "no tenant 'Acne' (did you mean \"Acme\"?)" in dripiq("campaign", "list", "--tenant", "Acne").err


@pytest.mark.usefixtures("acme")
def test_an_applications_own_contacts_are_never_written(dripiq: Dripiq, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("DELETE FROM dripiq_app.dripiq_host_tables WHERE table_name = 'lead_point_of_contacts'")
        )

    answer = dripiq("contacts", "import", "-", "--tenant", "Acme", "--json", stdin=b"email\na@example.com\n")

    assert (answer.code, answer.error["code"]) == (5, "host_adopted")
    assert count(engine, "lead_point_of_contacts") == count(engine, "leads") == 0
