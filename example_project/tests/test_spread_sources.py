"""Whose figure is it, and what kind? Outlook, early and pro forma figures, parents and subsidiaries."""

from __future__ import annotations

import pytest
from desk.line import SpreadLine, reconcile
from spread_case import case

CASES = [
    case(
        "plain-annual-result",
        "Revenue",
        """
        Brackwell Instruments plc: results for the year ended 31 December 2024. Revenue was £212.6 million, an
        increase of 8% on the year before.
        """,
        SpreadLine("Brackwell Instruments plc", "actual", 212_600_000, "GBP", "FY2024"),
        why="a reported annual figure, stated once",
    ),
    case(
        "ahead-of-expectations",
        "Operating profit",
        """
        Lorimer Engineering plc, condensed interim financial statements (unaudited). Operating profit for
        the six months ended 30 June 2025 was £58.4 million, slightly ahead of market expectations.
        """,
        SpreadLine("Lorimer Engineering plc", "actual", 58_400_000, "GBP", "2025-H1"),
        why="interim accounts are reported actuals; the expectations are the market's",
    ),
    case(
        "full-year-outlook",
        "Revenue",
        """
        Outlook. Tessaly AG expects revenue of EUR 1,150 million for the full year 2025, at constant
        exchange rates and before acquisitions.
        """,
        SpreadLine("Tessaly AG", "guidance", 1_150_000_000, "EUR", "FY2025"),
        why="the company's outlook for a year that is not over",
    ),
    case(
        "raised-guidance-range",
        "Revenue",
        """
        Northmere Software, Inc. (Nasdaq: NMSW) today updated its targets. For the full year 2025 the
        company now forecasts revenue in a range of $840 million to $860 million.
        """,
        SpreadLine("Northmere Software, Inc.", "guidance", 850_000_000, "USD", "FY2025"),
        why="a forecast; the sheet has one cell for a range and takes the middle of it",
    ),
    case(
        "capex-target",
        "Capital expenditure",
        """
        Aldous Cement SE, capital markets day. The group targets capital expenditure of EUR 180 million to
        EUR 220 million for the full year 2026, of which two thirds is for the kiln in Rethel.
        """,
        SpreadLine("Aldous Cement SE", "guidance", 200_000_000, "EUR", "FY2026"),
        why="a spending target for a coming year, given as a range",
    ),
    case(
        "trading-update",
        "Revenue",
        """
        Trading update. Ferrow Homes plc will publish its annual report on 12 March. Ahead of its full
        results the company announces revenue of £388 million for the year ended 31 December 2024.
        """,
        SpreadLine("Ferrow Homes plc", "preliminary", 388_000_000, "GBP", "FY2024"),
        why="given before the full results are out and may still change",
    ),
    case(
        "flash-figures-by-region",
        "Net sales",
        """
        Lindqvist Marin AB, flash figures for the second quarter of 2025
        Net sales, Nordic region        SEK 1,320 million
        Net sales, other countries      SEK 1,090 million
        Net sales, group total          SEK 2,410 million
        """,
        SpreadLine("Lindqvist Marin AB", "preliminary", 2_410_000_000, "SEK", "2025-Q2"),
        why="flash figures; the sheet wants the group, not one region",
    ),
    case(
        "pro-forma-after-acquisition",
        "Revenue",
        """
        Dunmore Health plc, unaudited pro forma financial information. Had the acquisition of Osric
        Laboratories Limited been completed on 1 January 2024, revenue for the year ended 31 December 2024
        would have been £940 million.
        """,
        SpreadLine("Dunmore Health plc", "pro forma", 940_000_000, "GBP", "FY2024"),
        why="what would have been, had the deal closed a year earlier",
    ),
    case(
        "pro-forma-loss",
        "Net income",
        """
        Calder Point Energy Corp.
        Pro forma condensed combined statement of operations, year ended December 31, 2024 (US dollars)
        Net income (loss)        $ (18,400,000)
        """,
        SpreadLine("Calder Point Energy Corp.", "pro forma", -18_400_000, "USD", "FY2024"),
        why="a pro forma statement; the combined company would have lost money",
    ),
    case(
        "subsidiary-named-first",
        "Revenue",
        """
        Halden Subsea AS, the largest subsidiary of Halden Marine ASA, delivered two vessels in the year.
        Consolidated revenue was NOK 6,820 million for the year ended 31 December 2024.
        """,
        SpreadLine("Halden Marine ASA", "actual", 6_820_000_000, "NOK", "FY2024"),
        why="a consolidated figure; the subsidiary is only mentioned",
    ),
    case(
        "subsidiaries-included",
        "Operating profit",
        """
        Ostra Retail GmbH and the other subsidiaries of Ostra Holding SE are included in full in the
        consolidated accounts. Operating profit came to €143.5 million in the year ended 31 December 2024.
        """,
        SpreadLine("Ostra Holding SE", "actual", 143_500_000, "EUR", "FY2024"),
        why="the profit is that of the consolidated accounts",
    ),
    case(
        "subsidiary-files-own-accounts",
        "Turnover",
        """
        Kestrel Foods Limited, a wholly owned subsidiary of Marlow Group plc, has filed its own accounts with
        Companies House. Turnover for the year ended 30 June 2024 was £88.4 million.
        """,
        SpreadLine("Kestrel Foods Limited", "actual", 88_400_000, "GBP", "FY2024"),
        why="the accounts of the subsidiary alone",
    ),
    case(
        "leasing-arm-separate-statements",
        "Total assets",
        """
        Vantia Leasing S.A., a French subsidiary of Vantia Banque S.A., separate financial statements. Total
        assets were €2,960 million at 31 December 2024. """,
        SpreadLine("Vantia Leasing S.A.", "actual", 2_960_000_000, "EUR", "2024-12-31"),
        why="the stand-alone balance sheet of the leasing company",
    ),
    case(
        "group-announces-for-subsidiary",
        "Revenue",
        """ Ravensworth Group plc today announces that
        its wholly owned subsidiary Penhale Water Limited has published stand-alone accounts. Revenue for
        the year ended 31 March 2025 was £301.7 million.
        """,
        SpreadLine("Penhale Water Limited", "actual", 301_700_000, "GBP", "FY2025"),
        why="the parent publishes the release, but the accounts are the subsidiary's",
    ),
]


@pytest.mark.parametrize(("item", "excerpt", "expected", "why"), CASES)
def test_line_names_company_and_status(desk, item, excerpt, expected, why):
    line = desk.spread(item, excerpt)
    assert line == expected, f"{item}, {expected.entity}: {reconcile(line, expected)}\n  checker's note: {why}"
