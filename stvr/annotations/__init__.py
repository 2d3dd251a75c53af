"""Other people's annotation files: names and moments become ours here."""
