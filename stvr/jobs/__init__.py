"""Jobs: the parts joined, one function each."""
