"""Documents made to break `dripiq plan check`, by name."""

import json
from typing import Any, Final

SIZE: Final = 1024 * 1024 - 500
"""Just less than a plan may be long: what is longer is refused unread."""

THREE_EVENTS: Final = (
    "delivered",
    "opened",
    "clicked",
    "replied",
    "bounced",
    "failed",
    "no_open",
    "no_click",
    "no_reply",
)


def send(node_id: str, **more: Any) -> dict[str, Any]:
    return {"id": node_id, "channel": "sms", "action": "send", "body": "B", **more}


def way(on: str, to: str, **more: str) -> dict[str, str]:
    return {"on": on, "to": to, **more}


def plan(*nodes: dict[str, Any], **more: Any) -> bytes:
    """A plan as UTF-8, its accents as they are."""
    listed = nodes or (send("n0"),)
    return json.dumps({"version": "1.1", "startNodeId": "n0", "nodes": listed, **more}, ensure_ascii=False).encode()


def body(template: str, version: str = "1.1") -> bytes:
    return plan(send("n0", body=template), version=version)


def filled(item: str) -> bytes:
    """A plan whose nodes are as many of these as fit."""
    return (
        b'{"version":"1.1","startNodeId":"a","nodes":['
        + b",".join([item.encode()] * (SIZE // (len(item) + 1) - 9))
        + b"]}"
    )


def packed(template: str) -> bytes:
    """A chain of as many nodes as fit that say this, each a little differently."""
    count = min(5_000, SIZE // (len(json.dumps(template)) + 140))
    onward = [f"n{index + 1}" for index in range(count - 1)] + ["stop"]
    return plan(
        *(
            send(f"n{index}", body=f"{template}{index}", transitions=[way("no_reply", to)])
            for index, to in enumerate(onward)
        )
    )


def meshed(count: int, *, loops: bool) -> bytes:
    def target(index: int, step: int) -> str:
        if loops:
            return f"n{(index * 7 + step * 13 + 1) % count}"
        return f"n{min(index + step + 1, count - 1)}" if index < count - 1 else "stop"

    nodes = (
        send(f"n{index}", transitions=[way(on, target(index, step)) for step, on in enumerate(THREE_EVENTS)])
        for index in range(count)
    )
    return plan(*nodes, **({"maxVisits": 1_000} if loops else {}))


LIQUID: Final = {
    "ifs left open": "{% if contact.a %}" * 999,
    "ifs in ifs": "{% if contact.a %}" * 480 + "{% endif %}" * 480,
    "loops in loops": "{% for i in (1..9999) %}" * 400 + "x" + "{% endfor %}" * 400,
    "cases in cases": "{% case contact.a %}" * 400 + "{% endcase %}" * 400,
    "filters": "{{ contact.a" + " | upcase" * 50 + " }}",
    "outputs": "{{contact.a|size}}" * 990,
    "tags": "{%if contact.a%}{%endif%}" * 490,
    "assignments": "{%assign a=1%}" * 990,
    "ors": "{%if contact.a or contact.a or contact.a or contact.a or contact.a%}{%endif%}" * 300,
    "unclosed outputs": "{{ contact.name" * 5_000,
    "unclosed quotes": ("{{ contact.a | append: '" + "a" * 300 + '" }}') * 250,
    "brackets": "{{ contact" + "[contact" * 60 + "}}",
    "parentheses": "{{ " + "(" * 400 + " }}",
    "a range": "{% for i in (1..999999999999) %}x{% endfor %}",
    "raw": "{% raw %}" * 900,
    "wrong names": "".join(f"{{{{ contac{number}.z | foo{number} }}}}" for number in range(500)),
}

LONG: Final = "a" * 1_000_000
BOMBS: Final[dict[str, bytes]] = {
    "lists in lists, open": b"[" * 500_000,
    "lists in lists, closed": b'{"nodes":' + b"[" * 500_000 + b"]" * 500_000 + b"}",
    "objects in objects": b'{"a":' * 170_000,
    "a whole number of a million digits": b'{"version":' + b"9" * 1_000_000 + b"}",
    "a fraction of a million digits": b'{"version":0.' + b"9" * 1_000_000 + b"}",
    "an exponent of a million digits": b'{"version":1e' + b"9" * 1_000_000 + b"}",
    "1e400": b'{"version":1e400,"maxVisits":-1e400}',
    "NaN": b'{"version":NaN}',
    "lone surrogates in one text": b'{"version":"' + b"\\ud800" * 170_000 + b'"}',
    "lone surrogates in many": filled('"\\ud800"'),
    "NULs": b"\0" * SIZE,
    "UTF-16": plan().decode().encode("utf-16"),
    "UTF-16 without a mark": plan().decode().encode("utf-16-be"),
    "byte order marks": b"\xef\xbb\xbf" * 1_000 + plan(),
    "10 MB of nodes": plan(*(send(f"n{index}") for index in range(180_000))),
    "too many nodes": plan(*(send(f"n{index}") for index in range(5_001))),
    "empty objects for nodes": filled("{}"),
    "empty lists for nodes": filled("[]"),
    "numbers for nodes": filled("1"),
    "70,000 unknown keys": plan(**{f"k{index}": 1 for index in range(70_000)}),
    "nearly known keys": plan(**{f"startNodeI{index}": 1 for index in range(40_000)}),
    "composed keys": plan(**{"é" * (index % 7 + 1) + str(index): 1 for index in range(40_000)}),
    "one key again and again": b"{" + b",".join([b'"version":1'] * 85_000) + b"}",
    "a long key": plan(**{LONG: 1}),
    "a long id": plan(send(LONG)),
    "a long target": plan(send("n0", transitions=[way("no_open", LONG)])),
    "a long version": plan(version=LONG),
    "a long zone": plan(timezone=LONG),
    "a long duration": plan(jitter=f"P{'1' * 1_000_000}D"),
    "a duration of fractions": plan(jitter=f"PT{'1.,' * 300_000}S"),
    "targets that nearly are there": plan(
        *(
            send("a" * 57 + f"{index:05}", transitions=[way("no_open", "a" * 57 + f"x{index:05}")])
            for index in range(4_000)
        )
    ),
    "30,000 ways on": plan(send("n0", transitions=[way("no_open", "n0")] * 30_000)),
    "the same event again and again": plan(defaults={"stopOn": ["replied"] * 90_000}),
    "days that nearly are some": plan(timezone="UTC", sendWindow={"days": ["mom"] * 140_000}),
    "regions that nearly are some": plan(timezone="UTC", holidays=[f"DE-B{index}{'Y' * 40}" for index in range(1_000)]),
    "single braces": body("{" * 1_000_000, "1.0"),
    "braces of all kinds": body("{{ {%" * 170_000, "1.0"),
    "braces around names": body(("{" + "a." * 50) * 9_000, "1.0"),
    "braces around blanks": body("{" + " " * 400_000 + "a" + " " * 400_000, "1.0"),
    "combining marks": plan(jitter="a" + "\u0301\u0327" * 240_000),
    "combining marks, as many as may be": body(("a" + "\u0301\u0327" * 15) * 16_000),
    "letters in pieces": body("\u1112\u1161\u11ab" * 110_000),
    "letters that grow when composed": body("\U0001d160" * 250_000),
    "a chain of 5,000 nodes": plan(
        *(send(f"n{index}", transitions=[way("no_open", f"n{index + 1}")]) for index in range(4_999)), send("n4999")
    ),
    "a loop of 5,000 nodes": plan(
        *(send(f"n{index}", transitions=[way("no_open", f"n{(index + 1) % 5_000}")]) for index in range(5_000)),
        maxVisits=1_000,
    ),
    "a mesh with loops": meshed(1_200, loops=True),
    "a mesh without loops": meshed(1_200, loops=False),
    **{f"liquid: {name}": body(template) for name, template in LIQUID.items()},
    **{f"liquid, a plan full: {name}": packed(template) for name, template in LIQUID.items()},
}
