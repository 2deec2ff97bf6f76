"""The reader of contact files."""

import csv
from contextlib import suppress
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.contact_columns import find_columns
from dripiq.domain.contact_file import MAX_LENGTH, read_contact_file
from dripiq.domain.errors import InputError

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)


def written(rows: list[list[str]], delimiter: str = ",", ending: str = "\r\n") -> bytes:
    """The rows as a spreadsheet writes them."""
    out = StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=ending).writerows(rows)
    return out.getvalue().encode()


@given(
    people=st.lists(st.tuples(CELLS, CELLS), max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_values_come_through_any_delimiter_and_line_ending(
    people: list[tuple[str, str]], delimiter: str, ending: str
) -> None:
    rows = [[f"p{n}@example.com", *person] for n, person in enumerate(people)]

    found = read_contact_file(written([["E-Mail", "Full Name", "Organisation"], *rows], delimiter, ending))

    assert not found.bad
    assert not found.duplicates
    assert [(row.email, row.name, row.company) for row in found.rows] == [
        (email, " ".join(name.split()), " ".join(company.split())) for email, name, company in rows
    ]


@given(
    st.lists(st.lists(st.sampled_from(["a@example.com", "b@example.com", "nobody", "", "x"]), max_size=4), max_size=20)
)
def test_every_row_that_is_not_blank_is_good_or_bad_or_a_duplicate_on_its_own_line(rows: list[list[str]]) -> None:
    found = read_contact_file(written([["email", "name", "ref"], *rows]))

    lines = [row.line for kind in (found.rows, found.bad, found.duplicates) for row in kind]
    assert sorted(lines) == [line for line, row in enumerate(rows, 2) if any(row)]
    assert len({row.email for row in found.rows}) == len(found.rows)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for encoding in ("utf-8", "latin-1", "utf-16"):
        with suppress(InputError):
            read_contact_file(b"email\n" + raw, encoding=encoding)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("a@example.com,Ann,Mars/Base", "unknown_timezone"),
        (",Ann,", "no_email"),
        ("a@b@c,Ann,", "invalid_email"),
        ("a@example.com,Ann,,more", "too_many_values"),
        (f"a@example.com,{'x' * (MAX_LENGTH + 1)},", "too_long"),
        ("a@example.com,A\0,", "invalid_text"),
    ],
    ids=lambda value: value if "@" not in value and "," not in value else "",
)
def test_a_bad_row_says_what_is_wrong(row: str, code: str) -> None:
    found = read_contact_file(f"email,name,timezone\n{row}\n".encode())

    assert [(bad.line, bad.code) for bad in found.bad] == [(2, code)]
    assert found.rows == ()


def test_a_row_that_runs_over_lines_is_named_by_its_first_one() -> None:
    found = read_contact_file(b'name,email\n"Ann\nMiller",ann@example.com\n\nBen,nobody\n')

    assert [(row.line, row.name) for row in found.rows] == [(2, "Ann Miller")]
    assert [bad.line for bad in found.bad] == [5]


@pytest.mark.parametrize(
    ("headers", "mapping", "expected"),
    [
        (["Work Email", "Email"], {}, {"email": "Email"}),
        (
            ["E_MAIL", "Firstname", "Surname"],
            {},
            {"email": "E_MAIL", "first_name": "Firstname", "last_name": "Surname"},
        ),
        (["Anrede", "Kontaktadresse"], {"email": "kontaktadresse"}, {"email": "Kontaktadresse"}),
        (["email", "ID", "Account Name"], {}, {"email": "email", "external_ref": "ID", "company": "Account Name"}),
    ],
)
def test_columns_are_found_by_their_usual_names_or_by_mapping(
    headers: list[str], mapping: dict[str, str], expected: dict[str, str]
) -> None:
    found = find_columns(headers, mapping)

    assert found.headers == expected
    assert set(found.ignored) == set(headers) - set(expected.values())


def test_two_columns_of_the_mapped_name_are_refused() -> None:
    with pytest.raises(InputError, match="2 columns 'Mail'") as refused:
        find_columns(["Mail", "Mail"], {"email": "Mail"})
    assert refused.value.error_code == "ambiguous_column"
