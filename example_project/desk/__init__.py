"""The desk's pipeline: a disclosure excerpt goes in, one line of the spreadsheet comes out."""
