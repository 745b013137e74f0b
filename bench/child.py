"""Measure one thing once in this interpreter, and print the samples as JSON.

``python -m bench.child computing.models full "Pool, fork" joblib`` calls
:func:`bench.computing.models` with the names that follow. It prints nothing
else to standard output. What cannot be measured here is named with the reason.

Little is imported: start-up cost is measured here too.
"""

import importlib
import os
import sys


def main(measurement: str, size: str, *names: str) -> None:
    """Measure, and print ``{"samples": [...], "missing": {name: reason}}``.

    Args:
        measurement: Module and function, such as ``computing.models``.
        size: ``full``, or ``quick`` to see only that it works.
        names: What the function is called with: engines, or other ways.
    """
    sys.stdout.flush()
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever an engine prints is not the answer
    module, _, function = measurement.partition(".")
    measuring = importlib.import_module(f"bench.{module}")
    missing = {}
    if hasattr(measuring, "lacking"):
        reasons = {name: measuring.lacking(name) for name in names}
        missing = {name: why for name, why in reasons.items() if why}
    present = [name for name in names if name not in missing]
    measure = getattr(measuring, function)
    wanted = present or not names
    samples = [*measure(*present, quick=size != "full")] if wanted else []
    import json

    with answer:
        json.dump({"samples": samples, "missing": missing}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
