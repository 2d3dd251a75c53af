"""Pairs: ask a reference with a query."""
