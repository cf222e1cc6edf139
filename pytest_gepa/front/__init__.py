"""Between a pytest session and a mode: cases go in; reports, exit status and the closing section come out."""
