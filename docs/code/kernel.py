"""The kernel: how many pairs of entries add up to a total."""


def count_pairs(numbers: list[int], total: int) -> int:
    """Return the number of pairs of positions i < j with numbers[i] + numbers[j] == total."""
    count = 0
    for i in range(len(numbers)):
        for j in range(len(numbers)):
            if i < j and numbers[i] + numbers[j] == total:
                count += 1
    return count
