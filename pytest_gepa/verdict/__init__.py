"""Whether one candidate is better than another: paired test, interval, verdict. Pure: no I/O, no clock."""
