"""What is wrong with a setting or an option, in words that say how it must be, and never with its value, which may be a secret?"""

from collections.abc import Mapping, Sequence


def say_setting(place: Sequence[object], kind: str, context: Mapping[str, object]) -> str:
    """One fault of the settings.

    Args:
        place: the field's name; nothing where several do not fit together, which `context["error"]` then says.
        kind: pydantic's name of the error (https://docs.pydantic.dev/latest/errors/validation_errors/).
        context: its values, such as a bound.

    Returns:
        A clause that begins with the variable and has no full stop.
    """
    if not place:
        return str(context.get("error", "they do not fit together"))
    said = say_must(kind, context) if kind != "value_error" else f"is not right. {context.get('error')}"
    name = "DRIPIQ_" + "_".join(str(part) for part in place).upper()
    return f"{name} {said}".removesuffix(".")


def say_must(kind: str, context: Mapping[str, object]) -> str:
    """How a value must be that is not so, as the rest of a sentence whose subject it is, without a full stop; arguments as of `say_setting`."""
    ge, gt, le = (_number(context.get(name)) for name in ("ge", "gt", "le"))
    bounds = {
        "greater_than_equal": f"must be {ge} or more",
        "greater_than": f"must be more than {gt}",
        "less_than_equal": f"must be {le} at most",
        "literal_error": f"must be {context.get('expected')}",
        "int_parsing": "must be a whole number",
        "float_parsing": "must be a number",
        "bool_parsing": "must be true or false",
        "extra_forbidden": "is no setting",
    }
    said = bounds.get(kind, "is not of the form that it must have")
    if kind.startswith("time_delta") or "timedelta" in said:
        return "must be a number of seconds, more than 0 and 2592000 (30 days) at most"
    return said


def _number(bound: object) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)
