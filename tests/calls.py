"""A job for a worker that cannot import a test."""

from collections.abc import Callable


class Call:
    """Becomes the answer of *function* in the process that unpickles it."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call
