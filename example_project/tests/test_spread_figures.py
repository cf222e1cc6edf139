"""Which of the printed figures is the one? Columns, restatements, adjusted measures, segments, notes."""

from __future__ import annotations

import pytest
from desk.line import SpreadLine, reconcile
from spread_case import case

CASES = [
    case(
        "older-balance-sheet-first",
        "Total assets",
        """
        Pellworm Brauerei AG, balance sheet in EUR
                                31.12.2023        31.12.2024
        Inventories              9,011,604         8,145,220
        Total assets            64,872,390        61,204,518
        """,
        SpreadLine("Pellworm Brauerei AG", "actual", 61_204_518, "EUR", "2024-12-31"),
        why="the closing balance sheet, printed on the right",
    ),
    case(
        "three-year-record",
        "Revenue",
        """
        Stanhope Paper plc, three-year record (£'000)
        Year ended 31 December          2022          2023          2024
        Revenue                       47,251        44,018        45,870
        """,
        SpreadLine("Stanhope Paper plc", "actual", 45_870_000, "GBP", "FY2024"),
        why="the record runs from the oldest year to the newest and is in thousands",
    ),
    case(
        "prior-year-corrected",
        "Revenue",
        """
        Sable & Finch plc, correction of an error. Revenue for 2023, previously reported as £412.0 million,
        has been restated to £398.5 million. """,
        SpreadLine("Sable & Finch plc", "actual", 398_500_000, "GBP", "FY2023"),
        why="the first published figure is withdrawn",
    ),
    case(
        "cash-flow-reclassified",
        "Operating cash flow",
        """ Arnoux Logistique S.A., change in presentation. Net cash from operating
        activities for the year ended 31 March 2024 was originally published as €96.4 million; restated for
        interest paid, it is €81.7 million.
        """,
        SpreadLine("Arnoux Logistique S.A.", "actual", 81_700_000, "EUR", "FY2024"),
        why="interest paid was reclassified after publication",
    ),
    case(
        "restated-comparative-in-brackets",
        "Revenue",
        """
        Wexcombe Leisure plc. Revenue for the year ended 31 December 2024 rose to £455.2 million (2023
        restated: £398.5 million). """,
        SpreadLine("Wexcombe Leisure plc", "actual", 455_200_000, "GBP", "FY2024"),
        why="the figure for the year just ended; only its comparative was restated",
    ),
    case(
        "restated-comparative-column",
        "Operating profit",
        """
        Hallam Ceramics plc, income statement in pounds
        Year ended 31 December          2024     2023 (restated)
        Operating profit          52,310,400          47,880,150
        """,
        SpreadLine("Hallam Ceramics plc", "actual", 52_310_400, "GBP", "FY2024"),
        why="the current year; the restated column is the year before",
    ),
    case(
        "adjusted-profit-in-headline",
        "Operating profit",
        """
        Tarrant Aerospace plc. Adjusted operating profit for the year ended 31 December 2024 rose 12% to
        £61.2 million. Statutory operating profit was £48.9 million after restructuring costs.
        """,
        SpreadLine("Tarrant Aerospace plc", "actual", 48_900_000, "GBP", "FY2024"),
        why="the sheet holds the profit of the income statement, restructuring included",
    ),
    case(
        "non-gaap-in-headline",
        "Net income",
        """
        Oakridge Semiconductor, Inc. (Nasdaq: OKRS), second quarter of fiscal 2025, ended March 31, 2025.
        Non-GAAP net income was $33.5 million. GAAP net income was $21.9 million, after share-based
        compensation.
        """,
        SpreadLine("Oakridge Semiconductor, Inc.", "actual", 21_900_000, "USD", "2025-Q1"),
        why="net income after share-based compensation; the quarter ran from January to March",
    ),
    case(
        "business-areas",
        "Net sales",
        """
        Kollberg Industri AB, net sales by business area, year 2024
        Net sales, Pumps              SEK 1,212 million
        Net sales, Valves               SEK 934 million
        Net sales, total              SEK 2,146 million
        """,
        SpreadLine("Kollberg Industri AB", "actual", 2_146_000_000, "SEK", "FY2024"),
        why="both business areas together",
    ),
    case(
        "note-reference",
        "Revenue",
        """
        Abbotsleigh Schools Limited, income statement (£)
        Year ended 31 August     Note          2024          2023
        Revenue                     4    84,215,306    79,960,118
        """,
        SpreadLine("Abbotsleigh Schools Limited", "actual", 84_215_306, "GBP", "FY2024"),
        why="4 is the number of a note to the accounts",
    ),
    case(
        "note-reference-and-outflow",
        "Investing cash flow",
        """
        Corrin Shipping AS, statement of cash flows (USD)
        Year ended 31 December                     Note           2024           2023
        Net cash used in investing activities        17    (9,430,000)    (7,215,000)
        """,
        SpreadLine("Corrin Shipping AS", "actual", -9_430_000, "USD", "FY2024"),
        why="cash went out; 17 is the number of a note",
    ),
    case(
        "note-reference-in-thousands",
        "Profit for the year",
        """
        Thorne & Ambler plc, income statement (£'000)
        Year ended 30 September     Note       2024       2023
        Profit for the year            8     12,604     11,980
        """,
        SpreadLine("Thorne & Ambler plc", "actual", 12_604_000, "GBP", "FY2024"),
        why="the table is in thousands of pounds; 8 is the number of a note",
    ),
]


@pytest.mark.parametrize(("item", "excerpt", "expected", "why"), CASES)
def test_line_holds_the_right_figure(desk, item, excerpt, expected, why):
    line = desk.spread(item, excerpt)
    assert line == expected, f"{item}, {expected.entity}: {reconcile(line, expected)}\n  checker's note: {why}"
