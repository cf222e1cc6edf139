"""Is the figure in the sheet's own form? Sign, units, currency, and the name of the period."""

from __future__ import annotations

import pytest
from desk.line import SpreadLine, reconcile
from spread_case import case

CASES = [
    case(
        "loss-in-parentheses",
        "Profit for the year",
        """
        Gellatly Biotech plc, income statement in pounds
        Year ended 31 December                2024           2023
        Profit/(loss) for the year     (4,218,730)      1,062,415
        """,
        SpreadLine("Gellatly Biotech plc", "actual", -4_218_730, "GBP", "FY2024"),
        why="the year closed with a loss",
    ),
    case(
        "cost-of-sales-in-parentheses",
        "Cost of sales",
        """
        Merrow Textiles plc, income statement in pounds
        Year ended 31 December           2024             2023
        Revenue                   204,118,000      198,340,000
        Cost of sales            (131,540,000)    (127,905,000)
        """,
        SpreadLine("Merrow Textiles plc", "actual", 131_540_000, "GBP", "FY2024"),
        why="the sheet subtracts cost lines itself, so costs are entered as positive amounts",
    ),
    case(
        "capex-in-parentheses",
        "Capital expenditure",
        """
        Sundance Rail Corp. (NYSE: SDR), cash flows for the quarter ended March 31, 2025, in US dollars
        Capital expenditures          (24,900,000)
        """,
        SpreadLine("Sundance Rail Corp.", "actual", 24_900_000, "USD", "2025-Q1"),
        why="the sheet subtracts capital expenditure itself, so it is entered as a positive amount",
    ),
    case(
        "operating-loss-in-words",
        "Operating profit",
        """
        Fjordlys Energi AS reports an operating loss of NOK 31.5 million for the quarter ended 30 September
        2024, after a planned shutdown.
        """,
        SpreadLine("Fjordlys Energi AS", "actual", -31_500_000, "NOK", "2024-Q3"),
        why="a loss, told in words",
    ),
    case(
        "lower-but-still-a-profit",
        "Net income",
        """
        Corvane Systems, Inc. (NYSE: CVN) announced results for the quarter ended March 31, 2025. Net income
        declined to $41.8 million, or $0.62 per diluted share.
        """,
        SpreadLine("Corvane Systems, Inc.", "actual", 41_800_000, "USD", "2025-Q1"),
        why="lower than a year ago, but a profit",
    ),
    case(
        "filing-in-thousands",
        "Revenue",
        """
        Haverhill Medical, Inc., Form 10-Q, statements of operations for the quarter ended June 30, 2025
        (in thousands, except per share data)
        Revenue                          $ 182,455
        Diluted earnings per share          $ 0.41
        """,
        SpreadLine("Haverhill Medical, Inc.", "actual", 182_455_000, "USD", "2025-Q2"),
        why="the statement is in thousands of dollars",
    ),
    case(
        "earnings-per-share",
        "Diluted earnings per share",
        """
        Belmont Tool Corp., Form 10-K, statements of operations for the year ended December 31, 2024
        (in thousands, except per share data)
        Net income                        $ 96,210
        Diluted earnings per share          $ 1.24
        """,
        SpreadLine("Belmont Tool Corp.", "actual", 1.24, "USD", "FY2024"),
        why="an amount for one share, in dollars and cents",
    ),
    case(
        "dividend-per-share",
        "Dividend per share",
        """
        Van Reyk Chemie N.V., key figures (EUR million, except per-share amounts)
        Year ended 31 December       2024       2023
        Net profit                  212.4      198.0
        Dividend per share           0.85       0.80
        """,
        SpreadLine("Van Reyk Chemie N.V.", "actual", 0.85, "EUR", "FY2024"),
        why="85 cents for a share",
    ),
    case(
        "retail-year",
        "Net sales",
        """
        Hartwell Stores, Inc. (NYSE: HWS), results for fiscal 2023, ended February 3, 2024 (in millions)
        Net sales                       $ 5,214
        """,
        SpreadLine("Hartwell Stores, Inc.", "actual", 5_214_000_000, "USD", "FY2024"),
        why="a retailer's 53 weeks to early February 2024; the statement is in millions",
    ),
    case(
        "fiscal-year-end-defined",
        "Operating profit",
        """
        Our financial year ends on 30 September. In the third quarter of financial year 2024 the operating
        profit of Ebersfeld Optik AG was EUR 18.9 million.
        """,
        SpreadLine("Ebersfeld Optik AG", "actual", 18_900_000, "EUR", "2024-Q2"),
        why="with a year to 30 September, the third quarter is April to June",
    ),
    case(
        "numeric-date-trust",
        "Cash and cash equivalents",
        """
        Glenfarrick Investment Trust plc, statement of financial position. Cash and cash equivalents at
        05/04/2025 stood at £14.2 million.
        """,
        SpreadLine("Glenfarrick Investment Trust plc", "actual", 14_200_000, "GBP", "2025-04-05"),
        why="the trust's year closes on 5 April",
    ),
    case(
        "numeric-date-retailer",
        "Inventories",
        """
        Almacenes Delorca S.A. closes its year with the stocktaking after the winter sales. Inventories at
        03/02/2024 amounted to EUR 1.284,6 million.
        """,
        SpreadLine("Almacenes Delorca S.A.", "actual", 1_284_600_000, "EUR", "2024-02-03"),
        why="closing stock on Saturday, 3 February 2024; figures in Spanish style",
    ),
    case(
        "numeric-date-us-quarter",
        "Inventories",
        """
        Pinehurst Apparel, Inc., Form 10-Q. Inventories as of 05/04/2024 were $96.3 million, down 3% on a
        year ago.
        """,
        SpreadLine("Pinehurst Apparel, Inc.", "actual", 96_300_000, "USD", "2024-05-04"),
        why="the quarter closed on Saturday, 4 May 2024",
    ),
    case(
        "numeric-date-us-year",
        "Cash and cash equivalents",
        """
        Grand Mesa Grocers, Inc. (Nasdaq: GMGI), Form 10-K. Cash and cash equivalents totalled $212.9
        million as of 02/01/2025.
        """,
        SpreadLine("Grand Mesa Grocers, Inc.", "actual", 212_900_000, "USD", "2025-02-01"),
        why="the fiscal year closed on Saturday, 1 February 2025",
    ),
    case(
        "canadian-sign",
        "Revenue",
        """
        Tolland Pipelines Limited (TSX: TLP). Revenue for the quarter ended September 30, 2024 was C$64.3
        million.
        """,
        SpreadLine("Tolland Pipelines Limited", "actual", 64_300_000, "CAD", "2024-Q3"),
        why="the sign itself names the Canadian dollar",
    ),
    case(
        "canadian-dollars",
        "Net income",
        """
        Lac Brochet Mining Corp. (TSX: LBM), first half results. All amounts are in Canadian dollars. The
        net loss was $7.9 million for the six months ended June 30, 2025.
        """,
        SpreadLine("Lac Brochet Mining Corp.", "actual", -7_900_000, "CAD", "2025-H1"),
        why="a loss; the company reports in Canadian dollars",
    ),
    case(
        "australian-dollars",
        "Revenue",
        """
        Wirrabara Wines Limited (ASX: WRW) presents its accounts in Australian dollars. Revenue was $118.4
        million for the year ended 30 June 2025.
        """,
        SpreadLine("Wirrabara Wines Limited", "actual", 118_400_000, "AUD", "FY2025"),
        why="the company reports in Australian dollars",
    ),
    case(
        "decimal-comma",
        "Revenue",
        """
        Brennero Macchine SpA, bilancio in EUR
        Year ended 31 December           2024             2023
        Revenue                 47.250.664,18    44.018.390,75
        """,
        SpreadLine("Brennero Macchine SpA", "actual", 47_250_664.18, "EUR", "FY2024"),
        why="Italian style: 47 million and 18 cents",
    ),
]


@pytest.mark.parametrize(("item", "excerpt", "expected", "why"), CASES)
def test_line_is_in_the_form_of_the_sheet(desk, item, excerpt, expected, why):
    line = desk.spread(item, excerpt)
    assert line == expected, f"{item}, {expected.entity}: {reconcile(line, expected)}\n  checker's note: {why}"
