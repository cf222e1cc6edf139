"""Each client that the capture is for, against a server on loopback. `.ci/clients` runs them in environments of their
own; those whose client is installed run with all other tests, too."""
