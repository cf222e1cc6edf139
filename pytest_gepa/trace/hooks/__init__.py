"""One module for each HTTP library whose requests are seen; none of them imports the library."""
