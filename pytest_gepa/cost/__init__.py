"""What calls cost: prices, the most that a request can come to, the cap that all processes share, and the bill."""
