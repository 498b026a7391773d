"""Says whether a measured figure meets its bar, beside the figure; a missed bar ends no run."""

from __future__ import annotations

SHOWN: list[tuple[str, str, str]] = []


def judged(what: str, found: float, *, least: float | None = None, most: float | None = None) -> str:
    """Hold a figure to a bar, and remember it for the summary."""
    wanted = f">= {least:g}" if least is not None else f"<= {most:g}"
    met = found >= least if least is not None else most is not None and found <= most
    SHOWN.append((what, f"{found:.3g} (bar {wanted})", "met" if met else "missed"))
    return f"{wanted} {SHOWN[-1][2]}"


def summary() -> None:
    """Print how many bars were met, and each that was missed."""
    missed = [each for each in SHOWN if each[2] == "missed"]
    print(f"\n{len(SHOWN) - len(missed)} of {len(SHOWN)} bars met")
    for what, found, _ in missed:
        print(f"missed: {what}: {found}")
    SHOWN.clear()
