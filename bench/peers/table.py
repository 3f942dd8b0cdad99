"""The table as it is printed."""

WIDTH = 12  # of a column of times


def heading(names, bars):
    """Column heads of a part; ``bars`` are those of its first row, whose numbers all its rows have."""
    numbers = "".join(f"{_head(bar):>10}{'bar':>7}" for bar in bars)
    return f"{'':44}" + "".join(f"{name:>{_width(name)}}" for name in names) + numbers


def line(row, result, names, values, verdict):
    times = "".join(_time(result.times.get(name), _width(name)) for name in names)
    numbers = "".join(_number(bar, value) + _limit(bar) for bar, value in zip(row.bars, values, strict=True))
    notes = [f"    {name} left out: {why}" for name, why in result.left_out.items()]
    notes += [f"    {name} not timed: {why}" for name, why in result.differ.items()]
    return "\n".join([f"{row.label:44}{times}{numbers}  {verdict}".rstrip(), *notes])


def _width(name):
    return max(WIDTH, len(name) + 2)


def _head(bar):
    return {"best": "x best", "peak": "of peak", "cost": "cost", "us": "us"}.get(bar.number, f"x {bar.number}")


def _time(value, width):
    return f"{'-':>{width}}" if value is None else f"{value:>{width},.2f}"


def _number(bar, value):
    if value is None:
        return f"{'-':>10}"
    return f"{value:>10.0%}" if bar.number == "peak" else f"{value:>10.2f}"


def _limit(bar):
    if bar.limit is None:
        return f"{'':7}"
    limit = f"{bar.limit:.0%}" if bar.number == "peak" else f"{bar.limit:.4g}"
    return f"{'<=' * bar.most + limit:>7}"
