"""The desk's conventions: how each is recognised in a prompt, and how a careful editor would word it."""

from __future__ import annotations

from offline_model.mistakes import MISTAKES
from offline_model.statements import Convention

CONVENTIONS = (
    Convention(
        "guidance",
        "classify",
        says=(r"guidance", r"forward.looking|\bexpects|forecast|outlook|targets|yet to come|still to come"),
        wordings=(
            'Use "guidance" for what the company expects, forecasts or targets for a period still to come.',
            'Outlook statements (the company expects, forecasts, targets) are "guidance"; "actual" is for'
            " periods already reported.",
        ),
        gap=("The sentence looks ahead (expects, forecasts), and the prompt does not say when a figure is guidance."),
    ),
    Convention(
        "preliminary",
        "classify",
        says=(r"preliminary", r"ahead of|before the|\bflash\b|provisional"),
        wordings=(
            'Figures that come out ahead of the full results (flash, provisional or preliminary) are "preliminary".',
            'Use "preliminary" for flash and provisional figures, published before the full results.',
        ),
        gap=(
            "These are first figures, ahead of the full results; the prompt does not say when to call them preliminary."
        ),
    ),
    Convention(
        "pro forma",
        "classify",
        says=(r"pro.?forma", r"as if|would have|had (?:taken place|been)|combined|hypothetical"),
        wordings=(
            'Figures drawn up as if a transaction had taken place earlier are "pro forma", also for a past period.',
            'Use "pro forma" for figures that show what would have been, for instance after an acquisition.',
        ),
        gap=("The figure shows what would have been after a transaction; the prompt does not define pro forma."),
    ),
    Convention(
        "entity",
        "classify",
        says=(r"parent", r"entity|always|\bbook|\bname|belong"),
        careful=(r"subsidiar", r"\bown\b|stand-?alone|separate|itself|alone"),
        wordings=(
            "Name the parent company as the entity, also where a subsidiary is mentioned first.",
            "Always book the figure under the parent company of the group.",
        ),
        careful_wordings=(
            "Consolidated figures belong to the parent company; figures from a subsidiary's own or"
            " stand-alone accounts belong to the subsidiary.",
            "The entity of a consolidated figure is the parent company. Where a subsidiary reports for"
            " itself alone (own, separate or stand-alone accounts), it is the subsidiary.",
        ),
        gap=("Two related companies are named, and the prompt does not say under which of them a figure is booked."),
        overdone="These are a subsidiary's own accounts, yet the figure was booked under its parent.",
    ),
    Convention(
        "column",
        "extract",
        says=(r"latest|most recent|newest", r"column|table|side by side"),
        wordings=(
            "Where a table shows several periods, take the column of the most recent one, on whichever side it stands.",
            "Read the column headings of a table: the figure is that of the latest period, which is not"
            " always in the first column.",
        ),
        gap="The table prints the older period first, and the first column was copied.",
    ),
    Convention(
        "restated",
        "extract",
        says=(r"restate", r"\btake|\buse\b|prefer|replace|copy"),
        careful=(
            r"same period|previously|comparative|earlier published|first published",
            r"only|replaces|ignore|alone",
        ),
        wordings=(
            "Where a restated figure is given, take the restated one.",
            "Always use restated figures where there are any.",
        ),
        careful_wordings=(
            "A restated figure replaces the one previously reported for the same period; a restated"
            " comparative beside a current figure is left alone.",
            "Use a restated figure only where it corrects a previously reported one for the same period;"
            " beside a current figure, ignore restated comparatives.",
        ),
        gap="The figure as first published was copied although a restated one follows.",
        overdone="The restated comparative of the earlier period was copied in place of the current figure.",
    ),
    Convention(
        "reported",
        "extract",
        says=(r"adjusted|underlying|non-gaap", r"statutory|reported|ifrs|(?<!non-)gaap"),
        wordings=(
            "Take the statutory figure (IFRS or GAAP), not the adjusted, underlying or non-GAAP one.",
            "Adjusted, underlying and non-GAAP measures are not spread: look for the statutory figure beside them.",
        ),
        gap="The adjusted measure was copied although the statutory figure is in the text.",
    ),
    Convention(
        "total",
        "extract",
        says=(r"\btotal", r"segment|region|division|business area|product line"),
        wordings=(
            "Where the line item is split by segment or region, take the total of the group.",
            "A figure for one segment, region or division is not the line item: look for the total.",
        ),
        gap="The figure of one segment was copied in place of the total.",
    ),
    Convention(
        "notes",
        "extract",
        says=(r"\bnotes?\b|footnote", r"column|reference|number", r"skip|ignore|\bnot\b|leave out|never"),
        wordings=(
            'Numbers in a "Note" column refer to the notes to the accounts; they are not figures, so skip them.',
            "Ignore note references: the small number between the line item and the first column is not a figure.",
        ),
        gap="The reference number of a note was copied as if it were the figure.",
    ),
    Convention(
        "parentheses",
        "normalise",
        says=(r"parenthes|bracket", r"negative|minus|below zero"),
        unsaid=r"\bnot (?:\w+ )?(?:negative|a minus)",
        careful=(r"\bcosts?\b|expense|expenditure", r"positive|except|but not|unless"),
        wordings=(
            "A figure in parentheses is negative.",
            "Parentheses around a figure stand for a minus sign, so its value is negative.",
        ),
        careful_wordings=(
            "A figure in parentheses is negative, except on cost lines (cost of sales, expenses, capital"
            " expenditure), which the sheet holds as positive amounts.",
            "Parentheses mean a negative result or cash flow. Costs and capital expenditure are entered as"
            " positive amounts, also when they are printed in parentheses.",
        ),
        gap=("The figure is printed in parentheses, and the prompt does not say that they mean a negative amount."),
        overdone=("A cost line is printed in parentheses and came out negative, but the sheet wants costs positive."),
    ),
    Convention(
        "loss",
        "normalise",
        says=(r"\bloss(?:es)?\b|deficit", r"negative|minus|below zero"),
        unsaid=r"\bnot (?:\w+ )?negative",
        wordings=(
            "A loss or deficit has a negative value, also when it is told in words without a sign.",
            "Where the text calls the figure a loss, its value is negative, sign or no sign.",
        ),
        gap="The text calls the figure a loss, without any sign, and it was entered as a positive amount.",
    ),
    Convention(
        "scale",
        "normalise",
        says=(
            r"heading|caption|header|above the table|top of the table",
            r"thousand|million|scale",
            r"apply|multiply|convert",
        ),
        careful=(r"per.share", r"\bnot\b|except|never|unless|already"),
        wordings=(
            'Apply the scale in the heading of a table ("in thousands", "£m") to every figure under it.',
            "Multiply each figure by the unit that the heading states, such as thousands or millions.",
        ),
        careful_wordings=(
            'Apply the scale in the heading of a table ("in thousands", "£m") to the figures under it, but'
            " not to per-share amounts, which are in full units already.",
            "Multiply figures by the unit that the heading states, such as thousands or millions; never do"
            " so for per-share amounts.",
        ),
        gap='The scale ("in thousands", "£m") stands in the heading only and was not applied.',
        overdone="The scale of the heading was applied to a per-share amount.",
    ),
    Convention(
        "fiscal",
        "normalise",
        says=(r"calendar", r"\bends?\b|\bended\b|last day|closing date"),
        wordings=(
            "Label a period by the calendar date on which it ends, whatever the company calls it: a"
            " quarter to 31 March 2019 is 2019-Q1, a year to 31 January 2019 is FY2019.",
            'Company labels such as "fiscal 2019" are not ours: go by the calendar year, or the calendar'
            " quarter, in which the period ends.",
        ),
        gap="The company's own fiscal label was copied; the sheet goes by when the period ends.",
    ),
    Convention(
        "dates",
        "normalise",
        says=(r"\bdates?\b", r"\bday\b", r"first|day/month|before the month"),
        careful=(r"\bus\b|\bu\.s\.|american|united states", r"except|unless|but|only"),
        wordings=(
            "Read numeric dates as day/month/year.",
            "In a date such as 07/08/2019 the day comes first.",
        ),
        careful_wordings=(
            "In numeric dates the day comes first, except in filings of US companies, where the month does.",
            "Read numeric dates as day/month/year, but those of US companies as month/day/year: there the"
            " day is not first.",
        ),
        gap="Day and month of a numeric date were swapped; the prompt does not say which comes first.",
        overdone="The date in a US filing was read with the day first.",
    ),
    Convention(
        "currency",
        "normalise",
        says=(r"\biso\b|three-letter", r"currency|\bcode"),
        wordings=("Write the currency as its three-letter ISO code.",),
        gap="The currency sign was copied; the sheet wants the ISO code.",
    ),
    Convention(
        "dollar",
        "normalise",
        says=(
            r"dollar|\$",
            r"reporting currency|presentation currency|document (?:names|states)|text (?:names|states)",
        ),
        wordings=(
            "A bare $ means the dollar that the document names as its reporting currency (Canadian,"
            " Australian and so on), and the US dollar only where none is named.",
            "Check the presentation currency before writing USD: the dollar sign also stands for other dollars.",
        ),
        gap="The dollar sign was taken for US dollars, but the text says which dollar it reports in.",
    ),
    Convention(
        "comma",
        "normalise",
        says=(r"comma", r"decimal"),
        unsaid=r"\bnot (?:\w+ )?decimal",
        wordings=(
            "In figures such as 3.456,7 the comma is the decimal mark and the full stops separate thousands.",
            "Continental companies write a decimal comma and put full stops between thousands.",
        ),
        gap=("The figure is in continental style (full stops between thousands), but was read in English style."),
    ),
    Convention(
        "range",
        "normalise",
        says=(r"range", r"mid-?point|middle|\bmean\b|average|half.?way"),
        wordings=(
            "For a range, enter the midpoint.",
            "Where a range is given, the value is the average of its two ends.",
        ),
        gap="The text gives a range and its lower end was entered.",
    ),
)
BY_KEY = {convention.key: convention for convention in (*CONVENTIONS, *MISTAKES)}
