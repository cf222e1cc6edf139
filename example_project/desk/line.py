"""One line of the spreadsheet, and how a line is reconciled with the one an analyst would enter."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class SpreadLine:
    """One figure of one company. `value` is in full units of `currency` (an ISO 4217 code)."""

    entity: str
    status: str
    value: float
    currency: str
    period: str


def reconcile(got: SpreadLine, expected: SpreadLine) -> str:
    """Say field by field how `got` differs from `expected`; "" when the two lines agree."""
    names = [field.name for field in fields(expected)]
    pairs = [(name, getattr(expected, name), getattr(got, name)) for name in names]
    wrong = [
        f"    {name}: expected {_shown(wanted)}, got {_shown(given)}"
        for name, wanted, given in pairs
        if wanted != given
    ]
    if not wrong:
        return ""
    return "\n".join([f"{len(wrong)} of {len(names)} fields differ", *wrong])


def _shown(value: object) -> str:
    """Write 4218000.0 as 4218000, and everything else as it is."""
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
