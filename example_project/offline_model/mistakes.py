"""Wrong lessons that an editor may draw from the desk's cases. A model that is told them follows them."""

from __future__ import annotations

from offline_model.statements import Convention

MISTAKES = (
    Convention(
        "every unaudited",
        "classify",
        says=(r"unaudited", r"preliminary", r"\bevery\b|\ball\b|\bany\b|always"),
        wordings=('Every unaudited figure is "preliminary".',),
        gap="Unaudited interim figures are reported actuals, yet they came out as preliminary.",
        lesson_of=("preliminary", "pro forma"),
        mended_by="preliminary",
    ),
    Convention(
        "any expectation",
        "classify",
        says=(r"mention|speaks? of", r"expectation", r"guidance"),
        wordings=('A text that mentions expectations is "guidance".',),
        gap="The text only compares the figure with expectations, yet it came out as guidance.",
        lesson_of=("guidance",),
        mended_by="guidance",
    ),
    Convention(
        "largest",
        "extract",
        says=(r"largest|highest|biggest", r"figure|number|amount"),
        wordings=("If several figures are given for the line item, take the largest.",),
        gap="The largest figure was copied, which is not the one that was asked for.",
        lesson_of=("total", "column", "restated"),
        mended_by="total",
    ),
    Convention(
        "skip the first",
        "extract",
        says=(r"skip|ignore|pass over", r"\bfirst (?:number|figure|amount)"),
        wordings=("Skip the first number after the name of the line item, it is never the figure.",),
        gap="The first number was skipped although it is the figure.",
        lesson_of=("notes", "reported"),
        mended_by="notes",
    ),
    Convention(
        "always thousands",
        "normalise",
        says=(r"without (?:a )?unit|no unit", r"thousand"),
        wordings=("A figure without a unit beside it is in thousands.",),
        gap="A figure in full units was taken for thousands.",
        lesson_of=("scale",),
        mended_by="scale",
    ),
    Convention(
        "any decrease",
        "normalise",
        says=(r"decrease|decline|\bfell\b", r"negative|minus"),
        wordings=("Make the value negative when the text speaks of a loss, a decrease or a decline.",),
        gap="The text speaks of a decrease, but the figure itself is not negative.",
        lesson_of=("loss", "parentheses"),
        mended_by="loss",
    ),
    Convention(
        "canadian",
        "normalise",
        says=(r"canadian", r"unless|always|by default", r"\$|dollar"),
        wordings=("Read a bare $ as Canadian dollars unless the text speaks of US dollars.",),
        gap="The dollar of a US company was taken for the Canadian one.",
        lesson_of=("dollar",),
        mended_by="dollar",
    ),
    Convention(
        "rounding",
        "normalise",
        says=(r"\bround", r"thousand|whole|nearest"),
        wordings=("Round values to whole thousands.",),
        gap="The value was rounded; the sheet wants it to the last digit.",
        lesson_of=("range", "comma", "fiscal"),
    ),
)
