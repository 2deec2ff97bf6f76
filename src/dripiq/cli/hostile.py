"""`dripiq hostile`: a provider that behaves as badly as one can, to try workers against."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dripiq.cli.output import JsonOption, many, note, say, show_json
from dripiq.domain.errors import InputError

if TYPE_CHECKING:
    from dripiq.simulate.hostile import HostileProvider
    from dripiq.simulate.malice import Fate
    from dripiq.simulate.provider import SimulatedProvider
    from dripiq.simulate.witnesses import ReceivedMail


def hostile(
    smtp_port: Annotated[int, typer.Option(min=0, max=65535, help="Its SMTP port; 0 takes a free one.")] = 2525,
    http_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of its Mail Send API; 0 takes a free one.")
    ] = 8026,
    webhook: Annotated[
        str, typer.Option(metavar="URL", help="Where it posts events, on this machine.")
    ] = "http://127.0.0.1:8025/webhooks/sendgrid",
    record: Annotated[
        Path, typer.Option(metavar="FILE", help="What it truly took: a JSON document a line, appended.")
    ] = Path("hostile.jsonl"),
    number: Annotated[int, typer.Option("--seed", help="Decides what becomes of mails and events.")] = 1,
    seconds: Annotated[float | None, typer.Option(min=0, help="End by itself after so long.")] = None,
    refused: Annotated[float, typer.Option(min=0, max=1, help="Mails refused for now: 451, 429.")] = 0.03,
    failed: Annotated[
        float, typer.Option(min=0, max=1, help="Mails that it fails at: 421, 500; half of them it has taken.")
    ] = 0.02,
    hung: Annotated[float, typer.Option(min=0, max=1, help="Mails that it never answers, and does not take.")] = 0.01,
    unanswered: Annotated[float, typer.Option(min=0, max=1, help="Mails that it takes and never answers.")] = 0.02,
    cut: Annotated[float, typer.Option(min=0, max=1, help="Mails in the middle of which it closes.")] = 0.02,
    dropped: Annotated[
        float, typer.Option(min=0, max=1, help="Mails that it takes, and closes instead of answering.")
    ] = 0.02,
    doubled: Annotated[float, typer.Option(min=0, max=1, help="Events posted twice.")] = 0.2,
    late: Annotated[float, typer.Option(min=0, max=1, help="Events posted seconds late.")] = 0.2,
    day_late: Annotated[float, typer.Option(min=0, max=1, help="Events told as of a day ago.")] = 0.05,
    nameless: Annotated[float, typer.Option(min=0, max=1, help="Events without an id.")] = 0.1,
    reposted: Annotated[float, typer.Option(min=0, max=1, help="Batches of events posted again.")] = 0.3,
    as_json: JsonOption = False,
) -> None:
    """Run a hostile provider on this machine: SMTP, SendGrid's Mail Send, and signed events, badly behaved.

    It refuses, fails, hangs, cuts lines and takes mails without saying so; it posts events out of order, twice, late and without ids. Its record says what
    it truly took. Options are shares of all mails, or of all events, from 0 to 1. Ctrl-C ends it.
    """
    from dripiq.simulate.hostile import HostileProvider, key_of, record_of
    from dripiq.simulate.malice import Malice
    from dripiq.simulate.provider import Faults, SimulatedProvider

    _see_that_it_is_here(webhook)
    malice = Malice(refused, failed, hung, unanswered, cut, dropped)
    if malice.badly > 1:
        raise InputError(
            f"The shares of mails that are not simply taken are {malice.badly:g} together: give at most 1.",
            code="shares",
        )
    events = SimulatedProvider(number, Faults(doubled, late, nameless, reposted, day_late), key_of(number))
    with record.open("ab", buffering=0) as file:
        provider = HostileProvider(malice, number, smtp_port=smtp_port, http_port=http_port)

        def taken(mail: "ReceivedMail", fate: "Fate", way: str) -> None:
            file.write(record_of(mail, fate, way))
            events.accept(mail)

        provider.on_mail = taken
        asyncio.run(_run(provider, events, webhook, seconds))
    tally = {**provider.tally, **events.ledger.tally, "events_answered": len(events.ledger.answered)}
    if as_json:
        show_json({"taken": len(provider.received), "tally": tally, "record": str(record)})
        return
    say(f"Taken: {many(len(provider.received), 'mail')}, on record in {record}")
    for what, count in sorted(tally.items()):
        say(f"{count:>8} {what.replace('_', ' ')}")


async def _run(provider: "HostileProvider", events: "SimulatedProvider", webhook: str, seconds: float | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    async with provider.listening():
        note(f"SMTP:    127.0.0.1:{provider.smtp_port} (DRIPIQ_SMTP_PROVIDER=sendgrid, DRIPIQ_SMTP_SECURITY=none)")
        note(f"HTTP:    DRIPIQ_SENDGRID_URL={provider.http_url}, with any key")
        note(f"Events:  posted to {webhook}, signed: DRIPIQ_SENDGRID_WEBHOOK_KEY={events.verification_key}")
        note("Ctrl-C ends it.")
        await events.post_until(stop, webhook)


def _see_that_it_is_here(webhook: str) -> None:
    """Raises InputError: it would be somebody else's machine."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(webhook)
        here = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        here = False
    if not here:
        raise InputError(
            "The hostile provider posts to this machine alone: give a webhook as http://127.0.0.1:8025/webhooks/sendgrid.",
            code="webhook_elsewhere",
        )
