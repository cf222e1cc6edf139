"""How each kind of file holds texts: one module a format, and the one way in which a text is set in any of them."""
