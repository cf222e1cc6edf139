"""The kernel: what one purchase and one sale could have gained."""


def best_trade(prices: list[int]) -> int:
    """Return the largest gain of buying on one day and selling on a later one, 0 if no day would have gained."""
    best = 0
    for bought in range(len(prices)):
        for sold in range(bought + 1, len(prices)):
            if prices[sold] - prices[bought] > best:
                best = prices[sold] - prices[bought]
    return best
