"""Did a person write this mail, or did a machine answer for one?

RFC 3834 says how automatic answers should be marked, and mailers mark them in ways of their own. Some signs are enough alone. Others are found in
people's mail too (a subject, `Precedence: bulk` of a list, what Exchange adds): two of those are needed. `Auto-Submitted: no` is a person's word.
"""

import re
from email.message import Message

from dripiq.channels.inbound_text import header

_MARKS = (
    "X-Autoreply", "X-Auto-Reply", "X-Autorespond", "X-Autoresponder", "X-Auto-Respond", "X-AutoReply-From", "X-Autoreply-From", "X-Mail-Autoreply",
    "X-Auto-Response", "X-Vacation", "Autoreply",
)  # fmt: skip
"""Headers that are there in an automatic answer alone, whatever they say but "no"."""

_OWN_WORDS = ("Precedence", "X-Precedence")
_NOBODY = re.compile(
    r"^(?:.*<)?\s*(no-?reply|do-?not-?reply|auto-?reply|autoresponder|vacation)[^@<>]*@", re.IGNORECASE
)

_SUBJECT = re.compile(
    r"^\W*(?:(?:re|aw|sv|rv|tr|fwd?|wg)\s*:\s*)*\W*(?:"
    r"out of (?:the )?office|out-of-office|ooo\b|auto(?:matic|mated|-| )?\s?(?:reply|response|answer)|autoreply"
    r"|on (?:annual |parental |maternity )?leave\b|on vacation"
    r"|automatische antwort|abwesenheit|abwesend|nicht im b[üu]e?ro|auto-?antwort"
    r"|r[ée]ponse automatique|absence|absent(?:e)? du bureau|message d'absence"
    r"|respuesta autom[áa]tica|fuera de (?:la )?oficina|ausente"
    r"|resposta autom[áa]tica|fora do escrit[óo]rio|aus[êe]ncia"
    r"|risposta automatica|fuori (?:sede|ufficio)|assenza"
    r"|automatisch antwoord|afwezig|niet aanwezig|autosvar|automatiskt svar|frånvaro|fravær|poissa"
    r"|automatyczna odpowied|nieobecno|automatick[áa] odpov|автоматический ответ|自動応答|自動返信|不在通知|自动回复|자동 회신"
    r")",
    re.IGNORECASE,
)
_BODY = re.compile(
    r"\b(?:i am|i'm|i’m|i will be) (?:currently |now |presently )?(?:out of (?:the )?office|on (?:annual |parental |maternity )?leave"
    r"|away from (?:the office|my desk)|on vacation)\b"
    r"|\blimited access to (?:my )?e-?mail|\bthis is an automat(?:ic|ed) (?:reply|response|message)|\bhave received your (?:e-?mail|message) and will"
    r"|\bnicht im b[üu]e?ro\b|\bau(?:ß|ss)er haus\b|\bbin (?:ich )?(?:derzeit |zur ?zeit |aktuell |momentan )?(?:abwesend|im urlaub)\b"
    r"|\bnicht weitergeleitet\b"
    r"|\bactuellement absent|\ben cong[ée]s?\b|\bfuera de (?:la )?oficina\b|\bde vacaciones\b|\bfuori ufficio\b|\bin ferie\b|\bafwezig\b",
    re.IGNORECASE,
)


def is_automatic(message: Message, subject: str | None, text: str | None) -> bool:
    """Whether a mail (that reports no delivery) is an automatic answer.

    Args:
        subject, text: decoded; the first two thousand characters of the text are looked at.
    """
    submitted = (header(message, "Auto-Submitted") or "").split(";")[0].strip().lower()
    if submitted == "no":
        return False
    return bool(submitted) or _is_marked(message) or _weak_signs(message, subject or "", text or "") >= 2


def _is_marked(message: Message) -> bool:
    if any((header(message, name) or "no").strip().lower() not in ("no", "false") for name in _MARKS):
        return True
    if any((header(message, name) or "").strip().lower().replace("-", "_") == "auto_reply" for name in _OWN_WORDS):
        return True
    # Exchange 2000 to 2007 number the class of a mail (9: out of office); "autoresponder" is qmail's and cPanel's name for itself.
    return (
        header(message, "X-POST-MessageClass") == "9"
        or "autoresponder" in (header(message, "Delivered-To") or "").lower()
    )


def _weak_signs(message: Message, subject: str, text: str) -> int:
    suppress = {word.strip().lower() for word in (header(message, "X-Auto-Response-Suppress") or "").split(",")}
    precedence = {(header(message, name) or "").strip().lower() for name in _OWN_WORDS}
    signs = (
        not suppress.isdisjoint({"all", "oof", "autoreply"}),
        not precedence.isdisjoint({"bulk", "junk"}),
        (header(message, "Return-Path") or "").replace(" ", "") == "<>",
        _NOBODY.search(header(message, "From") or "") is not None,
        _SUBJECT.search(subject[:300]) is not None,
        _BODY.search(text[:2_000]) is not None,
    )
    return sum(signs)
