"""Pages of the documentation, parts of which commands write."""


def between(text: str, name: str, content: str) -> str:
    """A page with what stands between the marks of `name` replaced.

    Raises:
        ValueError: it has no such marks.
    """
    start, end = (f"<!-- {mark} {name} -->" for mark in ("begin", "end"))
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"the page has no {start} and {end}")
    head, _, rest = text.partition(start)
    return f"{head}{start}\n{content}\n{end}{rest.partition(end)[2]}"
