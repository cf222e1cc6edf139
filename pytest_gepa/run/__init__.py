"""What every mode runs on: directory, journal, stored answers, money and time, and what a resumed run goes on from."""
