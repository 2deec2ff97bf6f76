"""What is wrong with a setting, in a sentence that names it as the user wrote it?"""

from collections.abc import Mapping, Sequence


def say_setting(place: Sequence[object], kind: str, context: Mapping[str, object]) -> str:
    """One fault of the settings; never with the value, which may be a secret.

    Args:
        place: the field's name; nothing where several do not fit together, which `context["error"]` then says.
        kind: pydantic's name of the error (https://docs.pydantic.dev/latest/errors/validation_errors/).
        context: its values, such as a bound.

    Returns:
        A clause that begins with the variable and has no full stop.
    """
    if not place:
        return str(context.get("error", "they do not fit together"))
    ge, gt, le = (_number(context.get(name)) for name in ("ge", "gt", "le"))
    bounds = {
        "greater_than_equal": f"must be {ge} or more",
        "greater_than": f"must be more than {gt}",
        "less_than_equal": f"must be {le} at most",
        "literal_error": f"must be {context.get('expected')}",
        "value_error": f"is not right. {context.get('error')}",
        "int_parsing": "must be a whole number",
        "float_parsing": "must be a number",
        "bool_parsing": "must be true or false",
        "extra_forbidden": "is no setting",
    }
    said = bounds.get(kind, "is not of the form that it must have")
    if kind.startswith("time_delta") or "timedelta" in said:
        said = "must be a number of seconds, more than 0 and 2592000 (30 days) at most"
    name = "DRIPIQ_" + "_".join(str(part) for part in place).upper()
    return f"{name} {said}".removesuffix(".")


def _number(bound: object) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)
